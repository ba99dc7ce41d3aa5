"""Jobs: how many are accepted and how many done, how long each takes, and what is left when the load stops."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from bench.analysis.summary import Summary
from bench.analysis.tables import ScenarioTables, VariantInfo
from bench.report.charts import canvas
from bench.report.charts.canvas import FAINT, GRID, INK, VariantStyle
from bench.report.text import formatting

DONE = "job done"
"""The endpoint under which the load generator records a job from the moment it was due until it was seen done."""

TIMES_IN, BETWEEN_IN, NOTES_IN = 2.0, 0.25, 1.35
WORTH_A_NOTE = 0.5
"""Jobs left behind in a round, on average, from which on the chart says so."""


def jobs(tables: ScenarioTables, summary: Summary) -> Figure | None:
    """Accepted against done, a row a variant: rates on the left, times on the right; None where no jobs are submitted."""
    submit = next((name for name in tables.endpoints() if name.startswith("POST ")), None)
    if tables.scenario.endpoint != DONE or submit is None:
        return None
    shown = [v for v in tables.variants if summary.get(v.name, DONE, "throughput_rps")]
    if not shown:
        return None
    right_in = TIMES_IN + BETWEEN_IN + NOTES_IN
    figure, rates = canvas.rows_chart(
        shown,
        _title(summary, shown),
        "○ accepted · ● done · ▷ at least · left: not done when the load stopped",
        right_in,
    )
    place = rates.get_position()
    times = figure.add_axes(
        (
            1 - (TIMES_IN + NOTES_IN) / canvas.WIDTH_IN,
            place.y0,
            TIMES_IN / canvas.WIDTH_IN,
            place.height,
        ),
        sharey=rates,
    )
    times.tick_params(labelleft=False, length=0, axis="y")
    styles = canvas.variant_styles(tables.scenario.variants)
    _rates(rates, summary, shown, submit, styles)
    _times(times, summary, shown, submit, styles)
    for row, variant in enumerate(shown):
        canvas.beside(times, row, *_left(tables, summary, variant))
    for axes in (rates, times):
        axes.grid(axis="x", color=GRID)
        axes.yaxis.set_major_locator(NullLocator())
        axes.set_axisbelow(True)
    return figure


def _title(summary: Summary, shown: list[VariantInfo]) -> str:
    left = {v.name: _backlog(summary, v) for v in shown}
    worst = max(shown, key=lambda variant: left[variant.name])
    if left[worst.name] < WORTH_A_NOTE:
        return "Every variant keeps up with the jobs that come in"
    done = [v for v in shown if left[v.name] < left[worst.name] / 4]
    others = f"; {_names(done)} {'leaves' if len(done) == 1 else 'leave'} a fraction of that" if done else ""
    return f"With {formatting.summary_of(worst)}, {left[worst.name]:.0f} jobs are left undone{others}"


def _names(variants: list[VariantInfo]) -> str:
    return formatting.summary_of(variants[0]) if len(variants) == 1 else f"{len(variants)} others"


def _backlog(summary: Summary, variant: VariantInfo) -> float:
    """Jobs that were accepted and not done when a round's load stopped, on average."""
    figure = summary.get(variant.name, DONE, "unfinished")
    return figure.value / figure.trials if figure and figure.trials else 0.0


def _left(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> tuple[str, str]:
    backlog = _backlog(summary, variant)
    return f"{backlog:.0f} left", "a round" if len(tables.rounds(variant.name)) > 1 else ""


def _rates(
    axes: Axes, summary: Summary, shown: list[VariantInfo], submit: str, styles: dict[str, VariantStyle]
) -> None:
    highest = 0.0
    for row, variant in enumerate(shown):
        accepted, done = (summary.value(variant.name, name, "throughput_rps") or 0.0 for name in (submit, DONE))
        style = styles[variant.name]
        axes.barh(
            row, done, height=0.5, color=style.colour, hatch=style.hatch, edgecolor="white", linewidth=0, alpha=0.45
        )
        _pair(axes, row, accepted, done, style)
        highest = max(highest, accepted, done)
    axes.set_xlim(0, max(highest, 1e-9) * 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("jobs per second")


def _times(
    axes: Axes, summary: Summary, shown: list[VariantInfo], submit: str, styles: dict[str, VariantStyle]
) -> None:
    found = {v.name: [summary.get(v.name, name, "latency_p50_ms") for name in (submit, DONE)] for v in shown}
    known = [figure.value for pair in found.values() for figure in pair if figure]
    if known:
        canvas.time_axis(axes, "x", np.asarray(known))
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if high > 10 * low else (1, 2, 5)))
    axes.set_xlabel("median time until then")
    for row, variant in enumerate(shown):
        accepted, done = found[variant.name]
        style = styles[variant.name]
        if accepted and done:
            axes.plot([accepted.value, done.value], [row, row], color=style.colour, lw=4, alpha=0.4, zorder=1)
            _pair(axes, row, accepted.value, done.value, style, at_least=done.at_least)


def _pair(axes: Axes, row: int, accepted: float, done: float, style: VariantStyle, *, at_least: bool = False) -> None:
    axes.plot([done], [row], ">" if at_least else "o", ms=10, mfc="white" if at_least else style.colour, mec=style.colour,
              mew=1.8, zorder=4, clip_on=False)  # fmt: skip
    axes.plot([accepted], [row], "o", ms=10, mfc="none" if accepted == done else "white", mec=INK, mew=1.6, zorder=5)
    axes.axhline(row, color=FAINT, lw=0.3, zorder=0)
