"""All that is worked out of one scenario's measurements, in one go: what every table, chart and page is made from."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.claims import ClaimVerdict, judge_claims
from bench.analysis.comparisons import Comparisons, compare
from bench.analysis.noise import NoiseFloor, Unsteady, noise_floor, unsteady
from bench.analysis.run_reader import read_scenario
from bench.analysis.summary import Summary, summarise
from bench.analysis.tables import Run, ScenarioInfo, ScenarioTables


@dataclass(frozen=True)
class Analysis:
    """One scenario: what was measured, and what that says."""

    tables: ScenarioTables
    summary: Summary
    comparisons: Comparisons
    claims: tuple[ClaimVerdict, ...]
    noise: NoiseFloor | None
    """None where no variant has a twin."""
    unsteady: tuple[Unsteady, ...]

    @property
    def scenario(self) -> ScenarioInfo:
        """As run.json declares it."""
        return self.tables.scenario


def analyse(run: Run, scenario: ScenarioInfo) -> Analysis:
    """Read ``scenario``'s files and judge them."""
    tables = read_scenario(run, scenario)
    summary = summarise(tables)
    comparisons = compare(tables)
    claims = judge_claims(tables, summary, comparisons)
    return Analysis(tables, summary, comparisons, claims, noise_floor(tables), unsteady(tables))
