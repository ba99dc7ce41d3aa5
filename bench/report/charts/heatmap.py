"""The heat map of latency over time: where the requests lie, second by second, and not only their middle."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bench.analysis.summary import Summary
from bench.analysis.survival import Floats
from bench.analysis.tables import ScenarioTables, VariantInfo
from bench.report.charts import canvas, timeline
from bench.report.charts.canvas import VariantStyle
from bench.report.charts.timeline import DrawnTurn
from bench.report.text import formatting

SLOTS, BANDS = 120, 44
"""Of time and of latency: what can be seen on a panel."""

TITLE_IN, PANEL_IN, HEADER_IN, GAP_IN = 1.06, 1.0, 0.28, 0.14
LEFT_IN, BETWEEN_IN, RIGHT_IN, BOTTOM_IN = 0.85, 0.25, 0.2, 0.4


def heatmap(tables: ScenarioTables, summary: Summary) -> Figure | None:
    """A panel a variant: time under load across, latency up, darker where more of the moment's requests lie."""
    number = timeline.round_to_show(tables)
    if number is None:
        return None
    rows = tables.latencies[
        (tables.latencies["round"] == number)
        & (tables.latencies["endpoint"] == tables.scenario.endpoint)
        & (tables.latencies["kind"] == tables.scenario.kind)
    ]
    found = {v: rows[rows["variant"] == v.name] for v in tables.variants}
    shown = [variant for variant, part in found.items() if len(part)]
    if not shown:
        return None
    columns = min(2, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = canvas.blank(TITLE_IN + BOTTOM_IN + lines * (PANEL_IN + HEADER_IN + GAP_IN))
    endpoint = formatting.clean(tables.scenario.endpoint, 40)
    top_in = canvas.titled(
        figure,
        timeline.steadiness(tables) or "Latency over time",
        f"round {number} of {timeline.rounds(tables)}, time between turns left out · {endpoint}",
    )
    edges = _bands(np.concatenate([part["value_us"].to_numpy(float) / 1e3 for part in found.values() if len(part)]))
    turns = {v: timeline.turns_of(tables, v, number) for v in shown}
    span_s = 0.0, max(timeline.end_of(each) for each in turns.values())
    styles = canvas.variant_styles(tables.scenario.variants)
    for i, variant in enumerate(shown):
        axes = _panel(figure, i // columns, i % columns, columns, top_in)
        _draw(
            axes, variant, _shares(found[variant], turns[variant], edges, span_s), edges, span_s, styles[variant.name]
        )
        axes.tick_params(labelleft=i % columns == 0, labelbottom=i + columns >= len(shown), labelsize=10.5, length=3)
        if i + columns >= len(shown):
            axes.set_xlabel("seconds under load", fontsize=10.5, labelpad=2)
    return figure


def _bands(values_ms: Floats) -> Floats:
    """Edges of the latency's bands, evenly apart on a log scale."""
    low, high = float(values_ms.min()), float(values_ms.max())
    return np.geomspace(low / 1.5, high * 1.6, BANDS + 1)


def _shares(rows: pd.DataFrame, turns: Sequence[DrawnTurn], edges: Floats, span_s: tuple[float, float]) -> Floats:
    """(BANDS, SLOTS): the share of a slot's requests in each band; 0 where nothing was answered.

    What was recorded for an interval is spread evenly over it.
    """
    counted = np.zeros((BANDS, SLOTS))
    slots = np.linspace(*span_s, SLOTS + 1)
    band = np.clip(np.searchsorted(edges, rows["value_us"].to_numpy(float) / 1e3) - 1, 0, BANDS - 1)
    start_s, end_s = (rows[edge].to_numpy(float) for edge in ("start_s", "end_s"))
    count, middle_s = rows["count"].to_numpy(float), (start_s + end_s) / 2
    for turn in turns:
        inside = (middle_s >= turn.start_s) & (middle_s <= turn.end_s)
        from_s, until_s = turn.place(start_s[inside]), turn.place(end_s[inside])
        overlap = np.minimum(until_s[:, None], slots[1:]) - np.maximum(from_s[:, None], slots[:-1])
        spread = np.clip(overlap, 0, None) / np.maximum(until_s - from_s, 1e-9)[:, None]
        np.add.at(counted, band[inside], spread * count[inside][:, None])
    total = counted.sum(axis=0)
    shares: Floats = np.divide(counted, total, out=np.zeros_like(counted), where=total > 0)
    return shares


def _panel(figure: Figure, row: int, column: int, columns: int, top_in: float) -> Axes:
    wide_in = (canvas.WIDTH_IN - LEFT_IN - RIGHT_IN - BETWEEN_IN * (columns - 1)) / columns
    left_in = LEFT_IN + column * (wide_in + BETWEEN_IN)
    above_in = top_in + row * (PANEL_IN + HEADER_IN + GAP_IN) + HEADER_IN
    return canvas.axes_in(
        figure,
        left_in=left_in,
        right_in=canvas.WIDTH_IN - left_in - wide_in,
        bottom_in=figure.get_figheight() - above_in - PANEL_IN,
        top_in=above_in,
    )


def _draw(
    axes: Axes, variant: VariantInfo, shares: Floats, edges: Floats, span_s: tuple[float, float], style: VariantStyle
) -> None:
    """The panel as a picture in the SVG: thousands of cells would be thousands of elements."""
    room_in = axes.get_position().width * canvas.WIDTH_IN
    axes.set_title(
        canvas.fit(formatting.summary_of(variant), room_in, bold=True), loc="left", fontsize=11, weight="bold", pad=5
    )
    colours = LinearSegmentedColormap.from_list("role", ["white", style.colour, "black"])
    picture = colours(np.sqrt(shares[::-1]) * 0.8)
    picture[shares[::-1] == 0] = 1.0
    twin = axes.twinx()
    twin.imshow(picture, aspect="auto", extent=(*span_s, 0.0, 1.0), interpolation="nearest")
    twin.set_axis_off()
    axes.set_xlim(span_s)
    canvas.time_axis(axes, "y", np.asarray([edges[0] * 1.5, edges[-1] / 1.6]))
