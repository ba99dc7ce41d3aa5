"""Finds the scenarios: every folder of ``apps/`` declares one. Standard library only, since nox imports it."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from bench.model import Scenario, UsageError

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent
BUNDLED = PACKAGE / "bundled"
ROOT = CHECKOUT if (CHECKOUT / "locustfiles").is_dir() and (CHECKOUT / "apps").is_dir() else BUNDLED
"""The folder with apps/ and locustfiles/: the repository, or the installed package's copy of both."""
APPS = ROOT / "apps"
DECLARATION = "scenario.py"
"""The file in a scenario's folder that declares ``SCENARIO``."""


def names(apps: Path = APPS) -> tuple[str, ...]:
    """Names of all scenarios, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in apps.glob(f"*/{DECLARATION}")))


def load(name: str, apps: Path = APPS) -> Scenario:
    """The scenario called ``name``. UsageError when there is none, or when its declaration cannot be used."""
    if name not in names(apps):
        raise UsageError(f"unknown scenario {name!r}; there are: {', '.join(names(apps)) or 'none'}")
    scenario = getattr(_declaration(apps / name / DECLARATION), "SCENARIO", None)
    if not isinstance(scenario, Scenario):
        raise UsageError(f"{apps / name / DECLARATION} must declare SCENARIO = Scenario(...)")
    return replace(scenario, folder=str(apps / name))


def _declaration(path: Path) -> ModuleType:
    """The declaration, run as a module of its own, so that scenarios of two folders never share one."""
    spec = importlib.util.spec_from_file_location(f"scenario_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file is the user's: it may raise anything
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def all_scenarios(apps: Path = APPS) -> tuple[Scenario, ...]:
    """Every scenario, in alphabetical order."""
    return tuple(load(name, apps) for name in names(apps))


def narrowed(scenario: Scenario, wanted: tuple[str, ...]) -> Scenario | None:
    """The scenario with only the variants in ``wanted`` (empty: all). None when it has none of them."""
    if not wanted:
        return scenario
    variants = tuple(variant for variant in scenario.variants if variant.name in wanted)
    return replace(scenario, variants=variants) if variants else None


def check_variants(wanted: tuple[str, ...], apps: Path = APPS) -> None:
    """UsageError for a name that no scenario has."""
    if not wanted:
        return
    known = {variant.name for scenario in all_scenarios(apps) for variant in scenario.variants}
    for name in wanted:
        if name not in known:
            raise UsageError(f"unknown variant {name!r}; there are: {', '.join(sorted(known))}")
