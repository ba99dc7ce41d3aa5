"""The charts of calibration: one pure function each, from a part's rows to a Figure, or None without rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bench.analysis.statistics import Spread
from bench.calibrate import analysis as measured
from bench.calibrate.analysis import AFTER, BARE, FAST, OURS, TURNS, WRK, Calibration
from bench.model import bounds
from bench.report.charts import canvas
from bench.report.charts.canvas import FAINT, FIXES, GRID, INK, SHADE, TRAPS, ChartDrawing
from bench.report.text import formatting

Chart = Callable[[Calibration], Figure | None]

BLUE, ORANGE, GREY = FIXES[0], TRAPS[0], "#6b6b6b"

LAG_RATE_RPS = 1000
"""The rate at which the lag is judged: about that of one FastAPI worker with a little work to do."""
CLAIM_PERCENTILE = 90
"""Where the closed loop's claim is told: half of what meets the freeze lies beyond."""
OVERHEAD_S, OVERHEAD_EACH_S = 1.5, 0.7
"""What a lineup may take beyond its load, and for each of its servers: starting Python, FastAPI and Locust."""
MEMORY_MB = 20.0
"""What recording 10 million requests may take more than recording 100 thousand."""
ROWS_SHOWN = 10
"""More generators than that are not compared by eye."""


def generators(calibration: Calibration) -> Figure | None:
    """Requests per second and CPU per request of every generator: a dot a round, a bar the median."""
    rows = calibration.generators
    if not rows:
        return None
    names = sorted({row.generator for row in rows}, key=lambda name: -_median_rate(calibration, name))[:ROWS_SHOWN]
    figure = canvas.blank(2.15 + 0.65 * len(names))
    server = f", against {formatting.clean(calibration.null_server, 40)}" if calibration.null_server else ""
    top_in = canvas.titled(figure, generators_title(calibration), f"one core{server} · ○ one round · ┃ median")
    left_in = 0.3 + max(canvas.text_width_in(_name(name), 11, name == OURS) for name in names)
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
        _rows_axis(panel, len(names))
        panels.append(panel)
    for row, name in enumerate(names):
        bold = "bold" if name == OURS else "normal"
        panels[0].text(
            -0.04, row, _name(name), transform=panels[0].get_yaxis_transform(), ha="right", va="center", weight=bold
        )
        own = [r for r in rows if r.generator == name]
        _dots(panels[0], row, [r.requests_per_s for r in own], name == OURS, formatting.rate)
        _dots(panels[1], row, [r.cpu_us_per_request for r in own], name == OURS, us)
    for panel in panels:
        _log_limits(panel)
    return figure


def generators_title(calibration: Calibration) -> str:
    """``HubHttpUser: 50,000 requests/s on one core, 9.1 × FastHttpUser, 1.02 × wrk; 10.9 µs …``."""  # noqa: RUF002
    rows = calibration.generators
    own = [row for row in rows if row.generator == OURS]
    if not own:
        return "Requests per second on one core"
    ratios = {name: measured.throughput_ratio(rows, OURS, name) for name in (FAST, WRK)}
    told = "".join(f", {times(ratio.median)}\N{NO-BREAK SPACE}{name}" for name, ratio in ratios.items() if ratio)
    cpu_us = statistics.median(row.cpu_us_per_request for row in own)
    share = measured.cpu_ratio(rows, OURS, FAST)
    part = f", {_part(share.median)}" if share else ""
    rate = f"{three_digits(_median_rate(calibration, OURS))} requests/s on one core"
    return f"{OURS}: {rate}{told}; {us(cpu_us)} of CPU{part}"


def _median_rate(calibration: Calibration, name: str) -> float:
    return statistics.median(row.requests_per_s for row in calibration.generators if row.generator == name)


def _dots(
    axes: Axes, row: int, values: Sequence[float], ours: bool, said: Callable[[float], str], note: str = ""
) -> None:
    """A dot a round, a bar at the median, and the median in words in a column of its own."""
    colour = BLUE if ours else GREY
    middle = statistics.median(values)
    axes.plot([middle, middle], [row - 0.42, row + 0.42], color=colour, lw=3.5, solid_capstyle="butt", zorder=3)
    axes.plot(values, row + _offsets(len(values)), "o", ms=4.5, mfc="white", mec=INK, mew=0.9, zorder=4)
    at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "left"}
    axes.text(1.04, row, said(middle), va="center", weight="bold" if ours else "normal", fontsize=12, **at)


def lag(calibration: Calibration) -> Figure | None:
    """How late the open model sends at each rate, beside a loop that does nothing but wake up."""
    rows = calibration.lag
    if not rows:
        return None
    rates = sorted({row.rate_rps for row in rows})[:ROWS_SHOWN]
    figure = canvas.blank(1.95 + 1.15 * len(rates))
    top_in = canvas.titled(
        figure,
        lag_title(calibration),
        "lag: sent − due · ● median of p50 · ◆ median of p99 · ○ ◇ one round",  # noqa: RUF001
    )
    axes = canvas.axes_in(figure, left_in=1.75, right_in=1.45, bottom_in=0.72, top_in=top_in)
    _rows_axis(axes, 0)
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
        for name in (OURS, BARE):
            found = [row for row in rows if (row.rate_rps, row.generator) == (rate, name)]
            if found:
                _lag_row(axes, place, found, name == OURS)
            ticks.append(place)
            place += 1.0
        place += 1.3
    axes.set_ylim(ticks[-1] + 0.6, -1.15)
    axes.set_xscale("log")
    _log_limits(axes, wide=True)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g} µs" if value < 1000 else f"{value / 1000:g} ms")
    )
    axes.set_xlabel("lag (log scale)")
    return figure


def _lag_row(axes: Axes, place: float, rows: Sequence[measured.LagRow], ours: bool) -> None:
    colour = BLUE if ours else GREY
    p50, p99 = [row.p50_us for row in rows], [row.p99_us for row in rows]
    middle = statistics.median(p50), statistics.median(p99)
    axes.plot(middle, [place, place], color=colour, lw=4, alpha=0.45, solid_capstyle="butt", zorder=2)
    for values, marker, at in ((p50, "o", middle[0]), (p99, "D", middle[1])):
        axes.plot(at, place, marker=marker, ms=9.5 if marker == "o" else 8.5, mfc=colour, mec="white", mew=1, zorder=4)
        if len(values) > 1:
            axes.plot(
                values,
                place + _offsets(len(values)),
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
    name = OURS if ours else "bare sleep loop"
    axes.text(-0.02, place, name, transform=across, ha="right", va="center", weight=weight)
    at_right: dict[str, Any] = {"transform": across, "ha": "left"}
    axes.text(1.03, place - 0.03, f"p50 {us(middle[0])}", va="bottom", weight=weight, **at_right)
    axes.text(1.03, place + 0.03, f"p99 {us(middle[1])}", va="top", color=FAINT, **at_right)


def lag_title(calibration: Calibration) -> str:
    """Ours by the bare loop's at LAG_RATE_RPS."""
    p50 = measured.lag_ratio(calibration.lag, LAG_RATE_RPS, p99=False)
    p99 = measured.lag_ratio(calibration.lag, LAG_RATE_RPS, p99=True)
    if p50 is None or p99 is None:
        return "How late requests are sent"
    of = f"{times(p50.median)} a bare sleep loop's at p50, {times(p99.median)} at p99"
    return f"At {LAG_RATE_RPS:,} requests/s {OURS}'s lag is {of}"


def freeze(calibration: Calibration) -> Figure | None:
    """Percentiles of a server that stands still: measured open, computed, and as a closed loop shows them."""
    rows = calibration.freeze
    opened, closed = measured.open_response(rows), measured.closed_service(rows)
    if not opened:
        return None
    figure = canvas.blank(4.7)
    first = opened[0]
    subtitle = (
        f"a server that stands still {first.freeze_s:g} s in every {first.every_s:g}, {first.offered_rps:g} requests/s"
    )
    top_in = canvas.titled(figure, freeze_title(calibration), f"{subtitle}; every round drawn")
    axes = canvas.axes_in(figure, left_in=1.0, right_in=0.3, bottom_in=0.75, top_in=top_in + 0.1)
    axes.set_xscale("log")
    curve = np.geomspace(2, 1 / (1 - max(row.percentile for row in opened) / 100), 300)
    base_ms = measured.unfrozen_ms(opened)
    expected = [bounds.frozen_response_ms(100 - 100 / tail, base_ms, first.freeze_s, first.every_s) for tail in curve]
    axes.plot(
        curve, expected, color=GREY, lw=6, alpha=0.45, solid_capstyle="round", label="response time by arithmetic"
    )
    _percentile_lines(axes, opened, BLUE, "o", "", "response time, open model")
    _percentile_lines(axes, closed, ORANGE, "X", "--", "service time, closed loop")
    _percentile_ticks(axes, curve[-1])
    axes.set_ylim(bottom=first.freeze_s * -25, top=first.freeze_s * 1000 * 1.06)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} ms"))
    axes.set_xlabel("share of the requests answered within that time")
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", frameon=True, facecolor="white", edgecolor="none", framealpha=1, fontsize=11)
    return figure


def _percentile_lines(
    axes: Axes, rows: Sequence[measured.FreezeRow], colour: str, marker: str, line: str, label: str
) -> None:
    for number in sorted({row.round for row in rows}):
        own = sorted((row for row in rows if row.round == number), key=lambda row: row.percentile)
        tails = [1 / (1 - row.percentile / 100) for row in own]
        values = [row.value_ms for row in own]
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
    """The largest deviation, and what the closed loop says at CLAIM_PERCENTILE."""
    found = measured.deviations(calibration.freeze)
    if not found:
        return "A server that stands still"
    worst = max(found, key=lambda deviation: deviation.off_ms)
    off = f"{formatting.duration(worst.off_ms)} ({formatting.share(worst.off_share)}) off arithmetic"
    claim, truth = closed_claim_ms(calibration), [d.measured_ms for d in found if d.percentile == CLAIM_PERCENTILE]
    if claim is None or not truth:
        return f"A freezing server: response times at most {off}"
    users = f"{formatting.duration(claim)} where users wait {formatting.duration(statistics.median(truth))}"
    return f"Response times at most {off}; at p{CLAIM_PERCENTILE} a closed loop claims {users}"


def closed_claim_ms(calibration: Calibration) -> float | None:
    """The closed loop's service time at CLAIM_PERCENTILE, median over rounds."""
    claims = [row.value_ms for row in measured.closed_service(calibration.freeze) if row.percentile == CLAIM_PERCENTILE]
    return statistics.median(claims) if claims else None


def memory(calibration: Calibration) -> Figure | None:
    """The recorder's resident set against the number of requests."""
    rows = sorted(calibration.memory, key=lambda row: row.requests)
    if not rows:
        return None
    figure = canvas.blank(4.7)
    top_in = canvas.titled(
        figure, memory_title(calibration), f"the process that records; grey: what {MEMORY_MB:g} MB more would be"
    )
    axes = canvas.axes_in(figure, left_in=0.95, right_in=0.35, bottom_in=0.75, top_in=top_in)
    requests, resident = [row.requests for row in rows], [row.resident_mb for row in rows]
    axes.set_xscale("log")
    axes.axhspan(resident[0], resident[0] + MEMORY_MB, color=SHADE, lw=0, zorder=0)
    axes.plot(requests, resident, "o-", color=BLUE, ms=9, lw=2.2, mec="white", zorder=4)
    for at, value in zip(requests, resident, strict=True):
        axes.annotate(
            f"{value:.1f} MB", (at, value), (0, -12), textcoords="offset points", ha="center", va="top", weight="bold"
        )
    axes.set_xlim(requests[0] / 2, requests[-1] * 2)
    axes.set_ylim(0, max(*resident, resident[0] + MEMORY_MB) * 1.1)
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
    growth = measured.growth_mb(calibration.memory)
    if growth is None:
        return "Memory of the recorder"
    fewest, most = (pick(row.requests for row in calibration.memory) for pick in (min, max))
    change = f"{abs(growth):.1f} MB {'more' if growth >= 0 else 'less'}"
    return f"Recording {many(most)} requests takes {change} memory than {many(fewest)}"


def overhead(calibration: Calibration) -> Figure | None:
    """What a lineup takes beyond its load, by its number of servers."""
    rows = calibration.overhead
    if not rows:
        return None
    figure = canvas.blank(4.3)
    top_in = canvas.titled(
        figure, overhead_title(calibration), "seconds beyond warm-up and measurement · ○ one round · ● median"
    )
    axes = canvas.axes_in(figure, left_in=0.85, right_in=1.95, bottom_in=0.75, top_in=top_in)
    middle = measured.overheads_s(rows)
    numbers = list(middle)
    allowed = [allowed_s(number) for number in numbers]
    axes.plot(numbers, allowed, color=GREY, lw=1.8, ls=(0, (5, 3)))
    axes.plot(numbers, list(middle.values()), "o-", color=BLUE, ms=9, lw=2.2, mec="white", zorder=3)
    for number in numbers:
        own = [row.overhead_s for row in rows if row.servers == number]
        if len(own) > 1:
            axes.plot(number + 0.5 * _offsets(len(own)), own, "o", ms=4.5, mfc="white", mec=INK, mew=0.8, zorder=4)
    axes.set_xlim(numbers[0] - 0.4, numbers[-1] + 0.4)
    axes.set_ylim(min(0, *(row.overhead_s for row in rows)), max(*allowed, *(row.overhead_s for row in rows)) * 1.12)
    axes.xaxis.set_major_locator(FixedLocator(numbers))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    axes.set_xlabel("servers in the lineup")
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    _end_labels(
        figure,
        axes,
        {"measured": list(middle.values())[-1], f"dashed: {OVERHEAD_S} + {OVERHEAD_EACH_S}·N": allowed[-1]},
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


def allowed_s(servers: int) -> float:
    """Seconds that a lineup may take beyond its load."""
    return OVERHEAD_S + OVERHEAD_EACH_S * servers


def overhead_title(calibration: Calibration) -> str:
    """From the fewest servers to the most."""
    middle = measured.overheads_s(calibration.overhead)
    if not middle:
        return "What a lineup takes beyond its load"
    fewest, most = min(middle), max(middle)
    told = f"Starting and stopping a lineup takes {middle[fewest]:.1f} s with {servers(fewest)}"
    return told if fewest == most else f"{told}, {middle[most]:.1f} s with {most:,}"


def noise(calibration: Calibration) -> Figure | None:
    """Every round's log ratio of two identical variants, by both ways of comparing; 0 is the truth."""
    rows = calibration.noise
    found = {method: measured.noise_spread(rows, method) for method in (AFTER, TURNS)}
    shown = [(method, spread) for method, spread in found.items() if spread]
    if not shown:
        return None
    figure = canvas.blank(2.1 + 1.1 * len(shown))
    top_in = canvas.titled(
        figure, noise_title(calibration), "two identical variants; ○ one round · bar: ± one standard deviation about 0"
    )
    axes = canvas.axes_in(figure, left_in=1.95, right_in=1.75, bottom_in=0.72, top_in=top_in)
    _rows_axis(axes, len(shown))
    for row, (method, spread) in enumerate(shown):
        own = [r for r in rows if r.method == method]
        colour, hatch = (BLUE, "") if method == TURNS else (ORANGE, "///")
        width = 200 * spread.value
        axes.barh(
            row, width, left=-width / 2, height=0.6, color=colour, alpha=0.35, hatch=hatch, edgecolor="white", lw=0
        )
        values = [100 * r.log_ratio for r in own]
        axes.plot(values, row + _offsets(len(own)), "o", ms=5.5, mfc="white", mec=INK, mew=1.0, zorder=4)
        _noise_words(axes, row, method, spread, statistics.median(r.took_s for r in own))
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
    weight = "bold" if method == TURNS else "normal"
    left: dict[str, Any] = {"transform": across, "ha": "right"}
    axes.text(-0.03, row - 0.03, method, va="bottom", weight=weight, **left)
    axes.text(-0.03, row + 0.03, f"{took_s:.1f} s a round", va="top", color=FAINT, **left)
    right: dict[str, Any] = {"transform": across, "ha": "left"}
    axes.text(1.03, row - 0.03, formatting.share(spread.value), va="bottom", weight="bold", fontsize=12, **right)
    axes.text(1.03, row + 0.03, interval_of(spread) or "one round", va="top", color=FAINT, **right)


def interval_of(spread: Spread) -> str:
    """``95 %: 1.5 to 3.7 %``; empty where it cannot be had."""
    if spread.low is None or spread.high is None:
        return ""
    return f"95 %: {formatting.span(formatting.share(spread.low), formatting.share(spread.high))}"


def noise_title(calibration: Calibration) -> str:
    """Both standard deviations and their ratio."""
    turns, after = (measured.noise_spread(calibration.noise, method) for method in (TURNS, AFTER))
    if turns is None or after is None or after.value == 0:
        return "How far two identical variants differ"
    told = f"Identical variants differ by {formatting.share(turns.value)} taking turns, {formatting.share(after.value)} {AFTER}"
    return f"{told}: {times(turns.value / after.value)} the noise"


CHARTS: tuple[Chart, ...] = (generators, lag, freeze, memory, overhead, noise)
"""In the page's order, each by its part's name."""


def draw(calibration: Calibration) -> list[ChartDrawing]:
    """Every chart that has data."""
    drawings = []
    with canvas.style():
        for chart in CHARTS:
            figure = chart(calibration)
            if figure is not None:
                drawings.append(canvas.rendered(chart.__name__, f"calibration-{chart.__name__}", figure))
    return drawings


def times(ratio: float) -> str:
    """``9.1 ×``, ``1.03 ×``, ``17 ×``."""  # noqa: RUF002
    decimals = 0 if ratio >= 9.95 else 1 if ratio >= 1.95 else 2
    return f"{ratio:.{decimals}f}\N{NO-BREAK SPACE}×"  # noqa: RUF001


_PARTS = {
    2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth", 7: "a seventh", 8: "an eighth", 9: "a ninth",
    10: "a tenth", 11: "an eleventh", 12: "a twelfth", 13: "a thirteenth", 14: "a fourteenth", 15: "a fifteenth",
    16: "a sixteenth", 17: "a seventeenth", 18: "an eighteenth", 19: "a nineteenth", 20: "a twentieth",
}  # fmt: skip


def _part(share: float) -> str:
    """``a seventeenth`` for 0.06; what is no such part, as a per cent."""
    nearest = round(1 / share)
    return _PARTS.get(nearest, f"{formatting.share(share)}")


def us(value: float) -> str:
    """``43 µs``, ``1.4 ms``."""
    if value >= 999.5:
        return formatting.duration(value / 1000).replace(" ", "\N{NO-BREAK SPACE}")
    digits = 1 if value < 19.95 and value % 1 else 0
    return f"{value:.{digits}f}\N{NO-BREAK SPACE}µs"


def many(count: float) -> str:
    """``100 thousand``, ``10 million``."""
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= size:
            return f"{count / size:g} {word}"
    return f"{count:g}"


def three_digits(value: float) -> str:
    """``49,981`` is ``50,000``: the rest does not repeat."""
    step = 10 ** max(0, math.floor(math.log10(value)) - 2)
    return f"{round(value / step) * step:,.0f}"


def servers(number: int) -> str:
    return "1 server" if number == 1 else f"{number:,} servers"


def _name(generator: str) -> str:
    return canvas.fit(formatting.clean(generator, formatting.NAME_LIMIT), 1.6, bold=generator == OURS)


def _offsets(n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """So that the dots of rounds do not hide one another."""
    return np.linspace(-0.2, 0.2, n) if n > 1 else np.zeros(1)


def _rows_axis(axes: Axes, rows: int) -> None:
    if rows:
        axes.set_ylim(rows - 0.45, -0.55)
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)


def _log_limits(axes: Axes, wide: bool = False) -> None:
    """Around all points, with as many labels as have room."""
    drawn = [
        float(value) for line in axes.lines if line.get_marker() != "None" for value in np.asarray(line.get_xdata())
    ]
    low, high = min(drawn) / 1.5, max(drawn) * 1.5
    widen = max(1.0, math.sqrt(10 * low / high))  # to a decade at least: labels of less are no round numbers
    low, high = low / widen, high * widen
    axes.set_xlim(low, high)
    decades = math.log10(high / low)
    few, some = (1.2, 2.5) if wide else (0.0, 1.4)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < few else (1, 3) if decades < some else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
