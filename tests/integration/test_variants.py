"""The contract of every variant: the pattern differs, and nothing else. The apps run in this process."""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from bench.model import HEALTH_PATH, Scenario
from bench.planning import catalogue
from bench.running.services import Services

SCENARIOS = catalogue.all_scenarios()
VARIANTS = [
    pytest.param(scenario, variant.name, id=f"{scenario.name}/{variant.name}")
    for scenario in SCENARIOS
    for variant in scenario.variants
]


@pytest.fixture(scope="module", autouse=True)
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The real servers of all scenarios; apps find them in the environment, as in a measurement."""
    names = sorted({name for scenario in SCENARIOS for name in scenario.services})
    with Services(tuple(names), tmp_path_factory.mktemp("services")) as up, pytest.MonkeyPatch.context() as patch:
        up.reset()
        assert up.failure() is None
        for key, value in up.environment.items():
            patch.setenv(key, value)
        yield


def app(scenario: Scenario, variant: str) -> FastAPI:
    """A fresh one each time: a client or a pool that was closed with one lifespan cannot be opened in the next."""
    module = f"apps.{scenario.name}.{scenario.variant(variant).module}"
    sys.modules.pop(module, None)
    found = importlib.import_module(module).app
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


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
class TestVariants:
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


@pytest.mark.parametrize(("scenario", "variant"), VARIANTS)
def test_health_is_served_on_the_loop(scenario: Scenario, variant: str) -> None:
    """An ``async def``: the question is what the variant's own endpoint does to the loop, not to the threadpool."""
    (health,) = [r for r in app(scenario, variant).routes if getattr(r, "path", None) == HEALTH_PATH]
    assert asyncio.iscoroutinefunction(getattr(health, "endpoint", None))
    assert answers(scenario, variant, ("GET", HEALTH_PATH)) == [(200, "application/json", b'{"status":"ok"}')]
