"""The charts: one pure function each, from tables and their summary to a matplotlib Figure, or None without data.

To add a chart, write such a function and put its name into CHARTS. Titles say what was found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.analysis.summary import Figure as Number
from bench.analysis.summary import Summary, cpu_per_request_ms, throughputs_rps
from bench.analysis.survival import SAMPLES_BEYOND, Floats, percentile, survival
from bench.analysis.tables import HEALTH_ENDPOINT, ScenarioTables, VariantInfo
from bench.report.charts import canvas
from bench.report.charts.canvas import FAINT, GRID, INK, ChartDrawing, VariantStyle
from bench.report.charts.heatmap import heatmap
from bench.report.charts.jobs import jobs
from bench.report.charts.sweep import Loads, sweep
from bench.report.charts.timeline import timeline
from bench.report.text import formatting, sentences
from bench.results.schema import HEALTH_TIMEOUT_S

Chart = Callable[[ScenarioTables, Summary], Figure | None]


def throughput(tables: ScenarioTables, summary: Summary) -> Figure | None:
    """Requests per second: a bar a variant with its interval, every round's own point, and the ceiling."""
    shown = [v for v in tables.variants if summary.get(v.name, tables.scenario.endpoint, "throughput_rps")]
    if not shown:
        return None
    rounds = max(len(tables.rounds(variant.name)) for variant in shown)
    whisker = "whisker: 95 % interval · dot: one round" if rounds > 1 else sentences.ONE_ROUND
    figure, axes = canvas.rows_chart(
        shown,
        sentences.throughput_title(tables, summary),
        f"bar: mean · {whisker} · black mark: ceiling",
        right_in=1.95,
    )
    styles = canvas.variant_styles(tables.scenario.variants)
    longest = 0.0
    for row, variant in enumerate(shown):
        longest = max(longest, _throughput_row(axes, row, tables, summary, variant, styles[variant.name]))
    axes.set_xlim(0, longest * 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if longest >= 6 else f"{value:g}"))
    axes.set_xlabel("requests per second")
    axes.grid(axis="x", color=GRID)
    return figure


def _throughput_row(
    axes: Axes, row: int, tables: ScenarioTables, summary: Summary, variant: VariantInfo, style: VariantStyle
) -> float:
    endpoint = tables.scenario.endpoint
    number = summary.get(variant.name, endpoint, "throughput_rps")
    assert number is not None
    ceiling = summary.value(variant.name, endpoint, "ceiling_rps")
    points = list(throughputs_rps(tables, variant.name, endpoint).values())
    _bar(axes, row, number, points, style)
    note = "no law for a ceiling"
    if ceiling is not None:
        axes.plot([ceiling, ceiling], [row - 0.42, row + 0.42], color=INK, lw=3, solid_capstyle="butt", zorder=6)
        note = f"{formatting.of_ceiling(number.value, ceiling)} of {formatting.rate(ceiling)}"
    canvas.beside(axes, row, formatting.with_half_width(number), note)
    return max(number.value, *points, ceiling or 0.0, number.ci_high or 0.0, 1e-9)


def _bar(axes: Axes, row: int, number: Number, points: Sequence[float], style: VariantStyle) -> None:
    """The mean, with its interval where it has one, and each round's own value."""
    axes.barh(row, number.value, height=0.62, color=style.colour, hatch=style.hatch, edgecolor="white", linewidth=0)
    offsets = np.linspace(-0.2, 0.2, len(points)) if len(points) > 1 else [0.0]
    axes.plot(points, row + np.asarray(offsets), "o", ms=4.5, mfc="white", mec=INK, mew=0.9, zorder=7)
    if number.ci_low is not None and number.ci_high is not None:
        axes.plot([number.ci_low, number.ci_high], [row, row], color=INK, lw=2.2, solid_capstyle="butt", zorder=5)
        for end in (number.ci_low, number.ci_high):
            axes.plot([end, end], [row - 0.12, row + 0.12], color=INK, lw=1.6, zorder=5)


def percentiles(tables: ScenarioTables, summary: Summary) -> Figure | None:
    """Latency percentile curves on HdrHistogram's axis, as far as nine samples lie beyond."""
    endpoint = tables.scenario.endpoint
    curves = {v.name: _curve(tables, v.name, endpoint) for v in tables.variants}
    shown = [variant for variant in tables.variants if len(curves[variant.name][0])]
    if not shown:
        return None
    kind = "response time (from the intended start)" if tables.headline_kind(endpoint) == "response" else "service time"
    figure = canvas.blank(5.2)
    title = sentences.latency_title(tables, summary) or "Latency"
    top_in = canvas.titled(figure, title, f"{kind} by percentile, all rounds together")
    axes = canvas.axes_in(figure, left_in=1.0, right_in=2.45, bottom_in=0.75, top_in=top_in)
    styles = canvas.variant_styles(tables.scenario.variants)
    for variant in shown:
        nines, value_ms, _ = curves[variant.name]
        style = styles[variant.name]
        axes.plot(nines, value_ms, color=style.colour, ls=style.line, lw=2.4, solid_capstyle="round")
        at = [i for tail in (2, 10, 100, 1000) if (i := int(np.searchsorted(nines, tail))) < len(nines)]
        axes.plot(nines[at], value_ms[at], ls="", marker=style.marker, ms=7.5, color=style.colour, mec="white", mew=0.7)
    _percentile_axis(axes, max(float(curves[v.name][0][-1]) for v in shown))
    canvas.time_axis(axes, "y", np.concatenate([curves[v.name][1] for v in shown]))
    axes.set_ylabel("time to answer")
    axes.set_xlabel("share of the requests answered within that time")
    axes.grid(color=GRID)
    _curve_labels(axes, tables, summary, shown, curves, styles)
    return figure


Curve = tuple[Floats, Floats, bool]


def _curve(tables: ScenarioTables, variant: str, endpoint: str) -> Curve:
    """(1/(1-q), ms, whether it ends for want of answers rather than of samples), thinned to what can be seen."""
    estimate = survival(tables.pooled_latencies(variant, endpoint))
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
    axes: Axes,
    tables: ScenarioTables,
    summary: Summary,
    shown: Sequence[VariantInfo],
    curves: dict[str, Curve],
    styles: dict[str, VariantStyle],
) -> None:
    """Names at the right edge, moved apart, each tied to the end of its line."""
    height_in = axes.get_position().height * axes.figure.get_figheight()  # type: ignore[union-attr]
    low, high = (math.log10(edge) for edge in axes.get_ylim())
    ends = [(math.log10(float(curves[v.name][1][-1])) - low) / (high - low) for v in shown]
    for variant, end, place in zip(shown, ends, canvas.spread(ends, 0.52 / height_in, 0.06, 0.95), strict=True):
        style = styles[variant.name]
        nines, _, unanswered = curves[variant.name]
        start = math.log10(nines[-1]) / math.log10(axes.get_xlim()[1])
        axes.plot(
            [start, 1.03], [end, place], transform=axes.transAxes, color=style.colour, lw=0.9, ls=":", clip_on=False
        )
        axes.plot(
            [1.045], [place], transform=axes.transAxes, marker=style.marker, color=style.colour, ms=8, clip_on=False
        )
        name = canvas.fit(formatting.name_of(variant), 1.85, bold=True)
        axes.text(1.075, place + 0.012, name, transform=axes.transAxes, va="bottom", weight="bold")
        note = _median_and_p99(summary, variant, tables.scenario.endpoint)
        note += " …" if unanswered else ""
        axes.text(1.075, place - 0.005, note, transform=axes.transAxes, va="top", color=FAINT)


def _median_and_p99(summary: Summary, variant: VariantInfo, endpoint: str) -> str:
    numbers = {name: summary.get(variant.name, endpoint, f"latency_{name}_ms") for name in ("p50", "p99")}
    return ", ".join(f"{name} {formatting.latency(number)}" for name, number in numbers.items() if number)


def health(tables: ScenarioTables, summary: Summary) -> Figure | None:
    """The health check beside the load: median, p90 and the longest, with the 1 s time-out; bounds are arrows."""
    shown = [v for v in tables.variants if summary.get(v.name, HEALTH_ENDPOINT, "latency_max_ms")]
    if not shown:
        return None
    legend = "● p50: half are answered · ◆ p90 · ┃ max · ▷ still unanswered then"
    figure, axes = canvas.rows_chart(
        shown, sentences.health_title(tables, summary) or "The health check", legend, right_in=2.45
    )
    styles = canvas.variant_styles(tables.scenario.variants)
    found = {v.name: _health_numbers(summary, v) for v in shown}
    everything = [number.value for numbers in found.values() for number in numbers.values()]
    canvas.time_axis(axes, "x", np.asarray([*everything, HEALTH_TIMEOUT_S * 1e3]))
    limit_ms = HEALTH_TIMEOUT_S * 1e3
    axes.axvline(limit_ms, color=INK, lw=1.4, ls=(0, (5, 3)), zorder=1)
    axes.text(limit_ms, 1.0, "1 s time-out ", transform=axes.get_xaxis_transform(), ha="right", va="bottom", color=INK)
    for row, variant in enumerate(shown):
        text = sentences.answered(tables, variant.name, HEALTH_ENDPOINT)
        _health_row(axes, row, found[variant.name], styles[variant.name], text)
    axes.set_xlabel(f"time until {HEALTH_ENDPOINT} is answered (log scale)")
    axes.grid(axis="x", color=GRID)
    return figure


def _health_numbers(summary: Summary, variant: VariantInfo) -> dict[str, Number]:
    names = ("p50", "p90", "max")
    found = {name: summary.get(variant.name, HEALTH_ENDPOINT, f"latency_{name}_ms") for name in names}
    return {name: number for name, number in found.items() if number is not None}


def _health_row(axes: Axes, row: int, numbers: dict[str, Number], style: VariantStyle, silence: str) -> None:
    markers = {"p50": "o", "p90": "D", "max": "|"}
    values = [number.value for number in numbers.values()]
    axes.plot([min(values), max(values)], [row, row], color=style.colour, lw=5, alpha=0.45, solid_capstyle="butt")
    for name, number in numbers.items():
        marker = ">" if number.at_least else markers[name]
        open_or_thin = number.at_least or marker == "|"
        inside, edge = ("white", style.colour) if open_or_thin else (style.colour, "white")
        size, width = (18, 2.6) if marker == "|" else (10.5, 2.2 if number.at_least else 1.0)
        axes.plot([number.value], [row], marker=marker, ms=size, mfc=inside, mec=edge, mew=width, zorder=4)
    if silence:
        canvas.beside(axes, row, "not one answered", silence)
        return
    rest = [f"{name} {formatting.latency(number)}" for name, number in numbers.items() if name != "p50"]
    canvas.beside(
        axes, row, f"p50 {formatting.latency(numbers['p50'])}" if "p50" in numbers else "p50: too few", ", ".join(rest)
    )


def cpu_cost(tables: ScenarioTables, summary: Summary) -> Figure | None:
    """The server's CPU time a request: a bar a variant with its interval, and every round's own point."""
    shown = [v for v in tables.variants if summary.get(v.name, "", "server_cpu_per_request_ms")]
    if not shown:
        return None
    rounds = max(len(cpu_per_request_ms(tables, variant.name)) for variant in shown)
    whisker = "whisker: 95 % interval · dot: one round" if rounds > 1 else sentences.ONE_ROUND
    figure, axes = canvas.rows_chart(
        shown, sentences.cpu_title(tables, summary), f"bar: mean · {whisker} · health checks included", right_in=1.95
    )
    styles = canvas.variant_styles(tables.scenario.variants)
    longest = 0.0
    for row, variant in enumerate(shown):
        number = summary.get(variant.name, "", "server_cpu_per_request_ms")
        assert number is not None
        points = list(cpu_per_request_ms(tables, variant.name).values())
        _bar(axes, row, number, points, styles[variant.name])
        cores = summary.value(variant.name, "", "server_cpu_cores")
        note = "" if cores is None else f"{cores:.2f} cores in use"
        canvas.beside(axes, row, f"{formatting.with_half_width(number)} ms", note)
        longest = max(longest, number.value, *points, number.ci_high or 0.0, 1e-9)
    axes.set_xlim(0, longest * 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("CPU time for each request answered, in ms: pools included, queue workers not")
    axes.grid(axis="x", color=GRID)
    return figure


CHARTS: tuple[Chart, ...] = (throughput, health, jobs, percentiles, cpu_cost, timeline, heatmap)
"""In the page's order. Adding a chart is one function above and its name here."""


def draw(tables: ScenarioTables, summary: Summary, other_loads: Loads = ()) -> list[ChartDrawing]:
    """Every chart of CHARTS that has data, and the sweep where there are ``other_loads``, as SVG and PNG."""
    with canvas.chart_style():
        figures = {chart.__name__: chart(tables, summary) for chart in CHARTS}
        figures["sweep"] = sweep([(tables, summary), *other_loads])
        return [
            canvas.rendered(name, f"{tables.scenario.name}-{name}", figure)
            for name, figure in figures.items()
            if figure is not None
        ]
