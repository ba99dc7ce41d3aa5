"""Resolved apps: target, folder, interpreter, command line, environment and source, before anything starts."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from harness import ROOT, UGLY

from bench.model import AppSource, Scenario, UsageError, Variant
from bench.planning import catalogue
from bench.running import environment, probe_setup
from bench.running.serving import APP_READY_DEADLINE_S, READY_DEADLINE_S, ServedApp, resolve


def awaited(variant: Variant | None = None) -> ServedApp:
    scenario = catalogue.load("blocking")
    variant = variant or scenario.variant("awaited")
    return resolve(replace(scenario, variants=(variant,)), variant.name)


def own(app: AppSource, *options: str) -> ServedApp:
    variant = Variant("mine", "baseline", "", app=app, uvicorn_options=options)
    return resolve(Scenario("own", "", (variant,), "/"), "mine")


AWAITED = catalogue.load("blocking").variant("awaited")


def test_a_variant_of_the_catalogue() -> None:
    app = awaited()
    assert (app.target, app.app_dir, app.cwd) == ("apps.blocking.awaited:app", ROOT, ROOT)
    assert (app.python, app.code_folders, app.ready_deadline_s) == (sys.executable, (ROOT,), READY_DEADLINE_S)
    assert app.source_file == "apps/blocking/awaited.py"
    assert app.source == (ROOT / "apps/blocking/awaited.py").read_text()


def test_a_catalogue_elsewhere_is_served_from_there() -> None:
    app = resolve(catalogue.load("ugly_start", UGLY), "fine")
    assert (app.target, app.app_dir) == ("ugly.ugly_start.fine:app", UGLY.parent)
    assert app.source_file == "ugly/ugly_start/fine.py"


def test_a_variant_may_run_the_file_of_another() -> None:
    app = awaited(replace(AWAITED, name="twice", same_file_as="awaited"))
    assert (app.name, app.target) == ("twice", "apps.blocking.awaited:app")


def test_a_variant_without_a_file_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match=r"variant 'gone' cannot be read: .*apps/blocking/gone\.py: No such file"):
        awaited(replace(AWAITED, name="gone"))


def test_an_own_app_runs_in_its_folder_with_its_interpreter(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "main.py").write_text("app = 1\n")
    source = AppSource("shop.main:create", str(tmp_path), "/opt/python", factory=True, code_folders=("/opt/shop",))
    app = own(source, "--loop", "asyncio")
    assert (app.app_dir, app.cwd, app.python) == (tmp_path, tmp_path, "/opt/python")
    assert (app.source_file, app.source) == ("shop/main.py", "app = 1\n")
    assert (app.code_folders, app.ready_deadline_s) == ((tmp_path, Path("/opt/shop")), APP_READY_DEADLINE_S)
    assert app.command(15000)[0] == "/opt/python"
    passed = app.server_environment(tmp_path, {})
    assert (passed["LOOP_PROBE_FACTORY"], passed["LOOP_PROBE_CODE"]) == ("1", f"{tmp_path}:/opt/shop")


def test_the_source_of_an_installed_package_is_not_recorded(tmp_path: Path) -> None:
    app = own(AppSource("installed:app", str(tmp_path)))
    assert (app.source_file, app.source) == ("installed.py", "")


def test_the_source_of_a_package_is_its_init(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("app = 2\n")
    assert own(AppSource("shop:app", str(tmp_path))).source_file == "shop/__init__.py"


def test_a_server_that_runs_already_has_no_source_and_no_probe() -> None:
    app = own(AppSource("", "/", url="http://127.0.0.1:9"))
    assert (app.source_file, app.source, app.probed, app.url) == ("", "", False, "http://127.0.0.1:9")


def test_the_command_is_uvicorns_own() -> None:
    _, *words = awaited().command(15000)
    assert words[:4] == ["-m", "uvicorn", "--factory", "loop_probe:app"]
    assert " ".join(words[4:]) == f"--app-dir {ROOT} --host 127.0.0.1 --port 15000 --no-access-log"


def test_the_environment_tells_the_probe_what_to_serve(tmp_path: Path) -> None:
    passed = awaited().server_environment(tmp_path, {"DATABASE_URL": "somewhere"})
    assert passed["PYTHONPATH"].split(":")[0] == str(probe_setup.PROBE_FOLDER)
    assert passed["LOOP_PROBE_APP"] == "apps.blocking.awaited:app"
    assert passed["LOOP_PROBE_FOLDER"] == str(tmp_path)
    assert passed["DATABASE_URL"] == "somewhere"


def test_a_variants_own_variables_come_last(tmp_path: Path) -> None:
    app = awaited(replace(AWAITED, environment=(("OMP_NUM_THREADS", "1"),)))
    assert app.server_environment(tmp_path, {"OMP_NUM_THREADS": "8"})["OMP_NUM_THREADS"] == "1"


def test_a_variant_may_leave_out_the_probe(tmp_path: Path) -> None:
    app = awaited(replace(AWAITED, probed=False))
    assert app.command(15000)[1:4] == ["-m", "uvicorn", "apps.blocking.awaited:app"]
    assert not [name for name in app.server_environment(tmp_path, {}) if "LOOP_PROBE" in name]


def test_workers_and_options_are_the_variants_own() -> None:
    app = awaited(replace(AWAITED, workers=3, uvicorn_options=("--loop", "asyncio")))
    assert " ".join(app.command(15000)).endswith("--workers 3 --loop asyncio")


def test_variables_that_change_a_server_or_the_load_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("UVICORN_WORKERS", "LOCUST_USERS", "LOOP_PROBE_APP", "WEB_CONCURRENCY", "BENCH_WEB_PASSWORD", "NOX_X")
    for name in (*ours, "KEPT"):
        monkeypatch.setenv(name, "4")
    kept = environment.of_own_app()
    assert [name for name in ours if name in kept] == []
    assert (kept["KEPT"], kept["PYTHONUNBUFFERED"]) == ("4", "1")


def test_an_app_of_the_catalogue_gets_only_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "UVLOOP_X", "MALLOC_ARENA_MAX"):
        monkeypatch.setenv(name, "of the user")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    passed = awaited().server_environment(tmp_path, {})
    assert [name for name, value in passed.items() if value == "of the user"] == []
    assert passed["LC_ALL"] == "C.UTF-8"
    of_own = own(AppSource("shop:app", str(tmp_path))).server_environment(tmp_path, {})
    assert of_own["DATABASE_URL"] == "of the user"
