"""What every chart is drawn on: figures with a finding for a title, axes in inches, looks by role, and their files.

The Figure is used without pyplot: its import costs a second and it keeps figures alive behind one's back.
"""

from __future__ import annotations

import math
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from bench.analysis.survival import Floats
from bench.analysis.tables import VariantInfo
from bench.report.text import formatting

INK, FAINT, GRID, SHADE = "#1b1b1b", "#5a5a5a", "#dcdcdc", "#efefef"
TRAPS = ("#D55E00", "#8C3B00", "#E69F00")
FIXES = ("#0072B2", "#009E73", "#56B4E9", "#CC79A7")
BASELINES = ("#6b6b6b", "#9a9a9a", "#404040")

WIDTH_IN = 8.0
DPI = 120

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
FONT_STYLE = "font-family: 'DejaVu Sans', sans-serif; "
FONTS = "'DejaVu Sans', Verdana, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class VariantStyle:
    """How a variant is drawn, everywhere: colour by role, and what tells it apart without colour."""

    colour: str
    marker: str
    line: str
    hatch: str


@dataclass(frozen=True)
class ChartDrawing:
    """A chart as files: ``svg`` stands alone and in a page, ``alt`` is its title for those who cannot see it."""

    name: str
    svg: str
    png: bytes
    alt: str


def variant_styles(variants: Sequence[VariantInfo]) -> dict[str, VariantStyle]:
    """Each variant's style, by its role and its place among those of that role."""
    shapes = {
        "trap": (TRAPS, "XP*", ("-", "-", "-"), ("///", "\\\\\\", "xxx")),
        "fix": (FIXES, "os^D", ("-", "--", "-.", ":"), ("", "", "", "")),
    }
    chosen: dict[str, VariantStyle] = {}
    seen: dict[str, int] = {}
    for variant in variants:
        role = variant.role if variant.role in shapes else "baseline"
        colours, markers, lines, hatches = shapes.get(role, (BASELINES, "vph", ("--", ":", "-."), ("--", "||", "++")))
        place = seen.get(role, 0)
        seen[role] = place + 1
        at = place % len(markers)
        chosen[variant.name] = VariantStyle(
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


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw in the style of all charts."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes in the PNG and as text in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def rendered(name: str, ident: str, figure: Figure) -> ChartDrawing:
    """The chart's files. ``ident`` tells its ids from those of other charts in the same page."""
    vector = StringIO()
    figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    alt = " ".join(figure.texts[0].get_text().split())
    return ChartDrawing(name, portable(vector.getvalue(), ident), _raster(figure), alt)


COLOURS = 128
"""Of a PNG: a palette makes it a third of the size, and a chart has few."""


def _raster(figure: Figure) -> bytes:
    pixels, file = BytesIO(), BytesIO()
    figure.savefig(pixels, format="raw", dpi=DPI)
    size = round(figure.get_figwidth() * DPI), len(pixels.getvalue()) // 4 // round(figure.get_figwidth() * DPI)
    image = Image.frombytes("RGBA", size, pixels.getvalue()).convert("RGB")
    image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, "PNG", dpi=(DPI, DPI))
    return file.getvalue()


_COORDINATES = re.compile(r' (?:d|x|y|width|height|points)="[^"]*"')
_STYLE = re.compile(r' style="[^"]*"')
_POINTS = re.compile(r"([ML]) (\S+) (\S+)\s*(?:L \2 \3\s*)*")


def portable(svg: str, ident: str) -> str:
    """An SVG that can stand with others in one page: ids of its own, no fixed size, fonts that fall back; and small."""
    opening, body = svg[svg.index("<svg") :].split(">", 1)
    opening = re.sub(r' (?:width|height)="[^"]*"', "", opening) + f' font-family="{FONTS}"'
    body = re.sub(r"<!--.*?-->|<metadata.*?</metadata>", "", body, flags=re.DOTALL)
    body = _COORDINATES.sub(lambda match: re.sub(r"(\.\d)\d+", r"\1", match[0]), body)
    body = re.sub(r' d="[^"]*"', lambda match: _POINTS.sub(r"\1\2 \3", match[0]), body)
    body = re.sub(r' transform="rotate\(-?0 [^"]*"', "", body)
    body = _STYLE.sub(lambda match: re.sub(r"([:;]) ", r"\1", match[0].replace(FONT_STYLE, "")), body)
    body = _without_idle_groups(_own_ids(body, re.sub(r"[^A-Za-z0-9_-]", "_", ident)))
    return f"{opening}>" + "\n".join(line for line in map(str.strip, body.splitlines()) if line) + "\n"


def _own_ids(body: str, prefix: str) -> str:
    """Short ids that no other chart has; those that nothing refers to are dropped."""
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    short = {name: f"{prefix}-{number}" for number, name in enumerate(used)}
    body = re.sub(r' id="([^"]+)"', lambda match: f' id="{short[match[1]]}"' if match[1] in short else "", body)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda match: match[1] + short[match[2]], body)


def _without_idle_groups(body: str) -> str:
    """Groups that say nothing of what they hold are unwrapped."""
    kept: list[bool] = []

    def tag(match: re.Match[str]) -> str:
        if match[0] == "</g>":
            return "</g>" if kept.pop() else ""
        kept.append(match[0] != "<g>")
        return match[0] if kept[-1] else ""

    return re.sub(r"<g(?: [^>]*)?>|</g>", tag, body)


def blank(height_in: float) -> Figure:
    """An empty figure of the usual width."""
    return Figure(figsize=(WIDTH_IN, height_in), facecolor="white")


POINTS_PER_INCH = 72


def fit(text: str, width_in: float, size: float = 11, bold: bool = False) -> str:
    """``text``, or as much of its beginning as has room, with an ellipsis."""
    while len(text) > 1 and text_width_in(text, size, bold) > width_in:
        text = text.removesuffix("…")[:-1].rstrip() + "…"
    return text


def text_width_in(text: str, size: float, bold: bool) -> float:
    """Width of a text in inches."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / POINTS_PER_INCH


SUBTITLE_IN = 0.36
"""Below the title: a line of text and some air."""


TITLE_SIZE = 14
TITLE_CHARACTERS = 62
"""That fit on a line of that size."""


def balanced(title: str) -> list[str]:
    """One line or two of about the same length, with numbers kept beside their units."""
    bound = re.sub(r"(\d) (?=(?:%|ms|s)\b|%)", "\\1\N{NO-BREAK SPACE}", title)
    if len(bound) <= TITLE_CHARACTERS:
        return [bound]
    for width in range(len(bound) // 2, TITLE_CHARACTERS):
        lines = textwrap.wrap(bound, width)
        if len(lines) <= 2:
            return lines
    return textwrap.wrap(bound, TITLE_CHARACTERS, max_lines=2, placeholder=" …")


def titled(figure: Figure, title: str, subtitle: str) -> float:
    """The finding in bold, at most two lines, and below it what is drawn; returns the inches taken by both."""
    lines = [fit(line, WIDTH_IN - 0.4, TITLE_SIZE, bold=True) for line in balanced(title)]
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


def axes_in(figure: Figure, *, left_in: float, right_in: float, bottom_in: float, top_in: float) -> Axes:
    """Axes that leave these margins in inches."""
    width, height = figure.get_figwidth(), figure.get_figheight()
    return figure.add_axes(
        (left_in / width, bottom_in / height, 1 - (left_in + right_in) / width, 1 - (bottom_in + top_in) / height)
    )


NAMES_IN = 2.6
"""The most that names may take on the left of a chart."""


def rows_chart(shown: Sequence[VariantInfo], title: str, subtitle: str, right_in: float) -> tuple[Figure, Axes]:
    """A figure with a row a variant, names on the left: what it is in bold, its file's name below."""
    figure = blank(1.75 + 0.28 + 0.68 * len(shown))
    top_in = titled(figure, title, subtitle)
    labels = [(fit(formatting.summary_of(v), NAMES_IN, bold=True), fit(formatting.name_of(v), NAMES_IN)) for v in shown]
    left_in = 0.3 + max(max(text_width_in(what, 11, True), text_width_in(name, 11, False)) for what, name in labels)
    axes = axes_in(figure, left_in=left_in, right_in=right_in, bottom_in=0.72, top_in=top_in + 0.1)
    for row, (what, name) in enumerate(labels):
        at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right"}
        axes.text(-0.02, row - 0.03, what, va="bottom", weight="bold", fontsize=11, **at)
        axes.text(-0.02, row + 0.03, name, va="top", color=FAINT, fontsize=11, **at)
    axes.set_ylim(len(shown) - 0.45, -0.55)
    axes.yaxis.set_major_locator(NullLocator())
    axes.set_axisbelow(True)
    return figure, axes


def beside(axes: Axes, row: int, value: str, note: str) -> None:
    """The figures in a column of their own to the right, where nothing can be in their way."""
    at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "left"}
    axes.text(1.03, row - 0.03, value, va="bottom", weight="bold", fontsize=12, **at)
    axes.text(1.03, row + 0.03, note, va="top", color=FAINT, fontsize=11, **at)


def mark(x: float, y: float, marker: str, colour: str) -> Line2D:
    """One mark of a legend at a place of the figure."""
    return Line2D([x], [y], marker=marker, ls="", ms=9.5, mfc=colour, mec="white", mew=0.8)


def time_axis(axes: Axes, which: str, values_ms: Floats) -> None:
    """A log axis of times around ``values_ms``, labelled 1 ms, 10 ms, 1 s."""
    low, high = float(values_ms.min()), float(values_ms.max())
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low / 1.5, high * 1.6)
    axis = axes.xaxis if which == "x" else axes.yaxis
    few = math.log10(high * 1.6 / (low / 1.5)) < 1.7
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e3:g} s" if value >= 1e3 else f"{value:g} ms"))
    axis.set_minor_locator(NullLocator())
