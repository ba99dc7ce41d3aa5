"""The charts of calibration: one pure function each, from the rows of a part to a figure, or None without rows."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from bench.calibrate.calibration_files import Calibration
from bench.calibrate.part_charts.freeze_chart import draw_freeze
from bench.calibrate.part_charts.generators_chart import draw_generators
from bench.calibrate.part_charts.lag_chart import draw_lag
from bench.calibrate.part_charts.memory_chart import draw_memory
from bench.calibrate.part_charts.noise_chart import draw_noise
from bench.calibrate.part_charts.overhead_chart import draw_overhead
from bench.report.charts import canvas
from bench.report.charts.canvas import ChartDrawing

PartChart = Callable[[Calibration], Figure | None]

PART_CHARTS: dict[str, PartChart] = {
    "generators": draw_generators,
    "lag": draw_lag,
    "freeze": draw_freeze,
    "memory": draw_memory,
    "overhead": draw_overhead,
    "noise": draw_noise,
}
"""By part, in the order of the page. The other parts have no chart."""


def draw_part_charts(calibration: Calibration) -> list[ChartDrawing]:
    """Every chart that has data."""
    drawings = []
    with canvas.chart_style():
        for part, draw in PART_CHARTS.items():
            figure = draw(calibration)
            if figure is not None:
                drawings.append(canvas.rendered(part, f"calibration-{part}", figure))
    return drawings
