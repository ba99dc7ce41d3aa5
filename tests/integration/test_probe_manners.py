"""The probe is a guest in the app's process: whatever the app does works as without it, and ends as without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import until
from probed_server import APPS, Server, command, environment, rows_of, serving

from bench.results.schema import TurnRecord
from bench.running import probe_setup
from bench.running.ports import free_port


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("habits:app", tmp_path_factory.mktemp("habits"), "--loop", request.param) as running:
        yield running


def test_an_app_may_set_a_policy_and_run_a_loop_while_it_is_imported(server: Server) -> None:
    assert json.loads(server.get("/health")) == "ran"


def test_importing_and_starting_up_are_no_blame(server: Server) -> None:
    server.wait_for_rows(float(server.samples()[0][0]["at_s"]) + 0.5)
    assert [row for row in server.stalls() if row["file"]] == []


def test_an_app_and_its_children_see_no_trace_of_it(server: Server) -> None:
    seen = json.loads(server.get("/environment"))
    traces = (str(probe_setup.PROBE_FOLDER), "LOOP_PROBE")
    variables = dict(entry.split("=", 1) for entry in seen["environment"])
    assert [name for name in (*seen["path"], *variables) if name.startswith(traces)] == []
    assert [trace for trace in traces if trace in seen["child"]] == []
    assert variables["PYTHONPATH"] == str(APPS / "site-packages")


def test_a_forked_child_runs_its_own_loop_and_writes_nothing(server: Server) -> None:
    assert server.get("/fork") == "7"
    assert server.get("/fork") == "7"
    (samples,) = server.samples()
    server.wait_for_rows(float(samples[-1]["at_s"]) + 0.3)
    (file,) = server.folder.glob("server-*.csv")
    times = [float(row["at_s"]) for row in rows_of(file)]
    assert times == sorted(times)
    assert "loop_probe" not in server.log


def test_an_apps_own_threads_go_on(server: Server) -> None:
    first = int(server.get("/ticks"))
    until(lambda: int(server.get("/ticks")) > first, "another tick")


def test_a_limiter_is_followed_when_it_changes_and_when_it_is_replaced(server: Server) -> None:
    for tokens, swap in ((7, "false"), (3, "true"), (11, "false")):
        assert float(server.get(f"/limiter?tokens={tokens}&swap={swap}")) == tokens
        until(lambda wanted=str(tokens): server.samples()[0][-1]["tokens_total"] == wanted, f"{tokens} tokens")  # type: ignore[misc]


def run(tmp_path: Path, app: str, probed: bool, *options: str) -> subprocess.CompletedProcess[str]:
    """uvicorn, to an end that comes by itself."""
    argv = command(app, free_port(), *options, probed=probed)
    env = environment(app, tmp_path, probed)
    if probed and "--factory" in options:
        argv.remove("--factory")
        env["LOOP_PROBE_FACTORY"] = "1"
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("app", "options", "said"),
    [
        ("no_such_module:app", (), 'Could not import module "no_such_module"'),
        ("patterns:no_such_app", (), 'Attribute "no_such_app" not found in module "patterns"'),
        ("patterns", (), 'Import string "patterns" must be in format'),
        ("broken_import:app", (), "ZeroDivisionError"),
        ("factories:broken", ("--factory",), "Error loading ASGI app factory"),
    ],
)
def test_an_app_that_cannot_be_loaded_ends_uvicorn_as_ever(
    tmp_path: Path, app: str, options: tuple[str, ...], said: str
) -> None:
    ended = {probed: run(tmp_path, app, probed, *options) for probed in (False, True)}
    assert ended[True].returncode == ended[False].returncode != 0
    for each in ended.values():
        assert said in each.stderr
    if app == "factories:broken":
        assert "in broken" in ended[True].stderr  # the traceback, which uvicorn itself leaves out


@pytest.mark.parametrize(("app", "factory"), [("factories:create", True), ("factories:create", False)])
def test_a_factory_is_called_as_uvicorn_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: str, factory: bool
) -> None:
    watched = probe_setup.WatchedApp(app, (APPS,), factory=factory)
    monkeypatch.setattr(probe_setup, "WatchedApp", lambda *_: watched)
    with serving(app, tmp_path) as running:
        assert running.get("/health") == '"made"'
        assert ("ASGI app factory detected" in running.log) != factory


@pytest.mark.parametrize("probed", [False, True])
def test_an_app_that_exits_ends_with_its_own_status(tmp_path: Path, probed: bool) -> None:
    with serving("habits:app", tmp_path, probed=probed) as running:
        with pytest.raises(ConnectionError):
            running.get("/exit?status=9")
        assert running.process.wait(10) == 9


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_server_ends_as_without_it(tmp_path: Path, number: signal.Signals) -> None:
    ended = []
    for probed in (False, True):
        with serving("habits:app", tmp_path / str(probed), probed=probed) as running:
            os.kill(running.process.pid, number)
            ended.append(running.process.wait(10))
            assert "Traceback" not in running.log
            assert "loop_probe" not in running.log
    assert ended[0] == ended[1]


def test_what_was_seen_up_to_a_sigkill_is_there(tmp_path: Path) -> None:
    with serving("patterns:app", tmp_path) as running:
        loaded = running.load("/sleep", 2, 0.4)
        running.wait_for_rows(loaded.until_s)
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait(10)
        (samples,) = running.samples()
        assert float(samples[-1]["at_s"]) >= loaded.until_s
        stalls = running.stalls(loaded.begun_s, loaded.until_s)
        assert sum(float(row["stalled_ms"]) for row in stalls) > 100
        assert all(None not in row.values() for row in (*samples, *running.stalls()))


def test_a_probe_that_fails_says_so_once_and_the_app_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.write_text("a file where the folder should be")
    with pytest.MonkeyPatch.context() as patch:
        made = probe_setup.environment
        patch.setattr(probe_setup, "environment", lambda base, app, _: made(base, app, folder))
        with serving("habits:app", tmp_path / "log") as running:
            assert running.get("/health") == '"ran"'
            assert running.log.count("loop_probe: failed: NotADirectoryError") == 1
    turns = [TurnRecord(1, 0.0, 0.0, 1.0, None, 0.0)]
    assert "telemetry missing" in str(probe_setup.missing_telemetry(tmp_path / "log", turns, 1))


def test_the_probe_imports_the_standard_library_and_uvicorn_only() -> None:
    assert [path.name for path in probe_setup.PROBE_FOLDER.iterdir() if path.name != "__pycache__"] == ["loop_probe"]
    code = """
import sys, uvicorn.importer
before = {*sys.modules}
import loop_probe
print(*{name.partition(".")[0] for name in {*sys.modules} - before} - sys.stdlib_module_names)
"""
    env = {**os.environ, "PYTHONPATH": str(probe_setup.PROBE_FOLDER)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["loop_probe"]
