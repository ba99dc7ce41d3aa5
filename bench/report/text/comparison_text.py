"""Comparisons and noise in a reader's words, for tables and notes."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.analyse import Analysis
from bench.analysis.comparisons import Compared
from bench.analysis.noise import NoiseFloor, Unsteady
from bench.report.text import formatting
from bench.report.text.sentences import ONE_ROUND, Cell


def against_baseline(analysis: Analysis, variant: str) -> Cell:
    """Of a variant: ``equivalent, 0.997 ×``; ``slower, 0.031 ×``; ``baseline``. The interval is in the note."""  # noqa: RUF002
    if variant == analysis.scenario.baseline:
        return Cell("baseline")
    row = analysis.comparisons.with_baseline(variant)
    if row is None or row.ratio is None:
        return Cell(formatting.DASH, formatting.clean(row.reason) if row else "not compared")
    ratio = formatting.times(row.ratio)
    if row.ci_low is None or row.ci_high is None:
        return Cell(ratio, ONE_ROUND)
    return Cell(f"{row.verdict}, {ratio}", interval_words(row))


def interval_words(row: Compared | NoiseFloor) -> str:
    """``95 % interval 0.994 to 0.9997, 5 rounds``; empty where there is none."""
    if row.ci_low is None or row.ci_high is None:
        return ONE_ROUND
    ends = (formatting.digits(end, 3) for end in (row.ci_low, row.ci_high))
    return f"95 % interval {formatting.span(*ends)}, {formatting.count(row.rounds)} rounds"


def notes(analysis: Analysis) -> Iterator[str]:
    """What else to know before the figures are believed: the noise floor, and trials that were not steady."""
    if analysis.noise is not None:
        yield noise_words(analysis.noise)
    if analysis.unsteady:
        yield unsteady_words(analysis.unsteady)


def noise_words(noise: NoiseFloor) -> str:
    """What two identical variants differed by, as any two would have been compared."""
    spread = formatting.share(noise.round_spread.value)
    turns = f", {formatting.share(noise.rotation_spread.value)} a pair of turns" if noise.rotation_spread else ""
    verdict = f" and would be called {noise.verdict}" if noise.verdict else ""
    return (
        f"Noise: {formatting.clean(noise.variant, formatting.NAME_LIMIT)} and its twin, the same code, differ by "
        f"{formatting.times(noise.ratio)} ({interval_words(noise)}){verdict}; {spread} a round{turns} (standard deviation)"
    )


def unsteady_words(trials: tuple[Unsteady, ...]) -> str:
    """The trials whose second half was another than the first; the one that changed most is named."""
    worst = max(trials, key=lambda trial: abs(trial.ratio - 1))
    name = formatting.clean(worst.variant, formatting.NAME_LIMIT)
    return (
        f"Not steady: {formatting.count(len(trials))} {formatting.plural(len(trials), 'trial')} served another rate in the "
        f"second half than in the first, most of all {name} in round {worst.round} ({formatting.times(worst.ratio)})"
    )
