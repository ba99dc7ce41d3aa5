"""The catalogue: scenarios, variants and claims as they are declared."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.model import Scenario, UsageError
from bench.planning import catalogue

SCENARIOS = catalogue.all_scenarios()
VARIANTS = [
    pytest.param(scenario, variant.name, id=f"{scenario.name}/{variant.name}")
    for scenario in SCENARIOS
    for variant in scenario.variants
]
UGLY = Path(__file__).resolve().parents[1] / "support" / "ugly"
MAX_LINES = 42
"""Of a variant: one screen. Dramatiq's needs all of them."""


def test_a_scenario_is_found_by_its_name() -> None:
    assert "blocking" in catalogue.names()
    blocking = catalogue.load("blocking")
    assert blocking.name == "blocking"
    assert blocking.variant("awaited").role == "fix"


def test_names_are_sorted_and_each_scenario_has_its_folder() -> None:
    assert list(catalogue.names()) == sorted(scenario.name for scenario in SCENARIOS)
    assert all(Path(scenario.folder) == catalogue.APPS / scenario.name for scenario in SCENARIOS)


@pytest.mark.parametrize("name", ["nonsense", "", "../apps", "Blocking", "__pycache__"])
def test_an_unknown_scenario_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match=r"there are: .*blocking") as refused:
        catalogue.load(name)
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import nothing_of_the_kind",
            "cannot be imported: ModuleNotFoundError: No module named 'nothing_of_the_kind'",
        ),
        ("raise SystemError('no')", "cannot be imported: SystemError: no"),
        ("SCENARIO = 1", r"must declare SCENARIO = Scenario\(\.\.\.\)"),
        ("", r"must declare SCENARIO = Scenario\(\.\.\.\)"),
    ],
)
def test_a_broken_declaration_is_refused_in_one_line(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "scenario.py").write_text(source)
    with pytest.raises(UsageError, match=reason) as refused:
        catalogue.load("broken", tmp_path)
    assert "\n" not in str(refused.value)


def test_an_unknown_variant_is_refused_with_the_known_ones() -> None:
    catalogue.check_variants(("awaited", "plain_def"))
    with pytest.raises(UsageError, match=r"unknown variant 'nonsense'; there are: .*awaited, .*blocking_call"):
        catalogue.check_variants(("awaited", "nonsense"))


def test_narrowing_keeps_the_catalogues_order() -> None:
    blocking = catalogue.load("blocking")
    assert catalogue.narrowed(blocking, ()) == blocking
    narrowed = catalogue.narrowed(blocking, ("plain_def", "blocking_call", "of_another_scenario"))
    assert narrowed is not None
    assert [variant.name for variant in narrowed.variants] == ["blocking_call", "plain_def"]
    assert catalogue.narrowed(blocking, ("of_another_scenario",)) is None


def test_the_catalogue_needs_the_standard_library_only() -> None:
    """nox reads it in an environment without any package."""
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


# The declarations


@pytest.mark.parametrize("folder", [catalogue.APPS, UGLY], ids=["apps", "ugly"])
def test_every_file_is_catalogued_and_every_catalogued_variant_has_a_file(folder: Path) -> None:
    catalogued = {Path(s.folder) / f"{v.module}.py" for s in catalogue.all_scenarios(folder) for v in s.variants}
    files = {path for path in folder.glob("*/*.py") if path.name not in ("__init__.py", catalogue.DECLARATION)}
    assert catalogued == files


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
class TestScenario:
    def test_its_locustfile_exists(self, scenario: Scenario) -> None:
        assert (catalogue.ROOT / scenario.locustfile).is_file()

    def test_its_variants_have_distinct_names_and_known_roles(self, scenario: Scenario) -> None:
        names = [variant.name for variant in scenario.variants]
        assert len(set(names)) == len(names)
        assert all(name.isidentifier() for name in names)
        assert {variant.role for variant in scenario.variants} <= {"trap", "fix", "baseline"}
        assert all(variant.summary for variant in scenario.variants)
        assert scenario.question.endswith("?")

    def test_every_variant_has_a_bound(self, scenario: Scenario) -> None:
        assert all(variant.bound for variant in scenario.variants)

    def test_a_control_differs_from_its_variant_in_its_name_only(self, scenario: Scenario) -> None:
        for control in (variant for variant in scenario.variants if variant.control_of):
            variant = scenario.variant(control.control_of)
            named: dict[str, Any] = {
                "name": variant.name,
                "summary": variant.summary,
                "same_file_as": variant.same_file_as,
            }
            assert replace(control, control_of="", **named) == variant
            assert control.module == variant.module


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
class TestClaims:
    def test_they_have_distinct_names_and_a_statement(self, scenario: Scenario) -> None:
        names = [claim.name for claim in scenario.claims]
        assert len(set(names)) == len(names)
        assert all(claim.statement.endswith(".") and claim.comparisons for claim in scenario.claims)

    def test_they_compare_known_variants_and_metrics(self, scenario: Scenario) -> None:
        names = {variant.name for variant in scenario.variants}
        for comparison in (each for claim in scenario.claims for each in claim.comparisons):
            assert comparison.variant in names
            assert comparison.other in names or isinstance(comparison.other, float | int)
            assert comparison.factor > 0
            assert comparison.metric.endswith(("_rps", "_ms", "_share", "_max", "_cores", "failures", "unfinished"))


@pytest.mark.parametrize(("scenario", "variant"), VARIANTS)
def test_a_variant_is_a_plain_module_without_a_trace_of_the_harness(scenario: Scenario, variant: str) -> None:
    source = (Path(scenario.folder) / f"{scenario.variant(variant).module}.py").read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a user would copy the file as it is"
            imported.add((node.module or "").split(".")[0])
    assert not imported & {"bench", "apps", "locust", "gevent"}
    assert ast.get_docstring(ast.parse(source)), "what it shows"
    assert len(source.splitlines()) <= MAX_LINES
