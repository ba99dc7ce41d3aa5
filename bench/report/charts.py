"""The charts: one pure function each, from frames and their summary to a matplotlib Figure, or None without data.

To add a chart, write such a function and put its name into CHARTS. Titles say what was found.

The Figure is used without pyplot: its import costs a second and it keeps figures alive behind one's back.
"""

from __future__ import annotations

import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bench.analysis.frames import HEALTH_ENDPOINT, Frames, VariantInfo
from bench.analysis.statistics import SAMPLES_BEYOND, Floats, latencies, maximum, percentile, survival
from bench.analysis.summary import HEALTH_TIMEOUT_S, Summary, throughputs_rps
from bench.analysis.summary import Figure as Number
from bench.report import findings, wording

Chart = Callable[[Frames, Summary], Figure | None]

INK, FAINT, GRID, SHADE = "#1b1b1b", "#5a5a5a", "#dcdcdc", "#efefef"
TRAPS = ("#D55E00", "#8C3B00", "#E69F00")
FIXES = ("#0072B2", "#009E73", "#56B4E9", "#CC79A7")
BASELINES = ("#6b6b6b", "#9a9a9a", "#404040")

WIDTH_IN = 8.0
DPI = 150

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.8,
    # A variant may be called a$b: dollars are not formulas here.
    "text.parse_math": False,
    # Text stays text: a third of the size of drawn glyphs, can be searched and read aloud. The layout is made with
    # DejaVu Sans, which is wider than what a system without it falls back to, so nothing grows into its neighbour.
    "svg.fonttype": "none",
    # Ids are derived from content and this salt, and no date is written: the same data gives the same bytes.
    "svg.hashsalt": "bench",
}
FONTS = "'DejaVu Sans', Verdana, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Look:
    """How a variant is drawn, everywhere: colour by role, and what tells it apart without colour."""

    colour: str
    marker: str
    line: str
    hatch: str


@dataclass(frozen=True)
class Drawing:
    """A chart as files: ``svg`` stands alone and in a page, ``alt`` is its title for those who cannot see it."""

    name: str
    svg: str
    png: bytes
    alt: str


def looks(variants: Sequence[VariantInfo]) -> dict[str, Look]:
    """Each variant's look by its role and its place among those of that role."""
    shapes = {
        "trap": (TRAPS, "XP*", ("-", "-", "-"), ("///", "\\\\\\", "xxx")),
        "fix": (FIXES, "os^D", ("-", "--", "-.", ":"), ("", "", "", "")),
    }
    chosen: dict[str, Look] = {}
    seen: dict[str, int] = {}
    for variant in variants:
        role = variant.role if variant.role in shapes else "baseline"
        colours, markers, lines, hatches = shapes.get(role, (BASELINES, "vph", ("--", ":", "-."), ("--", "||", "++")))
        place = seen.get(role, 0)
        seen[role] = place + 1
        at = place % len(markers)
        chosen[variant.name] = Look(
            colours[place % len(colours)], markers[at], lines[at % len(lines)], hatches[at % len(hatches)]
        )
    return chosen


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels as little as need be so that they are ``gap`` apart and within ``low`` to ``high``; order is kept.

    Where they do not fit at all, they are spread evenly.
    """
    n = len(wanted)
    if n == 0:
        return []
    if gap * (n - 1) >= high - low:
        step = (high - low) / max(1, n - 1)
        places = [low + step * i for i in range(n)]
    else:
        places = _pushed_apart(sorted(wanted), gap, low, high)
    order = sorted(range(n), key=lambda i: wanted[i])
    placed = [0.0] * n
    for place, i in zip(places, order, strict=True):
        placed[i] = place
    return placed


def _pushed_apart(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Least squares with a minimal gap: neighbours that collide are pooled around their common mean."""
    blocks: list[tuple[float, int]] = []
    for i, place in enumerate(wanted):
        mean, size = place - gap * i, 1
        while blocks and blocks[-1][0] > mean:
            before, members = blocks.pop()
            mean, size = (before * members + mean * size) / (members + size), members + size
        blocks.append((mean, size))
    start = [mean for mean, size in blocks for _ in range(size)]
    last = high - gap * (len(wanted) - 1)
    return [min(max(place, low), last) + gap * i for i, place in enumerate(start)]


def throughput(frames: Frames, summary: Summary) -> Figure | None:
    """Requests per second: a bar a variant with its interval, every round's own point, and the ceiling."""
    shown = [v for v in frames.variants if summary.get(v.name, frames.scenario.endpoint, "throughput_rps")]
    if not shown:
        return None
    rounds = max(len(frames.rounds(variant.name)) for variant in shown)
    whisker = "whisker: 95 % interval · dot: one round" if rounds > 1 else findings.ONE_ROUND
    figure, axes = _rows_chart(
        shown, findings.throughput_title(frames, summary), f"bar: mean · {whisker} · black mark: ceiling", right_in=1.95
    )
    style = looks(frames.scenario.variants)
    longest = 0.0
    for row, variant in enumerate(shown):
        longest = max(longest, _throughput_row(axes, row, frames, summary, variant, style[variant.name]))
    axes.set_xlim(0, longest * 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if longest >= 6 else f"{value:g}"))
    axes.set_xlabel("requests per second")
    axes.grid(axis="x", color=GRID)
    return figure


def _throughput_row(axes: Axes, row: int, frames: Frames, summary: Summary, variant: VariantInfo, look: Look) -> float:
    endpoint = frames.scenario.endpoint
    number = summary.get(variant.name, endpoint, "throughput_rps")
    assert number is not None
    ceiling = summary.value(variant.name, endpoint, "ceiling_rps")
    axes.barh(row, number.value, height=0.62, color=look.colour, hatch=look.hatch, edgecolor="white", linewidth=0)
    points = list(throughputs_rps(frames, variant.name, endpoint).values())
    offsets = np.linspace(-0.2, 0.2, len(points)) if len(points) > 1 else [0.0]
    axes.plot(points, row + np.asarray(offsets), "o", ms=4.5, mfc="white", mec=INK, mew=0.9, zorder=7)
    if number.ci_low is not None and number.ci_high is not None:
        axes.plot([number.ci_low, number.ci_high], [row, row], color=INK, lw=2.2, solid_capstyle="butt", zorder=5)
        for end in (number.ci_low, number.ci_high):
            axes.plot([end, end], [row - 0.12, row + 0.12], color=INK, lw=1.6, zorder=5)
    note = "no law for a ceiling"
    if ceiling is not None:
        axes.plot([ceiling, ceiling], [row - 0.42, row + 0.42], color=INK, lw=3, solid_capstyle="butt", zorder=6)
        note = f"{wording.of_ceiling(number.value, ceiling)} of {wording.rate(ceiling)}"
    _beside(axes, row, wording.with_half_width(number), note)
    return max(number.value, *points, ceiling or 0.0, number.ci_high or 0.0, 1e-9)


def percentiles(frames: Frames, summary: Summary) -> Figure | None:
    """Latency percentile curves on HdrHistogram's axis, as far as ten samples lie beyond."""
    endpoint = frames.scenario.endpoint
    curves = {v.name: _curve(frames, v.name, endpoint) for v in frames.variants}
    shown = [variant for variant in frames.variants if len(curves[variant.name][0])]
    if not shown:
        return None
    kind = "response time (from the intended start)" if frames.headline_kind(endpoint) == "response" else "service time"
    figure = _figure(5.2)
    title = findings.latency_title(frames, summary) or "Latency"
    top_in = _titled(figure, title, f"{kind} by percentile, all rounds together")
    axes = _axes(figure, left_in=1.0, right_in=2.45, bottom_in=0.75, top_in=top_in)
    style = looks(frames.scenario.variants)
    for variant in shown:
        nines, value_ms, _ = curves[variant.name]
        look = style[variant.name]
        axes.plot(nines, value_ms, color=look.colour, ls=look.line, lw=2.4, solid_capstyle="round")
        at = [i for tail in (2, 10, 100, 1000) if (i := int(np.searchsorted(nines, tail))) < len(nines)]
        axes.plot(nines[at], value_ms[at], ls="", marker=look.marker, ms=7.5, color=look.colour, mec="white", mew=0.7)
    _percentile_axis(axes, max(float(curves[v.name][0][-1]) for v in shown))
    _time_axis(axes, "y", np.concatenate([curves[v.name][1] for v in shown]))
    axes.set_ylabel("time to answer")
    axes.set_xlabel("share of the requests answered within that time")
    axes.grid(color=GRID)
    _curve_labels(figure, axes, frames, summary, shown, curves, style)
    return figure


Curve = tuple[Floats, Floats, bool]


def _curve(frames: Frames, variant: str, endpoint: str) -> Curve:
    """(1/(1-q), ms, whether it ends for want of answers rather than of samples), thinned to what can be seen."""
    estimate = survival(frames.pooled_latencies(variant, endpoint))
    if estimate.total < 2 * SAMPLES_BEYOND or not len(estimate.time_us):
        return np.empty(0), np.empty(0), False
    last = estimate.total / SAMPLES_BEYOND
    wanted = np.geomspace(1.0001, last, 240)
    wanted = np.unique(np.concatenate([wanted, [tail for tail in (2, 10, 100, 1000) if tail <= last]]))
    found = [percentile(estimate, 1 - 1 / tail) for tail in wanted]
    kept = [
        (tail, value.value / 1e3) for tail, value in zip(wanted, found, strict=True) if value and not value.at_least
    ]
    nines, value_ms = (np.asarray(column) for column in zip(*kept, strict=True)) if kept else (np.empty(0),) * 2
    return nines, value_ms, any(value is not None and value.at_least for value in found)


def _percentile_axis(axes: Axes, last: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(1, max(last * 1.02, 10.5))
    ticks = {1: "0", 2: "50 %", 10: "90 %", 100: "99 %", 1000: "99.9 %", 10_000: "99.99 %"}
    shown = [tick for tick in ticks if tick <= max(last * 1.02, 10.5)]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ticks.get(round(value), "")))
    axes.xaxis.set_minor_locator(NullLocator())


def _curve_labels(
    figure: Figure,
    axes: Axes,
    frames: Frames,
    summary: Summary,
    shown: Sequence[VariantInfo],
    curves: dict[str, Curve],
    style: dict[str, Look],
) -> None:
    """Names at the right edge, moved apart, each tied to the end of its line."""
    height_in = axes.get_position().height * figure.get_figheight()
    low, high = (math.log10(edge) for edge in axes.get_ylim())
    ends = [(math.log10(float(curves[v.name][1][-1])) - low) / (high - low) for v in shown]
    for variant, end, place in zip(shown, ends, spread(ends, 0.52 / height_in, 0.06, 0.95), strict=True):
        look = style[variant.name]
        nines, _, unanswered = curves[variant.name]
        start = math.log10(nines[-1]) / math.log10(axes.get_xlim()[1])
        axes.plot(
            [start, 1.03], [end, place], transform=axes.transAxes, color=look.colour, lw=0.9, ls=":", clip_on=False
        )
        axes.plot(
            [1.045], [place], transform=axes.transAxes, marker=look.marker, color=look.colour, ms=8, clip_on=False
        )
        name = fit(wording.name_of(variant), 1.85, bold=True)
        axes.text(1.075, place + 0.012, name, transform=axes.transAxes, va="bottom", weight="bold")
        note = _median_and_p99(summary, variant, frames.scenario.endpoint)
        note += " …" if unanswered else ""
        axes.text(1.075, place - 0.005, note, transform=axes.transAxes, va="top", color=FAINT)


def _median_and_p99(summary: Summary, variant: VariantInfo, endpoint: str) -> str:
    numbers = {name: summary.get(variant.name, endpoint, f"latency_{name}_ms") for name in ("p50", "p99")}
    return ", ".join(f"{name} {wording.latency(number)}" for name, number in numbers.items() if number)


def health(frames: Frames, summary: Summary) -> Figure | None:
    """The health check beside the load: median, p90 and the longest, with the 1 s time-out; bounds are arrows."""
    shown = [v for v in frames.variants if summary.get(v.name, HEALTH_ENDPOINT, "latency_max_ms")]
    if not shown:
        return None
    legend = "● p50: half are answered · ◆ p90 · ┃ max · ▷ still unanswered then"
    figure, axes = _rows_chart(
        shown, findings.health_title(frames, summary) or "The health check", legend, right_in=2.45
    )
    style = looks(frames.scenario.variants)
    found = {v.name: _health_numbers(summary, v) for v in shown}
    everything = [number.value for numbers in found.values() for number in numbers.values()]
    _time_axis(axes, "x", np.asarray([*everything, HEALTH_TIMEOUT_S * 1e3]))
    limit_ms = HEALTH_TIMEOUT_S * 1e3
    axes.axvline(limit_ms, color=INK, lw=1.4, ls=(0, (5, 3)), zorder=1)
    axes.text(limit_ms, 1.0, "1 s time-out ", transform=axes.get_xaxis_transform(), ha="right", va="bottom", color=INK)
    for row, variant in enumerate(shown):
        text = findings.answered(frames, variant.name, HEALTH_ENDPOINT)
        _health_row(axes, row, found[variant.name], style[variant.name], text)
    axes.set_xlabel(f"time until {HEALTH_ENDPOINT} is answered (log scale)")
    axes.grid(axis="x", color=GRID)
    return figure


def _health_numbers(summary: Summary, variant: VariantInfo) -> dict[str, Number]:
    names = ("p50", "p90", "max")
    found = {name: summary.get(variant.name, HEALTH_ENDPOINT, f"latency_{name}_ms") for name in names}
    return {name: number for name, number in found.items() if number is not None}


def _health_row(axes: Axes, row: int, numbers: dict[str, Number], look: Look, silence: str) -> None:
    markers = {"p50": "o", "p90": "D", "max": "|"}
    values = [number.value for number in numbers.values()]
    axes.plot([min(values), max(values)], [row, row], color=look.colour, lw=5, alpha=0.45, solid_capstyle="butt")
    for name, number in numbers.items():
        marker = ">" if number.at_least else markers[name]
        open_or_thin = number.at_least or marker == "|"
        inside, edge = ("white", look.colour) if open_or_thin else (look.colour, "white")
        size, width = (18, 2.6) if marker == "|" else (10.5, 2.2 if number.at_least else 1.0)
        axes.plot([number.value], [row], marker=marker, ms=size, mfc=inside, mec=edge, mew=width, zorder=4)
    if silence:
        _beside(axes, row, "not one answered", silence)
        return
    rest = [f"{name} {wording.latency(number)}" for name, number in numbers.items() if name != "p50"]
    _beside(
        axes, row, f"p50 {wording.latency(numbers['p50'])}" if "p50" in numbers else "p50: too few", ", ".join(rest)
    )


BIN_S = 1.0
"""Width of a point on the time axis: the longest interval that is recorded."""


def over_time(frames: Frames, summary: Summary) -> Figure | None:
    """Latency second by second, a panel a variant: median and longest of the endpoint, and the longest health check."""
    endpoint = frames.scenario.endpoint
    series = {v.name: _series(frames, v.name) for v in frames.variants}
    shown = [v for v in frames.variants if "median" in series[v.name]]
    if not shown:
        return None
    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = _figure(1.75 + 2.15 * rows)
    title = _steadiness(frames, {v.name: series[v.name]["median"] for v in shown})
    top_in = _titled(
        figure,
        title,
        f"{wording.clean(endpoint, 40)}: median and longest a second; health: longest probe; grey: warm-up",
    )
    every = np.concatenate([line[1] for lines in series.values() for line in lines.values()])
    span_s = [float(edge) for v in shown for line in series[v.name].values() for edge in (line[0][0], line[0][-1])]
    panels = _panels(figure, rows, columns, top_in + 0.28)
    style = looks(frames.scenario.variants)
    for i, variant in enumerate(shown):
        _panel(panels[i], variant, series[variant.name], style[variant.name], every, (min(span_s), max(span_s)))
        panels[i].tick_params(labelleft=i % columns == 0, labelbottom=i + columns >= len(shown))
        if i + columns >= len(shown):
            panels[i].set_xlabel("seconds after measuring began")
    return figure


Series = dict[str, tuple[Floats, Floats]]


def _series(frames: Frames, variant: str) -> Series:
    """(seconds, ms) of each line: median and longest of the endpoint, longest of the health check."""
    rows = frames.latencies[frames.latencies["variant"] == variant]
    kinds = {frames.scenario.endpoint: frames.scenario.kind, HEALTH_ENDPOINT: frames.headline_kind(HEALTH_ENDPOINT)}
    points: dict[str, list[tuple[float, float]]] = {"median": [], "longest": [], "health": []}
    for endpoint, kind in kinds.items():
        chosen = rows[(rows["endpoint"] == endpoint) & rows["kind"].isin([kind, "unfinished"])]
        second = np.floor((chosen["start_s"] + chosen["end_s"]) / 2 / BIN_S)
        for at, part in chosen.groupby(second):
            ended = part["kind"] == kind
            values, counts = part["value_us"].to_numpy(float), part["count"].to_numpy(float)
            observed = latencies(values[ended], counts[ended], values[~ended], counts[~ended])
            longest = maximum(observed)
            middle_s = (float(at) + 0.5) * BIN_S
            if longest:
                points["health" if endpoint == HEALTH_ENDPOINT else "longest"].append((middle_s, longest.value / 1e3))
            finished = latencies(values[ended], counts[ended], np.empty(0), np.empty(0))
            median = percentile(survival(finished), 0.5)
            if median and endpoint == frames.scenario.endpoint:
                points["median"].append((middle_s, median.value / 1e3))
    return {name: _columns(line) for name, line in points.items() if line}


def _columns(points: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    table = np.asarray(points)
    return table[:, 0], table[:, 1]


STEADY, UNSTEADY = 1.1, 1.5
"""Factors between a variant's lowest and highest median of a second: below the first nobody would call it moving,
above the second everybody would. There is no truth here; between them the title only says what was seen."""


def _steadiness(frames: Frames, medians: Series) -> str:
    """The title: how far a median moves from second to second, and whose moves most."""
    moves = {}
    for name, (at_s, value_ms) in medians.items():
        measured = value_ms[at_s > 0]
        if len(measured) > 1:
            moves[name] = (float(measured.max() / measured.min()), float(measured.min()), float(measured.max()))
    if not moves:
        return "Latency over time"
    worst = max(moves, key=lambda name: moves[name][0])
    factor, low_ms, high_ms = moves[worst]
    if factor < STEADY:
        return f"Steady: over time no median moves by more than {max(1.0, 100 * (factor - 1)):.0f} %"
    what = wording.summary_of(frames.scenario.variant(worst))
    goes = f"with {what} the median goes from {wording.duration(low_ms)} to {wording.duration(high_ms)}"
    return f"Over time, {goes}" if factor < UNSTEADY else f"Not steady: {goes}"


def _panels(figure: Figure, rows: int, columns: int, top: float) -> list[Axes]:
    width, height = figure.get_figwidth(), figure.get_figheight()
    left, right, bottom, gap_x, gap_y = 0.85, 0.2, 0.7, 0.3, 0.42
    wide = (width - left - right - gap_x * (columns - 1)) / columns
    high = (height - top - bottom - gap_y * (rows - 1)) / rows
    return [
        figure.add_axes(
            (
                (left + (wide + gap_x) * column) / width,
                1 - (top + high + (high + gap_y) * row) / height,
                wide / width,
                high / height,
            )
        )
        for row in range(rows)
        for column in range(columns)
    ][: rows * columns]


PANEL_LABEL_GAP = 0.12
"""Between labels, as a share of a panel's height: a line of text."""


def _panel(
    axes: Axes, variant: VariantInfo, lines: Series, look: Look, every: Floats, span_s: tuple[float, float]
) -> None:
    drawn = {"median": ("-", look.marker, 2.4), "longest": ("--", "", 1.4), "health": (":", "", 2.0)}
    _time_axis(axes, "y", every)
    begin_s, end_s = span_s[0] - BIN_S / 2, span_s[1] + BIN_S / 2
    axes.set_xlim(begin_s, end_s + 0.36 * (end_s - begin_s))
    if begin_s < 0:
        axes.axvspan(begin_s, 0, color=SHADE, lw=0, zorder=0)
    ends = []
    low, high = (math.log10(edge) for edge in axes.get_ylim())
    for name, (at_s, value_ms) in lines.items():
        line, marker, width = drawn[name]
        colour = FAINT if name == "health" else look.colour
        axes.plot(at_s, value_ms, ls=line, marker=marker, ms=5, lw=width, color=colour, mec="white", mew=0.5)
        ends.append(((math.log10(value_ms[-1]) - low) / (high - low), at_s[-1], value_ms[-1], name))
    places = spread([end[0] for end in ends], PANEL_LABEL_GAP, 0.06, 0.94)
    for (_, at_s, value_ms, text), place in zip(ends, places, strict=True):
        at = (end_s + 0.04 * (end_s - begin_s), 10 ** (low + place * (high - low)))
        axes.plot([at_s, at[0]], [value_ms, at[1]], color=GRID, lw=0.9, zorder=0)
        axes.text(*at, text, va="center", fontsize=10.5)
    axes.set_title(fit(wording.name_of(variant), 3.2, bold=True), loc="left", fontsize=11, weight="bold", pad=4)
    axes.xaxis.set_major_locator(
        FixedLocator([t for t in MaxNLocator(5, integer=True).tick_values(begin_s, end_s) if begin_s <= t <= end_s])
    )
    axes.grid(color=GRID)


CHARTS: tuple[Chart, ...] = (throughput, health, percentiles, over_time)
"""In the page's order. Adding a chart is one function above and its name here."""


def draw(frames: Frames, summary: Summary) -> list[Drawing]:
    """Every chart of CHARTS that has data, as SVG and PNG."""
    drawings = []
    with _style():
        for chart in CHARTS:
            figure = chart(frames, summary)
            if figure is not None:
                drawings.append(_rendered(chart.__name__, f"{frames.scenario.name}-{chart.__name__}", figure))
    return drawings


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes in the PNG and as text in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _rendered(name: str, ident: str, figure: Figure) -> Drawing:
    vector, raster = StringIO(), BytesIO()
    figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    figure.savefig(raster, format="png", dpi=DPI, metadata={"Software": None})
    alt = " ".join(figure.texts[0].get_text().split())
    return Drawing(name, _portable(vector.getvalue(), ident), raster.getvalue(), alt)


_COORDINATES = re.compile(r' (?:d|x|y|width|height|transform|points)="[^"]*"')


def _portable(svg: str, ident: str) -> str:
    """An SVG that can stand with others in one page: ids of its own, no fixed size, fonts that fall back; and small."""
    prefix = re.sub(r"[^A-Za-z0-9_-]", "_", ident)
    opening, body = svg[svg.index("<svg") :].split(">", 1)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = _COORDINATES.sub(lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match[0]), body)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{prefix}-", body)
    body = body.replace("'DejaVu Sans'", FONTS).replace(f"{FONTS}, sans-serif", FONTS)
    body = "\n".join(line for line in map(str.strip, body.splitlines()) if line)
    return re.sub(r' (?:width|height)="[^"]*"', "", opening) + f">{body}\n"


def _figure(height_in: float) -> Figure:
    return Figure(figsize=(WIDTH_IN, height_in), facecolor="white")


POINTS_PER_INCH = 72


def fit(text: str, width_in: float, size: float = 11, bold: bool = False) -> str:
    """``text``, or as much of its beginning as has room, with an ellipsis."""
    while len(text) > 1 and _width_in(text, size, bold) > width_in:
        text = text.removesuffix("…")[:-1].rstrip() + "…"
    return text


def _width_in(text: str, size: float, bold: bool) -> float:
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / POINTS_PER_INCH


SUBTITLE_IN = 0.36
"""Below the title: a line of text and some air."""


TITLE_SIZE = 14
TITLE_CHARACTERS = 62
"""That fit on a line of that size."""


def _balanced(title: str) -> list[str]:
    """One line or two of about the same length, with numbers kept beside their units."""
    bound = re.sub(r"(\d) (?=(?:%|ms|s)\b|%)", "\\1\N{NO-BREAK SPACE}", title)
    if len(bound) <= TITLE_CHARACTERS:
        return [bound]
    for width in range(len(bound) // 2, TITLE_CHARACTERS):
        lines = textwrap.wrap(bound, width)
        if len(lines) <= 2:
            return lines
    return textwrap.wrap(bound, TITLE_CHARACTERS, max_lines=2, placeholder=" …")


def _titled(figure: Figure, title: str, subtitle: str) -> float:
    """The finding in bold, at most two lines, and below it what is drawn; returns the inches taken by both."""
    lines = [fit(line, WIDTH_IN - 0.4, TITLE_SIZE, bold=True) for line in _balanced(title)]
    height = figure.get_figheight()
    figure.text(
        0.2 / WIDTH_IN,
        1 - 0.14 / height,
        "\n".join(lines),
        fontsize=TITLE_SIZE,
        weight="bold",
        va="top",
        linespacing=1.25,
    )
    below_in = 0.14 + 0.28 * len(lines)
    figure.text(
        0.2 / WIDTH_IN, 1 - below_in / height, fit(subtitle, WIDTH_IN - 0.4), fontsize=11, color=FAINT, va="top"
    )
    return below_in + SUBTITLE_IN


def _axes(figure: Figure, *, left_in: float, right_in: float, bottom_in: float, top_in: float) -> Axes:
    width, height = figure.get_figwidth(), figure.get_figheight()
    return figure.add_axes(
        (left_in / width, bottom_in / height, 1 - (left_in + right_in) / width, 1 - (bottom_in + top_in) / height)
    )


NAMES_IN = 2.6
"""The most that names may take on the left of a chart."""


def _rows_chart(shown: Sequence[VariantInfo], title: str, subtitle: str, right_in: float) -> tuple[Figure, Axes]:
    """A figure with a row a variant, names on the left: what it is in bold, its file's name below."""
    figure = _figure(1.75 + 0.28 + 0.68 * len(shown))
    top_in = _titled(figure, title, subtitle)
    labels = [(fit(wording.summary_of(v), NAMES_IN, bold=True), fit(wording.name_of(v), NAMES_IN)) for v in shown]
    left_in = 0.3 + max(max(_width_in(what, 11, True), _width_in(name, 11, False)) for what, name in labels)
    axes = _axes(figure, left_in=left_in, right_in=right_in, bottom_in=0.72, top_in=top_in + 0.1)
    for row, (what, name) in enumerate(labels):
        at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right"}
        axes.text(-0.02, row - 0.03, what, va="bottom", weight="bold", fontsize=11, **at)
        axes.text(-0.02, row + 0.03, name, va="top", color=FAINT, fontsize=11, **at)
    axes.set_ylim(len(shown) - 0.45, -0.55)
    axes.yaxis.set_major_locator(NullLocator())
    axes.set_axisbelow(True)
    return figure, axes


def _beside(axes: Axes, row: int, value: str, note: str) -> None:
    """The figures in a column of their own to the right, where nothing can be in their way."""
    at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "left"}
    axes.text(1.03, row - 0.03, value, va="bottom", weight="bold", fontsize=12, **at)
    axes.text(1.03, row + 0.03, note, va="top", color=FAINT, fontsize=11, **at)


def _time_axis(axes: Axes, which: str, values_ms: Floats) -> None:
    """A log axis of times around ``values_ms``, labelled 1 ms, 10 ms, 1 s."""
    low, high = float(values_ms.min()), float(values_ms.max())
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low / 1.5, high * 1.6)
    axis = axes.xaxis if which == "x" else axes.yaxis
    few = math.log10(high * 1.6 / (low / 1.5)) < 1.7
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e3:g} s" if value >= 1e3 else f"{value:g} ms"))
    axis.set_minor_locator(NullLocator())
