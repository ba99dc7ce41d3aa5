"""The sweep: throughput and latency against the number of users, with what the law says of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from bench.analysis.summary import Figure as Number
from bench.analysis.summary import Summary
from bench.analysis.tables import ScenarioTables, VariantInfo
from bench.report.charts import canvas
from bench.report.charts.canvas import FAINT, GRID, VariantStyle
from bench.report.text import formatting

LEFT_IN, GAP_IN, LABELS_IN, BOTTOM_IN, HEADING_IN = 0.8, 0.7, 2.35, 0.72, 0.32
LABEL_GAP_IN = 0.24
WORTH_TELLING = 1.15
"""Times the requests below which more users bring no more of them."""

Loads = Sequence[tuple[ScenarioTables, Summary]]
"""One scenario under several numbers of users."""


@dataclass(frozen=True)
class Point:
    """One variant under one load. ``bound`` is the law's: the most requests per second, or the least latency."""

    users: int
    number: Number
    bound: float | None


def sweep(loads: Loads) -> Figure | None:
    """Two panels, lines by variant, dashed lines by law; None for fewer than two numbers of users."""
    ordered = sorted(
        (one for one in loads if one[0].scenario.users is not None), key=lambda one: one[0].scenario.users or 0
    )
    if len(ordered) < 2:
        return None
    variants = ordered[-1][0].scenario.variants
    rates = {v.name: _points(ordered, v, "throughput_rps", lambda law: law.max_rps) for v in variants}
    times = {v.name: _points(ordered, v, "latency_p50_ms", _law_ms) for v in variants}
    shown = [variant for variant in variants if len(rates[variant.name]) > 1]
    if not shown:
        return None
    figure = canvas.blank(5.0)
    subtitle = "● measured, ▷ at least · dashed: what the law allows at most, or at least"
    top_in = canvas.titled(figure, _title(shown, rates), subtitle) + HEADING_IN
    wide_in = (canvas.WIDTH_IN - LEFT_IN - GAP_IN - LABELS_IN) / 2
    styles = canvas.variant_styles(variants)
    panels = ((rates, "requests per second", LEFT_IN), (times, "median latency", LEFT_IN + wide_in + GAP_IN))
    for points, heading, left_in in panels:
        axes = canvas.axes_in(
            figure,
            left_in=left_in,
            right_in=canvas.WIDTH_IN - left_in - wide_in,
            bottom_in=BOTTOM_IN,
            top_in=top_in,
        )
        axes.set_title(heading, loc="left", fontsize=11, weight="bold", pad=6)
        _lines(axes, shown, points, styles)
        _users_axis(axes, [tables.scenario.users or 1 for tables, _ in ordered])
    _rate_axis(figure.axes[0], [p for v in shown for p in rates[v.name]])
    known = [point for v in shown for point in times[v.name]]
    if known:
        canvas.time_axis(figure.axes[1], "y", np.asarray([_value for p in known for _value in _values(p)]))
    _labels(figure, figure.axes[1], shown, times, styles)
    return figure


def _points(
    ordered: Loads, variant: VariantInfo, metric: str, bound: Callable[[VariantInfo], float | None]
) -> list[Point]:
    points = []
    for tables, summary in ordered:
        number = summary.get(variant.name, tables.scenario.endpoint, metric)
        if number is not None and number.value > 0:
            points.append(Point(tables.scenario.users or 1, number, bound(tables.scenario.variant(variant.name))))
    return points


def _law_ms(variant: VariantInfo) -> float | None:
    return None if variant.min_latency_s is None else 1e3 * variant.min_latency_s


def _values(point: Point) -> list[float]:
    return [point.number.value, *([point.bound] if point.bound else [])]


def _title(shown: Sequence[VariantInfo], rates: dict[str, list[Point]]) -> str:
    """The variant that gains least and the one that gains most from more users."""
    gains = {v.name: rates[v.name][-1].number.value / rates[v.name][0].number.value for v in shown}
    least, most = (pick(shown, key=lambda variant: gains[variant.name]) for pick in (min, max))
    ends = rates[most.name][0].users, rates[most.name][-1].users
    if least is most:
        return f"From {ends[0]} to {ends[1]} users: {gains[most.name]:.2g} times the requests"
    little = "no more" if gains[least.name] < WORTH_TELLING else f"{gains[least.name]:.2g} times"
    return (
        f"From {ends[0]} to {ends[1]} users: {gains[most.name]:.2g} times the requests "
        f"with {formatting.summary_of(most)}, {little} with {formatting.summary_of(least)}"
    )


def _lines(
    axes: Axes, shown: Sequence[VariantInfo], points: dict[str, list[Point]], styles: dict[str, VariantStyle]
) -> None:
    axes.set_yscale("log")
    axes.grid(color=GRID)
    for variant in shown:
        style, found = styles[variant.name], points[variant.name]
        axes.plot([p.users for p in found], [p.number.value for p in found], color=style.colour, ls=style.line, lw=2.2)
        for point in found:
            marker, inside = (">", "white") if point.number.at_least else (style.marker, style.colour)
            axes.plot([point.users], [point.number.value], marker, ms=8, mfc=inside, mec=style.colour, mew=1.4)
        law = [(p.users, p.bound) for p in found if p.bound]
        if law:
            axes.plot(*zip(*law, strict=True), color=style.colour, lw=1.2, ls=(0, (2, 2)), alpha=0.8, zorder=1)


def _users_axis(axes: Axes, users: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(users[0] / 1.3, users[-1] * 1.3)
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(users))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("users at once")


def _rate_axis(axes: Axes, points: Sequence[Point]) -> None:
    values = [value for point in points for value in _values(point)]
    axes.set_ylim(min(values) / 1.5, max(values) * 1.6)
    few = math.log10(max(values) / min(values)) < 1.3
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}" if value < 1e3 else f"{value:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _labels(
    figure: Figure,
    axes: Axes,
    shown: Sequence[VariantInfo],
    points: dict[str, list[Point]],
    styles: dict[str, VariantStyle],
) -> None:
    """Names at the right edge, each tied to the end of its line."""
    height_in = axes.get_position().height * figure.get_figheight()
    low, high = (math.log10(edge) for edge in axes.get_ylim())
    named = [variant for variant in shown if points[variant.name]]
    ends = [(math.log10(points[v.name][-1].number.value) - low) / (high - low) for v in named]
    for variant, end, at in zip(named, ends, canvas.spread(ends, LABEL_GAP_IN / height_in, 0.04, 0.96), strict=True):
        style = styles[variant.name]
        axes.plot([1.0, 1.05], [end, at], transform=axes.transAxes, color=style.colour, lw=0.9, ls=":", clip_on=False)
        name = canvas.fit(formatting.summary_of(variant), LABELS_IN - 0.35)
        axes.plot([1.08], [at], transform=axes.transAxes, marker=style.marker, color=style.colour, ms=7, clip_on=False)
        axes.text(1.13, at, name, transform=axes.transAxes, va="center", color=FAINT)
