"""The catalogue, and the contract of every catalogued variant: the pattern differs, and nothing else."""

from __future__ import annotations

import ast
import asyncio
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from bench.model import HEALTH_PATH, Scenario
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.running.services import Services

SCENARIOS = catalogue.all_scenarios()
VARIANTS = [
    pytest.param(scenario, variant.name, id=f"{scenario.name}/{variant.name}")
    for scenario in SCENARIOS
    for variant in scenario.variants
]
UGLY = Path(__file__).resolve().parents[1] / "support" / "ugly"
MOST_LINES = 42
"""Of a variant: what fits a screen. Dramatiq's needs all of them."""


@pytest.fixture(scope="module", autouse=True)
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The real servers of all scenarios; apps find them in the environment, as in a measurement."""
    names = sorted({name for scenario in SCENARIOS for name in scenario.services})
    with Services(tuple(names), tmp_path_factory.mktemp("services")) as up, pytest.MonkeyPatch.context() as patch:
        up.fresh()
        assert up.failure() is None
        for key, value in up.environment.items():
            patch.setenv(key, value)
        yield


def app(scenario: Scenario, variant: str) -> FastAPI:
    """A fresh one each time: a client or a pool that was closed with one lifespan cannot be opened in the next."""
    module, _, attribute = catalogue.app_of(scenario, variant).partition(":")
    sys.modules.pop(module, None)
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, FastAPI)
    return found


def answers(scenario: Scenario, variant: str, *requests: tuple[str, str]) -> list[tuple[int, str, bytes]]:
    """Status, content type and body of each (method, path), asked of the app itself: no server, no network."""

    async def ask() -> list[tuple[int, str, bytes]]:
        served = app(scenario, variant)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://app")
        async with served.router.lifespan_context(served), client:
            found = [await client.request(method, path) for method, path in requests]
        return [(answer.status_code, answer.headers.get("content-type", ""), answer.content) for answer in found]

    return asyncio.run(ask())


def documented(scenario: Scenario, variant: str) -> Any:
    """What OpenAPI says of the app, without the names that it makes of the functions' own."""

    def without_names(part: Any) -> Any:
        if isinstance(part, dict):
            return {k: without_names(v) for k, v in part.items() if k not in ("operationId", "summary", "description")}
        return [without_names(each) for each in part] if isinstance(part, list) else part

    return without_names(app(scenario, variant).openapi())


# The catalogue itself


def test_blocking_is_there() -> None:
    assert "blocking" in catalogue.names()
    blocking = catalogue.load("blocking")
    assert [v.name for v in blocking.variants] == ["blocking_call", "awaited", "plain_def", "run_in_threadpool"]
    assert (blocking.path, blocking.users) == ("/report", 32)


def test_the_names_are_sorted_and_each_is_its_folder() -> None:
    assert list(catalogue.names()) == sorted(scenario.name for scenario in SCENARIOS)
    assert all(Path(scenario.folder) == catalogue.APPS / scenario.name for scenario in SCENARIOS)


@pytest.mark.parametrize("name", ["nonsense", "", "../apps", "Blocking", "__pycache__"])
def test_an_unknown_scenario_is_refused_naming_what_there_is(name: str) -> None:
    with pytest.raises(UsageError, match=r"there are: .*blocking") as refused:
        catalogue.load(name)
    assert repr(name) in str(refused.value)


def test_an_unknown_variant_is_refused_naming_what_there_is() -> None:
    catalogue.check_variants(("awaited", "plain_def"))
    with pytest.raises(UsageError, match=r"no variant 'nonsense'; there are: .*awaited, .*blocking_call"):
        catalogue.check_variants(("awaited", "nonsense"))


def test_narrowing_keeps_the_catalogues_order() -> None:
    blocking = catalogue.load("blocking")
    assert catalogue.narrowed(blocking, ()) == blocking
    narrowed = catalogue.narrowed(blocking, ("plain_def", "blocking_call", "of_another_scenario"))
    assert narrowed is not None
    assert [variant.name for variant in narrowed.variants] == ["blocking_call", "plain_def"]
    assert catalogue.narrowed(blocking, ("of_another_scenario",)) is None


def test_a_folder_elsewhere_is_a_catalogue_too() -> None:
    scenario = catalogue.load("ugly_start", UGLY)
    assert catalogue.app_of(scenario, "fine") == "ugly.ugly_start.fine:app"
    assert catalogue.app_dir_of(scenario, "fine") == UGLY.parent
    assert catalogue.file_of(scenario, "fine") == "ugly/ugly_start/fine.py"


def test_the_catalogue_needs_the_standard_library_only() -> None:
    """nox reads it in an environment where nothing is installed."""
    program = "import sys; sys.path.insert(0, '.'); from bench.planning import catalogue; print(*catalogue.names())"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        cwd=catalogue.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.split() == list(catalogue.names())


# The contract


@pytest.mark.parametrize("folder", [catalogue.APPS, UGLY], ids=["apps", "ugly"])
def test_every_file_is_catalogued_and_every_catalogued_variant_has_a_file(folder: Path) -> None:
    catalogued = {Path(s.folder) / f"{v.module}.py" for s in catalogue.all_scenarios(folder) for v in s.variants}
    files = {path for path in folder.glob("*/*.py") if path.name not in ("__init__.py", catalogue.DECLARATION)}
    assert catalogued == files


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
class TestScenario:
    def test_its_locustfile_is_there(self, scenario: Scenario) -> None:
        assert (catalogue.ROOT / scenario.locustfile).is_file()

    def test_its_variants_have_names_and_roles_of_their_own(self, scenario: Scenario) -> None:
        names = [variant.name for variant in scenario.variants]
        assert len(set(names)) == len(names)
        assert all(name.isidentifier() for name in names)
        assert {variant.role for variant in scenario.variants} <= {"trap", "fix", "baseline"}
        assert all(variant.summary for variant in scenario.variants)
        assert scenario.question.endswith("?")

    def test_every_variant_has_a_law(self, scenario: Scenario) -> None:
        assert all(variant.bound for variant in scenario.variants)

    def test_a_twin_differs_from_its_variant_in_what_it_is_called_only(self, scenario: Scenario) -> None:
        for twin in (variant for variant in scenario.variants if variant.twin):
            variant = scenario.variant(twin.twin)
            assert replace(twin, name=variant.name, summary=variant.summary, file=variant.file, twin="") == variant
            assert twin.module == variant.module

    def test_every_variant_gives_the_same_answers(self, scenario: Scenario) -> None:
        other = "GET" if scenario.method == "POST" else "POST"
        asked = (
            (scenario.method, scenario.path),
            ("GET", HEALTH_PATH),
            (other, scenario.path),
            ("GET", "/nonsense"),
        )
        first, *others = (variant.name for variant in scenario.variants)
        expected = answers(scenario, first, *asked)
        accepted = 202 if scenario.endpoint == "job done" else 200
        assert [status for status, *_ in expected] == [accepted, 200, 405, 404]
        for name in others:
            assert answers(scenario, name, *asked) == expected, name

    def test_every_variant_is_documented_in_the_same_way(self, scenario: Scenario) -> None:
        first, *others = (variant.name for variant in scenario.variants)
        expected = documented(scenario, first)
        assert HEALTH_PATH in expected["paths"]
        assert [p for p in expected["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", p), scenario.path)]
        for name in others:
            assert documented(scenario, name) == expected, name


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
class TestClaims:
    def test_they_have_names_of_their_own_and_say_something(self, scenario: Scenario) -> None:
        names = [claim.name for claim in scenario.claims]
        assert len(set(names)) == len(names)
        assert all(claim.statement.endswith(".") and claim.comparisons for claim in scenario.claims)

    def test_they_compare_variants_and_metrics_that_there_are(self, scenario: Scenario) -> None:
        names = {variant.name for variant in scenario.variants}
        for comparison in (each for claim in scenario.claims for each in claim.comparisons):
            assert comparison.variant in names
            assert comparison.other in names or isinstance(comparison.other, float | int)
            assert comparison.factor > 0
            assert comparison.metric.endswith(("_rps", "_ms", "_share", "_max", "_cores", "failures", "unfinished"))


@pytest.mark.parametrize(("scenario", "variant"), VARIANTS)
def test_health_is_served_on_the_loop(scenario: Scenario, variant: str) -> None:
    """An ``async def``: the question is what the variant's own endpoint does to the loop, not to the threadpool."""
    (health,) = [r for r in app(scenario, variant).routes if getattr(r, "path", None) == HEALTH_PATH]
    assert asyncio.iscoroutinefunction(health.endpoint)
    assert answers(scenario, variant, ("GET", HEALTH_PATH)) == [(200, "application/json", b'{"status":"ok"}')]


@pytest.mark.parametrize(("scenario", "variant"), VARIANTS)
def test_a_variant_is_a_plain_module_without_a_trace_of_the_harness(scenario: Scenario, variant: str) -> None:
    path = catalogue.app_dir_of(scenario, variant) / catalogue.file_of(scenario, variant)
    source = path.read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a user would copy the file as it is"
            imported.add((node.module or "").split(".")[0])
    assert not imported & {"bench", "apps", "locust", "gevent"}
    assert ast.get_docstring(ast.parse(source)), "it says what it shows"
    assert len(source.splitlines()) <= MOST_LINES
