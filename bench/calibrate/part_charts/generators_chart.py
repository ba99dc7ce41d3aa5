"""Requests per second and CPU per request of every generator."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.calibrate import calibration_figures as figures
from bench.calibrate.calibration_files import Calibration
from bench.calibrate.calibration_words import fraction, three_digits, times, us
from bench.calibrate.part_charts.chart_axes import (
    BLUE,
    GREY,
    MAX_ROWS,
    fitted_name,
    log_limits,
    offsets,
    rows_axis,
)
from bench.calibrate.rows import (
    FAST_HTTP_USER,
    OUR_GENERATOR,
    WRK,
)
from bench.report.charts import canvas
from bench.report.charts.canvas import INK
from bench.report.text import formatting


def draw_generators(calibration: Calibration) -> Figure | None:
    """Requests per second and CPU per request of every generator: one dot per round, a bar at the median."""
    rows = calibration.generators
    if not rows:
        return None
    names = sorted({row.generator for row in rows}, key=lambda name: -_median_rate(calibration, name))[:MAX_ROWS]
    figure = canvas.blank(2.15 + 0.65 * len(names))
    server = (
        f", against {formatting.clean(calibration.record.null_server, 40)}" if calibration.record.null_server else ""
    )
    top_in = canvas.titled(figure, generators_title(calibration), f"one core{server} · ○ one round · ┃ median")
    left_in = 0.3 + max(canvas.text_width_in(fitted_name(name), 11, name == OUR_GENERATOR) for name in names)
    each_in = (canvas.WIDTH_IN - left_in - 0.45) / 2
    panels = []
    for place, unit in enumerate(("requests per second (log scale)", "µs of CPU per request (log scale)")):
        start_in = left_in + place * (each_in + 0.25)
        panel = canvas.axes_in(
            figure,
            left_in=start_in,
            right_in=canvas.WIDTH_IN - start_in - each_in + 0.85,
            bottom_in=0.72,
            top_in=top_in + 0.1,
        )
        panel.set_xscale("log")
        panel.set_xlabel(unit)
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        rows_axis(panel, len(names))
        panels.append(panel)
    for row, name in enumerate(names):
        bold = "bold" if name == OUR_GENERATOR else "normal"
        panels[0].text(
            -0.04,
            row,
            fitted_name(name),
            transform=panels[0].get_yaxis_transform(),
            ha="right",
            va="center",
            weight=bold,
        )
        matching = [r for r in rows if r.generator == name]
        _dots(panels[0], row, [r.requests_per_s for r in matching], name == OUR_GENERATOR, formatting.rate)
        _dots(panels[1], row, [r.cpu_us_per_request for r in matching], name == OUR_GENERATOR, us)
    for panel in panels:
        log_limits(panel)
    return figure


def generators_title(calibration: Calibration) -> str:
    """``HubHttpUser: 50,000 requests/s on one core, 9.1 × FastHttpUser, 1.02 × wrk; 10.9 µs …``."""  # noqa: RUF002
    rows = calibration.generators
    matching = [row for row in rows if row.generator == OUR_GENERATOR]
    if not matching:
        return "Requests per second on one core"
    ratios = {name: figures.throughput_ratio(rows, OUR_GENERATOR, name) for name in (FAST_HTTP_USER, WRK)}
    text = "".join(f", {times(ratio.median)}\N{NO-BREAK SPACE}{name}" for name, ratio in ratios.items() if ratio)
    cpu_us = statistics.median(row.cpu_us_per_request for row in matching)
    share = figures.cpu_ratio(rows, OUR_GENERATOR, FAST_HTTP_USER)
    part = f", {fraction(share.median)}" if share else ""
    rate = f"{three_digits(_median_rate(calibration, OUR_GENERATOR))} requests/s on one core"
    return f"{OUR_GENERATOR}: {rate}{text}; {us(cpu_us)} of CPU{part}"


def _median_rate(calibration: Calibration, name: str) -> float:
    return statistics.median(row.requests_per_s for row in calibration.generators if row.generator == name)


def _dots(axes: Axes, row: int, values: Sequence[float], ours: bool, text: Callable[[float], str]) -> None:
    """A dot a round, a bar at the median, and the median in words in a column of its own."""
    colour = BLUE if ours else GREY
    middle = statistics.median(values)
    axes.plot([middle, middle], [row - 0.42, row + 0.42], color=colour, lw=3.5, solid_capstyle="butt", zorder=3)
    axes.plot(values, row + offsets(len(values)), "o", ms=4.5, mfc="white", mec=INK, mew=0.9, zorder=4)
    at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "left"}
    axes.text(1.04, row, text(middle), va="center", weight="bold" if ours else "normal", fontsize=12, **at)
