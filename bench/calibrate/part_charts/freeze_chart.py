"""Percentiles of a server that freezes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.calibrate import calibration_figures as figures
from bench.calibrate.calibration_files import Calibration
from bench.calibrate.limits import (
    CLAIM_PERCENTILE,
)
from bench.calibrate.part_charts.chart_axes import (
    BLUE,
    GREY,
    ORANGE,
)
from bench.calibrate.rows import (
    FreezeRow,
)
from bench.model import bounds
from bench.report.charts import canvas
from bench.report.charts.canvas import GRID
from bench.report.text import formatting


def draw_freeze(calibration: Calibration) -> Figure | None:
    """Percentiles of a server that freezes: measured in the open model, computed, and measured in the closed model."""
    rows = calibration.freeze
    opened, closed = figures.open_response(rows), figures.closed_service(rows)
    if not opened:
        return None
    figure = canvas.blank(4.7)
    first = opened[0]
    subtitle = (
        f"a server that freezes {first.freeze_s:g} s in every {first.every_s:g} s, {first.offered_rps:g} requests/s"
    )
    top_in = canvas.titled(figure, freeze_title(calibration), f"{subtitle}; every round drawn")
    axes = canvas.axes_in(figure, left_in=1.0, right_in=0.3, bottom_in=0.75, top_in=top_in + 0.1)
    axes.set_xscale("log")
    curve = np.geomspace(2, 1 / (1 - max(row.percentile for row in opened) / 100), 300)
    base_ms = figures.unfrozen_ms(opened)
    expected = [bounds.frozen_response_ms(100 - 100 / tail, base_ms, first.freeze_s, first.every_s) for tail in curve]
    axes.plot(curve, expected, color=GREY, lw=6, alpha=0.45, solid_capstyle="round", label="response time, computed")
    _percentile_lines(axes, opened, BLUE, "o", "", "response time, open model")
    _percentile_lines(axes, closed, ORANGE, "X", "--", "service time, closed loop")
    _percentile_ticks(axes, curve[-1])
    axes.set_ylim(bottom=first.freeze_s * -25, top=first.freeze_s * 1000 * 1.06)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} ms"))
    axes.set_xlabel("share of requests answered within that time")
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", frameon=True, facecolor="white", edgecolor="none", framealpha=1, fontsize=11)
    return figure


def _percentile_lines(axes: Axes, rows: Sequence[FreezeRow], colour: str, marker: str, line: str, label: str) -> None:
    for number in sorted({row.round for row in rows}):
        matching = sorted((row for row in rows if row.round == number), key=lambda row: row.percentile)
        tails = [1 / (1 - row.percentile / 100) for row in matching]
        values = [row.value_ms for row in matching]
        axes.plot(
            tails,
            values,
            marker=marker,
            ls=line or "none",
            color=colour,
            ms=8,
            mec="white",
            mew=0.8,
            lw=1.8,
            label=label,
            clip_on=False,
            zorder=4,
        )
        label = "_" + label


def _percentile_ticks(axes: Axes, last: float) -> None:
    axes.set_xlim(2, last * 1.04)
    shown = [percent for percent in (50, 80, 90, 95, 98, 99) if 1 / (1 - percent / 100) <= last * 1.04]
    names = {round(1 / (1 - percent / 100)): f"{percent} %" for percent in shown}
    axes.xaxis.set_major_locator(FixedLocator(list(names)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: names.get(round(value), "")))
    axes.xaxis.set_minor_locator(NullLocator())


def freeze_title(calibration: Calibration) -> str:
    """The largest deviation, and the closed loop's service time at CLAIM_PERCENTILE."""
    found = figures.deviations(calibration.freeze)
    if not found:
        return "A server that freezes"
    worst = max(found, key=lambda deviation: deviation.off_ms)
    off = f"{formatting.duration(worst.off_ms)} ({formatting.share(worst.off_share)}) off the computed value"
    claim, truth = closed_claim_ms(calibration), [d.measured_ms for d in found if d.percentile == CLAIM_PERCENTILE]
    if claim is None or not truth:
        return f"A freezing server: response times at most {off}"
    users = f"{formatting.duration(claim)} where users wait {formatting.duration(statistics.median(truth))}"
    return f"Response times at most {off}; at p{CLAIM_PERCENTILE} a closed loop shows {users}"


def closed_claim_ms(calibration: Calibration) -> float | None:
    """The closed loop's service time at CLAIM_PERCENTILE, median over rounds."""
    claims = [row.value_ms for row in figures.closed_service(calibration.freeze) if row.percentile == CLAIM_PERCENTILE]
    return statistics.median(claims) if claims else None
