"""How late the open model sends."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.calibrate import calibration_figures as figures
from bench.calibrate.calibration_files import Calibration
from bench.calibrate.calibration_words import times, us
from bench.calibrate.limits import (
    LAG_RATE_RPS,
)
from bench.calibrate.part_charts.chart_axes import (
    BLUE,
    GREY,
    MAX_ROWS,
    log_limits,
    offsets,
    rows_axis,
)
from bench.calibrate.rows import (
    BARE_LOOP,
    OUR_GENERATOR,
    LagRow,
)
from bench.report.charts import canvas
from bench.report.charts.canvas import FAINT, GRID, INK


def draw_lag(calibration: Calibration) -> Figure | None:
    """How late the open model sends at each rate, next to a loop that only wakes up."""
    rows = calibration.lag
    if not rows:
        return None
    rates = sorted({row.rate_rps for row in rows})[:MAX_ROWS]
    figure = canvas.blank(1.95 + 1.15 * len(rates))
    top_in = canvas.titled(
        figure,
        lag_title(calibration),
        "lag: sent − due · ● median of p50 · ◆ median of p99 · ○ ◇ one round",  # noqa: RUF001
    )
    axes = canvas.axes_in(figure, left_in=1.75, right_in=1.45, bottom_in=0.72, top_in=top_in)
    rows_axis(axes, 0)
    place = 0.0
    ticks: list[float] = []
    for rate in rates:
        axes.text(
            -0.02,
            place - 0.62,
            f"{rate:,} requests/s",
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center",
            color=FAINT,
        )
        if ticks:
            axes.axhline(place - 1.15, color=GRID, lw=0.8)
        for name in (OUR_GENERATOR, BARE_LOOP):
            found = [row for row in rows if (row.rate_rps, row.generator) == (rate, name)]
            if found:
                _lag_row(axes, place, found, name == OUR_GENERATOR)
            ticks.append(place)
            place += 1.0
        place += 1.3
    axes.set_ylim(ticks[-1] + 0.6, -1.15)
    axes.set_xscale("log")
    log_limits(axes, wide=True)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g} µs" if value < 1000 else f"{value / 1000:g} ms")
    )
    axes.set_xlabel("lag (log scale)")
    return figure


def _lag_row(axes: Axes, place: float, rows: Sequence[LagRow], ours: bool) -> None:
    colour = BLUE if ours else GREY
    p50, p99 = [row.p50_us for row in rows], [row.p99_us for row in rows]
    middle = statistics.median(p50), statistics.median(p99)
    axes.plot(middle, [place, place], color=colour, lw=4, alpha=0.45, solid_capstyle="butt", zorder=2)
    for values, marker, at in ((p50, "o", middle[0]), (p99, "D", middle[1])):
        axes.plot(at, place, marker=marker, ms=9.5 if marker == "o" else 8.5, mfc=colour, mec="white", mew=1, zorder=4)
        if len(values) > 1:
            axes.plot(
                values,
                place + offsets(len(values)),
                marker,
                ls="",
                ms=4.5 if marker == "o" else 4,
                mfc="white",
                mec=INK,
                mew=0.8,
                zorder=3,
            )
    weight = "bold" if ours else "normal"
    across = axes.get_yaxis_transform()
    name = OUR_GENERATOR if ours else "bare sleep loop"
    axes.text(-0.02, place, name, transform=across, ha="right", va="center", weight=weight)
    at_right: dict[str, Any] = {"transform": across, "ha": "left"}
    axes.text(1.03, place - 0.03, f"p50 {us(middle[0])}", va="bottom", weight=weight, **at_right)
    axes.text(1.03, place + 0.03, f"p99 {us(middle[1])}", va="top", color=FAINT, **at_right)


def lag_title(calibration: Calibration) -> str:
    """The ratio to the bare loop's lag at LAG_RATE_RPS."""
    p50 = figures.lag_ratio(calibration.lag, LAG_RATE_RPS, p99=False)
    p99 = figures.lag_ratio(calibration.lag, LAG_RATE_RPS, p99=True)
    if p50 is None or p99 is None:
        return "How late requests are sent"
    of = f"{times(p50.median)} a bare sleep loop's at p50, {times(p99.median)} at p99"
    return f"At {LAG_RATE_RPS:,} requests/s {OUR_GENERATOR}'s lag is {of}"
