"""How long a group of servers takes beyond its load."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from bench.calibrate import calibration_figures as figures
from bench.calibrate.calibration_files import Calibration
from bench.calibrate.calibration_words import servers
from bench.calibrate.limits import (
    OVERHEAD_PER_SERVER_S,
    OVERHEAD_S,
    max_overhead_s,
)
from bench.calibrate.part_charts.chart_axes import (
    BLUE,
    GREY,
    offsets,
)
from bench.report.charts import canvas
from bench.report.charts.canvas import GRID, INK


def draw_overhead(calibration: Calibration) -> Figure | None:
    """Seconds beyond the load, by the number of servers."""
    rows = calibration.overhead
    if not rows:
        return None
    figure = canvas.blank(4.3)
    top_in = canvas.titled(
        figure, overhead_title(calibration), "seconds beyond warm-up and measurement · ○ one round · ● median"
    )
    axes = canvas.axes_in(figure, left_in=0.85, right_in=1.95, bottom_in=0.75, top_in=top_in)
    middle = figures.overheads_s(rows)
    numbers = list(middle)
    allowed = [max_overhead_s(number) for number in numbers]
    axes.plot(numbers, allowed, color=GREY, lw=1.8, ls=(0, (5, 3)))
    axes.plot(numbers, list(middle.values()), "o-", color=BLUE, ms=9, lw=2.2, mec="white", zorder=3)
    for number in numbers:
        matching = [row.overhead_s for row in rows if row.servers == number]
        if len(matching) > 1:
            axes.plot(
                number + 0.5 * offsets(len(matching)), matching, "o", ms=4.5, mfc="white", mec=INK, mew=0.8, zorder=4
            )
    axes.set_xlim(numbers[0] - 0.4, numbers[-1] + 0.4)
    axes.set_ylim(min(0, *(row.overhead_s for row in rows)), max(*allowed, *(row.overhead_s for row in rows)) * 1.12)
    axes.xaxis.set_major_locator(FixedLocator(numbers))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    axes.set_xlabel("servers in the group")
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    _end_labels(
        figure,
        axes,
        {"measured": list(middle.values())[-1], f"dashed: {OVERHEAD_S} + {OVERHEAD_PER_SERVER_S}·N": allowed[-1]},
    )
    return figure


def _end_labels(figure: Figure, axes: Axes, ends: dict[str, float]) -> None:
    low, high = axes.get_ylim()
    height_in = axes.get_position().height * figure.get_figheight()
    places = canvas.spread([(end - low) / (high - low) for end in ends.values()], 0.22 / height_in, 0.03, 0.97)
    for (name, end), place in zip(ends.items(), places, strict=True):
        text = f"{name}: {end:.1f} s" if name == "measured" else name
        bold = "bold" if name == "measured" else "normal"
        axes.text(1.02, place, text, transform=axes.transAxes, va="center", weight=bold)


def overhead_title(calibration: Calibration) -> str:
    """From the fewest servers to the most."""
    middle = figures.overheads_s(calibration.overhead)
    if not middle:
        return "Time a group of servers takes beyond its load"
    fewest, most = min(middle), max(middle)
    text = f"Starting and stopping a group takes {middle[fewest]:.1f} s with {servers(fewest)}"
    return text if fewest == most else f"{text}, {middle[most]:.1f} s with {most:,}"
