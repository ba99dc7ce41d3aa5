"""One scenario, analysed and put into words: what the page, the terminal and the overview need, as plain data.

A report keeps no tables of measurements, so it crosses from one process to another and into a file at little cost:
what has not changed since the last drawing is read back instead of analysed again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.analysis.analyse import Analysis
from bench.analysis.claims import ClaimVerdict
from bench.analysis.noise import NoiseFloor
from bench.analysis.summary import Figure, Summary
from bench.analysis.tables import HEALTH_ENDPOINT, ExcludedTrial, IncompleteRound, ScenarioTables
from bench.report.pages.section import closing, opening
from bench.report.text import formatting, sentences
from bench.report.text.terminal import ScenarioTable
from bench.results import files


@dataclass(frozen=True)
class OverviewPoint:
    """One variant on the overview; a figure that cannot be had is None."""

    variant: str
    summary: str
    role: str
    throughput_rps: float | None
    health_p50_ms: float | None
    health_at_least: bool


@dataclass(frozen=True)
class ScenarioReport:
    """``opening`` and ``closing`` are HTML around the charts; ``cost`` is the factor by which the trap is slower."""

    name: str
    question: str
    seed: int | None
    versions: dict[str, str]
    """Of what only this scenario needs: drivers, and the servers behind them."""
    headline: str
    cost: float
    single_round: bool
    opening: str
    closing: str
    charts: dict[str, str]
    """Names of its charts, and the title of each."""
    dots: tuple[OverviewPoint, ...]
    figures: tuple[Figure, ...]
    """Of summary.csv, under every load."""
    claims: tuple[ClaimVerdict, ...]
    noise: NoiseFloor | None
    table: ScenarioTable
    excluded: tuple[ExcludedTrial, ...]
    incomplete_rounds: tuple[IncompleteRound, ...]
    repeated_rounds: int = 0
    turns_taken_again: tuple[int, int] = (0, 0)
    """Turns that were taken again, and turns that were measured."""
    """Measured again, since a trial was invalid."""


def scenario_report(
    analysis: Analysis, other_loads: Sequence[tuple[ScenarioTables, Summary]], charts: dict[str, str], root: Path
) -> ScenarioReport:
    """Put ``analysis`` into words. ``other_loads`` are the same under other loads: only figures and excluded trials are used.

    ``root`` is the repository, where run.json's file names of variants start.
    """
    tables, summary, scenario = analysis.tables, analysis.summary, analysis.scenario
    has_evidence = bool(tables.variants)
    loads = (tables, *(other for other, _ in other_loads))
    return ScenarioReport(
        name=scenario.name,
        question=scenario.question,
        seed=scenario.seed,
        versions={**tables.services, **scenario.record.packages},
        headline=sentences.headline(tables, summary) if has_evidence else "",
        cost=_cost(tables, summary),
        single_round=max((len(tables.rounds(variant.name)) for variant in tables.variants), default=0) == 1,
        opening=opening(analysis),
        closing=closing(analysis, root),
        charts=charts,
        dots=_dots(tables, summary),
        figures=tuple(figure for each in (summary, *(other for _, other in other_loads)) for figure in each.figures),
        claims=analysis.claims,
        noise=analysis.noise,
        table=ScenarioTable.of(analysis),
        excluded=tuple(trouble for each in loads for trouble in each.excluded),
        incomplete_rounds=tuple(left for each in loads for left in each.incomplete_rounds),
        repeated_rounds=sum(each.repeated_rounds for each in loads),
        turns_taken_again=(
            sum(each.turns_taken_again[0] for each in loads),
            sum(each.turns_taken_again[1] for each in loads),
        ),
    )


def _cost(tables: ScenarioTables, summary: Summary) -> float:
    """How much the worst trap costs, to rank scenarios: 0 without a trap or a fix.

    The factor by which it serves less than the best fix, times the factor by which a health check waits longer.
    """
    roles = sentences.roles_of(tables, summary)
    if roles.trap is None or not roles.fixes:
        return 0.0
    endpoint, best = tables.scenario.endpoint, roles.fixes[-1].name
    served = [summary.value(name, endpoint, "throughput_rps") or 0.0 for name in (best, roles.trap.name)]
    waited = [summary.value(name, HEALTH_ENDPOINT, "latency_p50_ms") or 1.0 for name in (roles.trap.name, best)]
    return (served[0] / max(served[1], 1e-9)) * (waited[0] / max(waited[1], 1e-9))


def _dots(tables: ScenarioTables, summary: Summary) -> tuple[OverviewPoint, ...]:
    dots = []
    for variant in tables.variants:
        health = summary.get(variant.name, HEALTH_ENDPOINT, "latency_p50_ms")
        dots.append(
            OverviewPoint(
                variant.name,
                formatting.summary_of(variant),
                variant.role,
                summary.value(variant.name, tables.scenario.endpoint, "throughput_rps"),
                health.value if health else None,
                bool(health and health.at_least),
            )
        )
    return tuple(dots)


@dataclass(frozen=True)
class CacheEntry:
    """A report with the fingerprint of what it was made from."""

    fingerprint: str
    report: ScenarioReport


_KEPT = TypeAdapter(CacheEntry)


def read_cache(path: Path) -> dict[str, CacheEntry]:
    """What was drawn before; a file or an entry that is not as ``write_cache`` writes it counts as nothing drawn."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    kept = {}
    for name, entry in content.items() if isinstance(content, dict) else ():
        one = _valid(entry)
        # Names from a file become paths: only names.
        if one and one.report.name == name and "/" not in name and all(c.isidentifier() for c in one.report.charts):
            kept[name] = one
    return kept


def _valid(entry: Any) -> CacheEntry | None:
    try:
        return _KEPT.validate_python(entry)
    except ValidationError:
        return None


def write_cache(path: Path, kept: dict[str, CacheEntry]) -> None:
    """Write what was drawn, one entry a scenario."""
    files.write_text(path, json.dumps({name: asdict(one) for name, one in kept.items()}) + "\n")
