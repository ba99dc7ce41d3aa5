"""Finds the scenarios: every folder of ``apps/`` declares a ``SCENARIO``. Standard library only, since nox imports it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

from bench.errors import UsageError
from bench.model import Scenario

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "apps"


def names() -> tuple[str, ...]:
    """Names of all scenarios, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in APPS.glob("*/__init__.py")))


def load(name: str) -> Scenario:
    """The scenario called ``name``; UsageError lists the names when there is none."""
    if name not in names():
        raise UsageError(f"there is no scenario {name!r}; there are: {', '.join(names())}")
    scenario = importlib.import_module(f"apps.{name}").SCENARIO
    assert isinstance(scenario, Scenario), f"apps/{name}/__init__.py must declare SCENARIO"
    return scenario


def all_scenarios() -> tuple[Scenario, ...]:
    """Every scenario, in alphabetical order."""
    return tuple(load(name) for name in names())


def app_of(scenario: Scenario, variant: str) -> str:
    """What uvicorn is given: ``apps.blocking.awaited:app``."""
    return f"apps.{scenario.name}.{variant}:app"


def file_of(scenario: Scenario, variant: str) -> str:
    """The variant's source, relative to the repository: ``apps/blocking/awaited.py``."""
    return f"apps/{scenario.name}/{variant}.py"


def narrowed(scenario: Scenario, wanted: tuple[str, ...]) -> Scenario | None:
    """The scenario with only the variants in ``wanted`` (all, when that is empty); None when it has none of them."""
    if not wanted:
        return scenario
    variants = tuple(variant for variant in scenario.variants if variant.name in wanted)
    return replace(scenario, variants=variants) if variants else None


def check_variants(wanted: tuple[str, ...]) -> None:
    """UsageError for a name that no scenario has."""
    known = {variant.name for scenario in all_scenarios() for variant in scenario.variants}
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no variant {name!r}; there are: {', '.join(sorted(known))}")
