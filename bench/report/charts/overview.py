"""One chart over all scenarios, for five seconds: what each variant reaches of its scenario's best, and its health."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.report.charts import canvas
from bench.report.charts.canvas import BASELINES, FAINT, FIXES, GRID, INK, TRAPS, ChartDrawing
from bench.report.pages.scenario_report import OverviewPoint, ScenarioReport
from bench.report.text import formatting
from bench.results.schema import HEALTH_TIMEOUT_S

ROW_IN = 0.42
LEFT_IN, GAP_IN, RIGHT_IN, BOTTOM_IN, HEADING_IN = 1.4, 0.3, 0.3, 0.62, 0.3
THROUGHPUT_SHARE = 0.56
"""Of the width, for the panel on the left."""

ROLES = {"baseline": (BASELINES[0], "o"), "fix": (FIXES[0], "o"), "trap": (TRAPS[0], "X")}
"""Colour and marker by role, drawn in this order: the trap is on top."""

WORTH_TELLING = 1.5
"""Times that a scenario's worst is slower than its best, from which on its row says so."""


def overview(reports: Sequence[ScenarioReport]) -> ChartDrawing | None:
    """The chart, or None where there is nothing to compare."""
    shown = sorted((one for one in reports if _best(one)), key=lambda one: (-one.cost, -_factor(one)))
    if not shown:
        return None
    with canvas.chart_style():
        return canvas.rendered("overview", "overview", _figure(shown))


def _figure(shown: Sequence[ScenarioReport]) -> Figure:
    figure = canvas.blank(1.3 + HEADING_IN + BOTTOM_IN + ROW_IN * len(shown))
    top_in = canvas.titled(figure, _title(shown), "a mark is a variant") + HEADING_IN
    _legend(figure, top_in - HEADING_IN - canvas.SUBTITLE_IN)
    wide_in = canvas.WIDTH_IN - LEFT_IN - GAP_IN - RIGHT_IN
    cut_in = LEFT_IN + THROUGHPUT_SHARE * wide_in
    left = canvas.axes_in(
        figure, left_in=LEFT_IN, right_in=canvas.WIDTH_IN - cut_in, bottom_in=BOTTOM_IN, top_in=top_in
    )
    right = canvas.axes_in(figure, left_in=cut_in + GAP_IN, right_in=RIGHT_IN, bottom_in=BOTTOM_IN, top_in=top_in)
    _throughputs(left, shown)
    _healths(right, shown)
    for axes in (left, right):
        axes.set_ylim(len(shown) - 0.45, -0.55)
        axes.yaxis.set_major_locator(NullLocator())
        axes.set_axisbelow(True)
        axes.grid(axis="x", color=GRID)
        for row in range(len(shown)):
            axes.axhline(row, color=GRID, lw=0.8, zorder=0)
    return figure


def _title(shown: Sequence[ScenarioReport]) -> str:
    first, factor = shown[0], _factor(shown[0])
    if factor < WORTH_TELLING:
        return f"No variant is slower than its scenario's best by more than a factor of {factor:.2g}"
    worst = min(_told(first), key=lambda dot: dot.throughput_rps or 0.0)
    waits = ""
    if worst.health_p50_ms:
        more = "more than " if worst.health_at_least else ""
        waits = f", and health checks wait {more}{formatting.duration(worst.health_p50_ms)}"
    return f"{worst.summary} serves {_fraction(factor)} of the requests{waits}"


def _legend(figure: Figure, below_in: float) -> None:
    """What the marks mean, beside the subtitle."""
    height = figure.get_figheight()
    for i, (role, (colour, marker)) in enumerate(reversed(ROLES.items())):
        x_in, y = 2.0 + 1.1 * i, 1 - (below_in + 0.09) / height
        figure.add_artist(canvas.mark(x_in / canvas.WIDTH_IN, y, marker, colour))
        figure.text((x_in + 0.13) / canvas.WIDTH_IN, y, role, va="center", color=FAINT)


def _throughputs(axes: Axes, shown: Sequence[ScenarioReport]) -> None:
    lowest = min(_share(one, dot) for one in shown for dot in _measured(one))
    axes.set_xscale("log")
    axes.set_xlim(min(lowest / 1.6, 0.3), 1.25)
    ticks = [tick for tick in (0.001, 0.01, 0.03, 0.1, 0.3, 1.0) if tick >= axes.get_xlim()[0]]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title("throughput, of the scenario's best", loc="left", fontsize=11, weight="bold", pad=6)
    axes.set_xlabel("log scale")
    for row, one in enumerate(shown):
        name = canvas.fit(formatting.clean(one.name, 40), LEFT_IN - 0.3, bold=True)
        axes.text(-0.03, row, name, transform=axes.get_yaxis_transform(), ha="right", va="center", weight="bold")
        shares = {dot.variant: _share(one, dot) for dot in _measured(one)}
        low = min(shares.values())
        axes.plot([low, 1.0], [row, row], color=FAINT, lw=1.2, zorder=1)
        for dot in _measured(one):
            _mark(axes, shares[dot.variant], row, dot)
        if _factor(one) >= WORTH_TELLING:
            axes.text(1.12 / _factor(one), row - 0.12, _fraction(_factor(one)), color=INK, va="bottom", fontsize=10)


def _healths(axes: Axes, shown: Sequence[ScenarioReport]) -> None:
    medians_ms = [dot.health_p50_ms for one in shown for dot in one.dots if dot.health_p50_ms]
    limit_ms = HEALTH_TIMEOUT_S * 1e3
    canvas.time_axis(axes, "x", np.asarray([*medians_ms, limit_ms]))
    axes.axvline(limit_ms, color=INK, lw=1.2, ls=(0, (5, 3)), zorder=1)
    axes.set_title("median health check beside it", loc="left", fontsize=11, weight="bold", pad=6)
    axes.set_xlabel("dashed: 1 s time-out · ▷ at least")
    for row, one in enumerate(shown):
        for dot in sorted(one.dots, key=lambda dot: list(ROLES).index(_role(dot))):
            if dot.health_p50_ms:
                _mark(axes, dot.health_p50_ms, row, dot, at_least=dot.health_at_least)


def _mark(axes: Axes, x: float, row: int, dot: OverviewPoint, *, at_least: bool = False) -> None:
    role = _role(dot)
    colour, marker = ROLES[role]
    inside, edge = ("white", colour) if at_least else (colour, "white")
    axes.plot(
        [x], [row], ">" if at_least else marker, ms=9.5, mfc=inside, mec=edge, mew=1.6 if at_least else 0.8,
        zorder=3 + list(ROLES).index(role), clip_on=False,
    )  # fmt: skip


def _role(dot: OverviewPoint) -> str:
    return dot.role if dot.role in ROLES else "baseline"


def _measured(one: ScenarioReport) -> list[OverviewPoint]:
    return [dot for dot in one.dots if dot.throughput_rps]


def _told(one: ScenarioReport) -> list[OverviewPoint]:
    """Those whose distance from the best is printed: the traps, where there are any."""
    return [dot for dot in _measured(one) if dot.role == "trap"] or _measured(one)


def _best(one: ScenarioReport) -> float:
    return max((dot.throughput_rps or 0.0 for dot in one.dots), default=0.0)


def _share(one: ScenarioReport, dot: OverviewPoint) -> float:
    return (dot.throughput_rps or 0.0) / _best(one)


def _factor(one: ScenarioReport) -> float:
    return 1 / min(_share(one, dot) for dot in _told(one))


def _fraction(factor: float) -> str:
    """``1/32``, ``1/2.4``."""
    return f"1/{factor:.0f}" if factor >= 9.5 else f"1/{math.floor(factor * 10 + 0.5) / 10:g}"
