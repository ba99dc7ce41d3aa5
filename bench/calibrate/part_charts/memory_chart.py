"""The recorder's resident memory."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bench.calibrate import calibration_figures as figures
from bench.calibrate.calibration_files import Calibration
from bench.calibrate.calibration_words import many
from bench.calibrate.limits import (
    MAX_MEMORY_MB,
)
from bench.calibrate.part_charts.chart_axes import (
    BLUE,
)
from bench.report.charts import canvas
from bench.report.charts.canvas import GRID, SHADE


def draw_memory(calibration: Calibration) -> Figure | None:
    """The recorder's resident set against the number of requests."""
    rows = sorted(calibration.memory, key=lambda row: row.requests)
    if not rows:
        return None
    figure = canvas.blank(4.7)
    top_in = canvas.titled(
        figure, memory_title(calibration), f"the recording process; grey: {MAX_MEMORY_MB:g} MB more than at first"
    )
    axes = canvas.axes_in(figure, left_in=0.95, right_in=0.35, bottom_in=0.75, top_in=top_in)
    requests, resident = [row.requests for row in rows], [row.resident_mb for row in rows]
    axes.set_xscale("log")
    axes.axhspan(resident[0], resident[0] + MAX_MEMORY_MB, color=SHADE, lw=0, zorder=0)
    axes.plot(requests, resident, "o-", color=BLUE, ms=9, lw=2.2, mec="white", zorder=4)
    for at, value in zip(requests, resident, strict=True):
        axes.annotate(
            f"{value:.1f} MB", (at, value), (0, -12), textcoords="offset points", ha="center", va="top", weight="bold"
        )
    axes.set_xlim(requests[0] / 2, requests[-1] * 2)
    axes.set_ylim(0, max(*resident, resident[0] + MAX_MEMORY_MB) * 1.1)
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: many(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} MB"))
    axes.set_xlabel("requests recorded (log scale)")
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    return figure


def memory_title(calibration: Calibration) -> str:
    """Growth from the fewest requests to the most."""
    growth = figures.growth_mb(calibration.memory)
    if growth is None:
        return "Memory of the recorder"
    fewest, most = (pick(row.requests for row in calibration.memory) for pick in (min, max))
    change = f"{abs(growth):.1f} MB {'more' if growth >= 0 else 'less'}"
    return f"Recording {many(most)} requests takes {change} memory than {many(fewest)}"
