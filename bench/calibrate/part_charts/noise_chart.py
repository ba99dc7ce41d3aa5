"""How far two identical variants differ."""

from __future__ import annotations

import statistics
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.analysis.intervals import Spread
from bench.calibrate import calibration_figures as figures
from bench.calibrate.calibration_files import Calibration
from bench.calibrate.calibration_words import interval_of, times
from bench.calibrate.part_charts.chart_axes import (
    BLUE,
    ORANGE,
    offsets,
    rows_axis,
)
from bench.calibrate.rows import (
    ONE_AFTER_ANOTHER,
    TAKING_TURNS,
)
from bench.report.charts import canvas
from bench.report.charts.canvas import FAINT, INK
from bench.report.text import formatting


def draw_noise(calibration: Calibration) -> Figure | None:
    """Every round's log ratio of two identical variants, by both methods; 0 is the true difference."""
    rows = calibration.noise
    found = {method: figures.noise_spread(rows, method) for method in (ONE_AFTER_ANOTHER, TAKING_TURNS)}
    shown = [(method, spread) for method, spread in found.items() if spread]
    if not shown:
        return None
    figure = canvas.blank(2.1 + 1.1 * len(shown))
    top_in = canvas.titled(
        figure, noise_title(calibration), "two identical variants; ○ one round · bar: ± one standard deviation about 0"
    )
    axes = canvas.axes_in(figure, left_in=1.95, right_in=1.75, bottom_in=0.72, top_in=top_in)
    rows_axis(axes, len(shown))
    for row, (method, spread) in enumerate(shown):
        matching = [r for r in rows if r.method == method]
        colour, hatch = (BLUE, "") if method == TAKING_TURNS else (ORANGE, "///")
        width = 200 * spread.value
        axes.barh(
            row, width, left=-width / 2, height=0.6, color=colour, alpha=0.35, hatch=hatch, edgecolor="white", lw=0
        )
        values = [100 * r.log_ratio for r in matching]
        axes.plot(values, row + offsets(len(matching)), "o", ms=5.5, mfc="white", mec=INK, mew=1.0, zorder=4)
        _noise_words(axes, row, method, spread, statistics.median(r.took_s for r in matching))
    most = 100 * max([*(abs(r.log_ratio) for r in rows), *(spread.value for _, spread in shown)]) or 1.0
    axes.set_xlim(-1.12 * most, 1.12 * most)
    axes.axvline(0, color=INK, lw=1.2, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:+g} %".replace("-", "\N{MINUS SIGN}") if value else "0")
    )
    axes.set_xlabel("first faster than second by (log ratio)")
    return figure


def _noise_words(axes: Axes, row: int, method: str, spread: Spread, took_s: float) -> None:
    across = axes.get_yaxis_transform()
    weight = "bold" if method == TAKING_TURNS else "normal"
    left: dict[str, Any] = {"transform": across, "ha": "right"}
    axes.text(-0.03, row - 0.03, method, va="bottom", weight=weight, **left)
    axes.text(-0.03, row + 0.03, f"{took_s:.1f} s a round", va="top", color=FAINT, **left)
    right: dict[str, Any] = {"transform": across, "ha": "left"}
    axes.text(1.03, row - 0.03, formatting.share(spread.value), va="bottom", weight="bold", fontsize=12, **right)
    axes.text(1.03, row + 0.03, interval_of(spread) or "one round", va="top", color=FAINT, **right)


def noise_title(calibration: Calibration) -> str:
    """Both standard deviations and their ratio."""
    turns, after = (figures.noise_spread(calibration.noise, method) for method in (TAKING_TURNS, ONE_AFTER_ANOTHER))
    if turns is None or after is None or after.value == 0:
        return "How far two identical variants differ"
    text = f"Identical variants differ by {formatting.share(turns.value)} taking turns, {formatting.share(after.value)} {ONE_AFTER_ANOTHER}"
    return f"{text}: {times(turns.value / after.value)} the noise"
