"""The timeline: what clients saw above, what the server's loop and threadpool did below, on one time axis.

One round is drawn, since rounds have no common moments. Variants that take turns have many short ones: these are put
together, so that the axis counts seconds under load. A line is broken where a turn ends, but for turns so short that
hardly a sample of the server falls into each: there it goes on, and the turns' own warm-ups are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.analysis.summary import Summary
from bench.analysis.survival import Floats, latencies, maximum, percentile, survival
from bench.analysis.tables import HEALTH_ENDPOINT, ScenarioTables, VariantInfo
from bench.report.charts import canvas
from bench.report.charts.canvas import FAINT, GRID, INK, SHADE, VariantStyle, spread
from bench.report.text import formatting, sentences
from bench.results.schema import EDGE_S

Line = tuple[Floats, Floats]
"""x and y, with NaN between turns."""

POINTS_SHOWN = 400
"""Of a line; more could not be seen on a panel of this size, and a page has many."""

SHORT_TURN_S = 0.3
"""Shorter turns are shown as one: three samples of the server fall into this one."""

LAG_FLOOR_MS = 0.1
"""Where the axis of the loop's lag begins: what is below is nothing to anybody."""

LAG_TICKS_MS, SMALL_LAG_TICKS_MS = (1.0, 100.0, 10_000.0), (0.1, 1.0, 10.0)

TOLD = ("lag_max_ms", "tokens_borrowed", "tokens_waiting")
"""What the labels beside the panels tell."""

SMALL = 10.5
LATENCY_IN, LAG_IN, THREADS_IN = 1.25, 0.62, 0.62
PANEL_GAP_IN = 0.1
HEADER_IN, FOOTER_IN = 0.3, 0.18
LEFT_IN, LABELS_IN, BETWEEN_IN = 0.8, 1.14, 0.08


@dataclass(frozen=True)
class DrawnTurn:
    """One turn on the axis: ``x_s`` is where it begins, in seconds under load after the first measured moment."""

    start_s: float
    warm_until_s: float
    end_s: float
    x_s: float

    @property
    def is_short(self) -> bool:
        """Whether it is shown as one with those beside it; never a server's first, which is warm-up throughout."""
        return self.end_s - self.start_s < SHORT_TURN_S and self.end_s - self.warm_until_s > EDGE_S

    def place(self, at_s: Floats) -> Floats:
        """Where moments of this turn lie on the axis."""
        return np.clip(at_s, self.start_s, self.end_s) - self.start_s + self.x_s


@dataclass(frozen=True)
class Track:
    """All that is drawn of one variant. ``tokens`` are borrowed and borrowed plus waiting; None without a pool."""

    variant: VariantInfo
    turns: tuple[DrawnTurn, ...]
    latency: dict[str, Line]
    lag: Line | None
    tokens: tuple[Line, Line] | None
    total: float
    most: dict[str, float]
    """The largest of each of TOLD, over the measured parts alone; what is not known is missing."""


def timeline(tables: ScenarioTables, summary: Summary) -> Figure | None:
    """A block a variant: latency of the endpoint and the health check, the loop's lag, the threadpool."""
    number = round_to_show(tables)
    tracks = [track for v in tables.variants if number is not None and (track := _track(tables, v, number)).latency]
    if not tracks:
        return None
    watched = any(track.lag is not None for track in tracks)
    columns = min(2, len(tracks))
    block_in = HEADER_IN + LATENCY_IN + (LAG_IN + THREADS_IN + 2 * PANEL_GAP_IN if watched else 0.0) + FOOTER_IN
    figure = canvas.blank(1.06 + 0.42 + block_in * math.ceil(len(tracks) / columns))
    title = sentences.loop_title(tables, summary) or steadiness(tables) or "Latency over time"
    endpoint = formatting.clean(tables.scenario.endpoint, 40)
    subtitle = f"round {number} of {rounds(tables)}, time between turns left out · grey: warm-up · {endpoint}"
    top_in = canvas.titled(figure, title, subtitle) - 0.02
    span_s = min(t.turns[0].x_s for t in tracks), max(end_of(t.turns) for t in tracks)
    styles = canvas.variant_styles(tables.scenario.variants)
    for i, track in enumerate(tracks):
        last = i + columns >= len(tracks)
        panels = _panels(figure, divmod(i, columns), columns, top_in, block_in, watched)
        _draw(panels, track, tracks, styles[track.variant.name], span_s, (i % columns == 0, last))
    return figure


def rounds(tables: ScenarioTables) -> int:
    """The number of the last round."""
    return max(number for variant in tables.variants for number in tables.rounds(variant.name))


def round_to_show(tables: ScenarioTables) -> int | None:
    """The first of the rounds in which most variants were watched, or else gave evidence."""
    numbers = sorted({number for v in tables.variants for number in tables.rounds(v.name)})
    if not numbers:
        return None

    def seen(number: int) -> tuple[int, int]:
        watched = sum(number in tables.watched_rounds(v.name) for v in tables.variants)
        return watched, sum(number in tables.rounds(v.name) for v in tables.variants)

    return max(numbers, key=lambda number: (seen(number), -number))


def end_of(turns: Sequence[DrawnTurn]) -> float:
    """Where the last of them ends on the axis."""
    last = turns[-1]
    return last.x_s + last.end_s - last.start_s


def _track(tables: ScenarioTables, variant: VariantInfo, number: int) -> Track:
    turns = turns_of(tables, variant, number)
    rows = _of(tables.server, variant.name, number)
    tokens = rows[rows["tokens_borrowed"].notna()]
    pool = None
    if len(tokens):
        waiting = tokens["tokens_borrowed"] + tokens["tokens_waiting"].fillna(0.0)
        pool = _samples(turns, tokens["at_s"], tokens["tokens_borrowed"]), _samples(turns, tokens["at_s"], waiting)
    return Track(
        variant,
        turns,
        _latencies(tables, turns, _of(tables.latencies, variant.name, number)),
        _samples(turns, rows["at_s"], rows["lag_max_ms"]) if len(rows) else None,
        pool,
        float(tokens["tokens_total"].max()) if tokens["tokens_total"].notna().any() else 0.0,
        {column: float(known.max()) for column in TOLD if len(known := rows.loc[rows["measured"], column].dropna())},
    )


def _of(table: pd.DataFrame, variant: str, number: int) -> pd.DataFrame:
    return table[(table["variant"] == variant) & (table["round"] == number)]


def turns_of(tables: ScenarioTables, variant: VariantInfo, number: int) -> tuple[DrawnTurn, ...]:
    """The turns of one trial on the axis."""
    ordered = _of(tables.turns, variant.name, number).sort_values("start_s")
    turns: list[DrawnTurn] = []
    x_s, begin_s = 0.0, None
    for start_s, warm_until_s, end_s in ordered[["start_s", "warm_until_s", "end_s"]].to_numpy(float).tolist():
        if end_s - warm_until_s > EDGE_S and begin_s is None:
            begin_s = x_s + warm_until_s - start_s
        turns.append(DrawnTurn(start_s, warm_until_s, end_s, x_s))
        x_s += max(0.0, end_s - start_s)
    return tuple(DrawnTurn(t.start_s, t.warm_until_s, t.end_s, t.x_s - (begin_s or 0.0)) for t in turns)


def _latencies(tables: ScenarioTables, turns: Sequence[DrawnTurn], rows: pd.DataFrame) -> dict[str, Line]:
    """``median`` and ``longest`` of the endpoint and the longest ``health`` check, interval by interval."""
    kinds = {tables.scenario.endpoint: tables.scenario.kind, HEALTH_ENDPOINT: tables.headline_kind(HEALTH_ENDPOINT)}
    points: dict[str, list[tuple[float, float, float]]] = {"longest": [], "median": [], "health": []}
    for endpoint, kind in kinds.items():
        chosen = rows[(rows["endpoint"] == endpoint) & rows["kind"].isin([kind, "unfinished"])]
        for edges, part in chosen.groupby(["start_s", "end_s"]):
            start_s, end_s = (float(str(edge)) for edge in edges)
            ended = part["kind"] == kind
            values, counts = part["value_us"].to_numpy(float), part["count"].to_numpy(float)
            longest = maximum(latencies((values[ended], counts[ended]), (values[~ended], counts[~ended])))
            if longest:
                name = "health" if endpoint == HEALTH_ENDPOINT else "longest"
                points[name].append((start_s, end_s, longest.value / 1e3))
            if ended.any() and endpoint == tables.scenario.endpoint:
                points["median"].append((start_s, end_s, _middle(values[ended], counts[ended]) / 1e3))
    lines = {name: _steps(turns, found) for name, found in points.items()}
    return {name: line for name, line in lines.items() if len(line[0])}


def _middle(values: Floats, counts: Floats) -> float:
    """The median of an interval; of however few, since a line shows by itself how much it jumps."""
    order = np.argsort(values)
    reached = np.cumsum(counts[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _steps(turns: Sequence[DrawnTurn], points: list[tuple[float, float, float]]) -> Line:
    """Each value from its interval's begin to its end."""
    table: Floats = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    table = table[:: max(1, math.ceil(len(table) / POINTS_SHOWN))]
    middle_s = (table[:, 0] + table[:, 1]) / 2
    pieces: list[Line] = []
    for turn in turns:
        begin_s = turn.warm_until_s if turn.is_short else turn.start_s
        inside = table[(middle_s >= begin_s) & (middle_s <= turn.end_s)]
        pieces.append((turn.place(np.asarray(inside[:, :2].ravel(), dtype=np.float64)), np.repeat(inside[:, 2], 2)))
    return _put_together(turns, pieces)


def _samples(turns: Sequence[DrawnTurn], at_s: pd.Series[float], value: pd.Series[float]) -> Line:
    """Samples, each of which speaks for the time since the one before, the first of a turn for its begin."""
    at, values = (np.asarray(column, dtype=np.float64) for column in (at_s, value))
    pieces: list[Line] = []
    for turn in turns:
        within = (at > turn.start_s) & (at <= turn.end_s) & ~np.isnan(values)
        x, y = turn.place(at[within]), values[within]
        if len(x) and not turn.is_short:
            x, y = np.concatenate([[turn.x_s], x]), np.concatenate([y[:1], y])
        pieces.append((x, y))
    return _thinned(_put_together(turns, pieces))


def _put_together(turns: Sequence[DrawnTurn], pieces: Sequence[Line]) -> Line:
    """One piece a turn as one line, with a gap behind each that is not short, and none at its ends."""
    parts: list[Line] = []
    for turn, (x, y) in zip(turns, pieces, strict=True):
        if len(x):
            parts.append((x, y))
            if not turn.is_short:
                parts.append((np.full(1, np.nan), np.full(1, np.nan)))
    if parts and np.isnan(parts[-1][0]).all():
        parts.pop()
    x, y = (np.concatenate([part[i] for part in parts] or [np.empty(0)]) for i in (0, 1))
    return x, y


def _thinned(line: Line) -> Line:
    """At most POINTS_SHOWN points, the largest of each few: a short stall must not vanish."""
    x, y = line
    every = math.ceil(len(x) / POINTS_SHOWN)
    if every <= 1:
        return line
    starts = np.arange(0, len(x), every)
    largest = np.maximum.reduceat(np.nan_to_num(y, nan=-np.inf), starts)
    return np.maximum.reduceat(np.nan_to_num(x, nan=-np.inf), starts), np.where(np.isinf(largest), np.nan, largest)


def _panels(
    figure: Figure, place: tuple[int, int], columns: int, top_in: float, block_in: float, watched: bool
) -> list[Axes]:
    """The axes of the block in a row and column, from the top: latency; where the server was watched, lag and threads."""
    row, column = place
    width, height = figure.get_figwidth(), figure.get_figheight()
    block_wide = (width - LEFT_IN - 0.1 - BETWEEN_IN * (columns - 1)) / columns
    left = LEFT_IN + column * (block_wide + BETWEEN_IN)
    at = top_in + row * block_in + HEADER_IN
    axes = []
    for tall in (LATENCY_IN, LAG_IN, THREADS_IN) if watched else (LATENCY_IN,):
        box = (left / width, 1 - (at + tall) / height, (block_wide - LABELS_IN) / width, tall / height)
        axes.append(figure.add_axes(box))
        at += tall + PANEL_GAP_IN
    return axes


def _draw(
    panels: list[Axes],
    track: Track,
    tracks: Sequence[Track],
    style: VariantStyle,
    span_s: tuple[float, float],
    labels: tuple[bool, bool],
) -> None:
    """``labels``: whether the vertical and the horizontal axis have labels."""
    named, timed = labels
    for axes in panels:
        axes.set_xlim(span_s)
        _shade(axes, track)
        axes.grid(color=GRID)
        axes.set_axisbelow(True)
    room_in = panels[0].get_position().width * panels[0].figure.get_figwidth() + LABELS_IN  # type: ignore[union-attr]
    what = canvas.fit(formatting.summary_of(track.variant), room_in, bold=True)
    panels[0].set_title(what, loc="left", fontsize=11, weight="bold", pad=5)
    _draw_latency(panels[0], track, tracks, style)
    if len(panels) > 1:
        _draw_lag(panels[1], track, tracks, style)
        _draw_threads(panels[2], track, tracks, style)
    for axes in panels:
        axes.tick_params(labelleft=named, labelbottom=timed and axes is panels[-1], labelsize=SMALL, length=3)
        axes.xaxis.set_major_locator(
            FixedLocator([t for t in MaxNLocator(5, integer=True).tick_values(*span_s) if span_s[0] <= t <= span_s[1]])
        )
    if timed:
        panels[-1].set_xlabel("seconds under load", fontsize=SMALL, labelpad=2)


def _shade(axes: Axes, track: Track) -> None:
    begin_s = axes.get_xlim()[0]
    for turn in track.turns:
        if turn.is_short:
            continue
        warm_x = turn.x_s + turn.warm_until_s - turn.start_s
        axes.axvspan(max(begin_s, turn.x_s), warm_x, color=SHADE, lw=0, zorder=0)


def _draw_latency(axes: Axes, track: Track, tracks: Sequence[Track], style: VariantStyle) -> None:
    every = np.concatenate([line[1] for t in tracks for line in t.latency.values()])
    canvas.time_axis(axes, "y", every[~np.isnan(every)])
    strokes = {"median": ("-", 2.4, style.colour), "longest": ("-", 1.1, style.colour), "health": (":", 2.0, FAINT)}
    for name, (x, y) in track.latency.items():
        line, width, colour = strokes[name]
        axes.plot(x, y, ls=line, lw=width, color=colour)
    low, high = (math.log10(edge) for edge in axes.get_ylim())
    ends = {name: (math.log10(y[-1]) - low) / (high - low) for name, (_, y) in track.latency.items()}
    _label(axes, track, ends, {name: name for name in ends})


def _draw_lag(axes: Axes, track: Track, tracks: Sequence[Track], style: VariantStyle) -> None:
    highest = max((float(np.nanmax(t.lag[1])) for t in tracks if t.lag is not None and len(t.lag[1])), default=1.0)
    axes.set_yscale("log")
    axes.set_ylim(LAG_FLOOR_MS, max(10.0, highest) * 1.6)
    axes.yaxis.set_major_locator(FixedLocator(LAG_TICKS_MS if highest > 50 else SMALL_LAG_TICKS_MS))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1e3:g} s" if value >= 1e3 else f"{value:g} ms")
    )
    axes.yaxis.set_minor_locator(NullLocator())
    if track.lag is None or not len(track.lag[0]):
        _silent(axes, "not watched")
        return
    x, lag_ms = track.lag
    _area(axes, x, np.full(len(x), LAG_FLOOR_MS), np.maximum(lag_ms, LAG_FLOOR_MS), style)
    texts = {"lag": "loop lag"}
    if "lag_max_ms" in track.most:
        texts["most"] = f"≤ {formatting.duration(track.most['lag_max_ms'])}"
    _label(axes, track, {"lag": 0.68, "most": 0.3}, texts)


def _draw_threads(axes: Axes, track: Track, tracks: Sequence[Track], style: VariantStyle) -> None:
    highest = max((float(np.nanmax(t.tokens[1][1])) for t in tracks if t.tokens and len(t.tokens[1][1])), default=0.0)
    total = max(t.total for t in tracks)
    axes.set_ylim(0, 1.1 * max(1.0, highest, total))
    axes.yaxis.set_major_locator(FixedLocator([0, total]) if 3 * total > highest else MaxNLocator(2, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if track.tokens is None or not len(track.tokens[0][0]):
        _silent(axes, "no threadpool in use" if track.lag is not None else "not watched")
        return
    (x, borrowed), (_, wanted) = track.tokens
    _area(axes, x, np.zeros(len(x)), borrowed, style)
    axes.fill_between(x, borrowed, wanted, step="pre", facecolor="white", edgecolor=INK, hatch="////", lw=0.4)
    if track.total:
        axes.axhline(track.total, color=INK, lw=1.2, ls=(0, (5, 3)))
    texts = {"threads": "threads"}
    if "tokens_borrowed" in track.most:
        texts["most"] = f"≤ {track.most['tokens_borrowed']:.0f} of {track.total:.0f}"
    if track.most.get("tokens_waiting"):
        texts["waiting"] = f"+ {track.most['tokens_waiting']:.0f} wait"
    _label(axes, track, {"threads": 0.84, "most": 0.5, "waiting": 0.16}, texts)


def _area(axes: Axes, x: Floats, low: Floats, high: Floats, style: VariantStyle) -> None:
    axes.fill_between(x, low, high, step="pre", color=style.colour, alpha=0.35, lw=0)
    axes.plot(x, high, color=style.colour, lw=1.3, drawstyle="steps-pre")


def _silent(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=SMALL)


def _label(axes: Axes, track: Track, places: dict[str, float], texts: dict[str, str]) -> None:
    """Texts to the right of a panel, moved apart, at their ``places`` as shares of its height."""
    places = {name: place for name, place in places.items() if name in texts}
    tall_in = axes.get_position().height * axes.figure.get_figheight()  # type: ignore[union-attr]
    gap = SMALL * 1.28 / canvas.POINTS_PER_INCH / tall_in
    for name, place in zip(places, spread(list(places.values()), gap, gap / 2, 1 - gap / 2), strict=True):
        colour = FAINT if name in ("health", "lag", "threads") else INK
        text = canvas.fit(texts[name], LABELS_IN - 0.1, SMALL)
        axes.text(1.03, place, text, transform=axes.transAxes, va="center", fontsize=SMALL, color=colour)


BIN_S = 1.0
"""Width of a moment when rounds are put together: the longest interval that is recorded."""

STEADY, UNSTEADY = 1.1, 1.5
"""Factors between a variant's lowest and highest median of a second: below the first it does not move,
above the second everybody would. There is no truth here; between them the text only says what was seen."""
UNSTEADY_WORDS = "Not steady"


def steadiness(tables: ScenarioTables) -> str:
    """How far a median moves from second to second, all rounds together, and whose moves most; empty without any."""
    moves = {v.name: move for v in tables.variants if (move := _move(tables, v.name)) is not None}
    if not moves:
        return ""
    worst = max(moves, key=lambda name: moves[name][1] / moves[name][0])
    low_ms, high_ms = moves[worst]
    factor = high_ms / low_ms
    if factor < STEADY:
        return f"Steady: over time no median moves by more than {max(1.0, 100 * (factor - 1)):.0f} %"
    what = formatting.summary_of(tables.scenario.variant(worst))
    goes = f"with {what} the median goes from {formatting.duration(low_ms)} to {formatting.duration(high_ms)}"
    return f"Over time, {goes}" if factor < UNSTEADY else f"{UNSTEADY_WORDS}: {goes}"


def _move(tables: ScenarioTables, variant: str) -> tuple[float, float] | None:
    """The lowest and the highest median of a measured second, in ms."""
    rows = tables.latencies
    chosen = rows[
        (rows["variant"] == variant)
        & rows["measured"]
        & (rows["endpoint"] == tables.scenario.endpoint)
        & (rows["kind"] == tables.scenario.kind)
    ]
    second = np.floor((chosen["start_s"] + chosen["end_s"]) / 2 / BIN_S)
    medians = []
    for _, part in chosen.groupby(second):
        observed = latencies((part["value_us"].to_numpy(float), part["count"].to_numpy(float)))
        median = percentile(survival(observed), 0.5)
        if median:
            medians.append(median.value / 1e3)
    return (min(medians), max(medians)) if len(medians) > 1 else None
