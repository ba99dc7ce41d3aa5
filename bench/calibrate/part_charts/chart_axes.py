"""What the charts of calibration share: colours, rows and logarithmic axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from bench.calibrate.rows import OUR_GENERATOR
from bench.report.charts import canvas
from bench.report.charts.canvas import FIXES, GRID, TRAPS
from bench.report.text import formatting

BLUE, ORANGE, GREY = FIXES[0], TRAPS[0], "#6b6b6b"

MAX_ROWS = 10
"""More generators or rates than that cannot be compared by eye."""


def fitted_name(generator: str) -> str:
    """A generator's name, cut to the width of its column."""
    return canvas.fit(formatting.clean(generator, formatting.NAME_LIMIT), 1.6, bold=generator == OUR_GENERATOR)


def offsets(n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Vertical offsets of n dots, so that they do not cover each other."""
    return np.linspace(-0.2, 0.2, n) if n > 1 else np.zeros(1)


def rows_axis(axes: Axes, rows: int) -> None:
    """A vertical axis of rows, without ticks."""
    if rows:
        axes.set_ylim(rows - 0.45, -0.55)
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)


def log_limits(axes: Axes, wide: bool = False) -> None:
    """Limits around all points, with as many labels as there is room for."""
    drawn = [
        float(value) for line in axes.lines if line.get_marker() != "None" for value in np.asarray(line.get_xdata())
    ]
    low, high = min(drawn) / 1.5, max(drawn) * 1.5
    widen = max(1.0, math.sqrt(10 * low / high))  # a decade at least, since labels of less are not round numbers
    low, high = low / widen, high * widen
    axes.set_xlim(low, high)
    decades = math.log10(high / low)
    few, some = (1.2, 2.5) if wide else (0.0, 1.4)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < few else (1, 3) if decades < some else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
