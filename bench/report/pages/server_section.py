"""The probe's part of a scenario's section: what the servers did, whose line held them up, and what to do about it.

File names, functions and calls come from whatever app was measured: they go through formatting.clean and the template's
autoescape, and only so many are shown. The advice is our own Markdown; HTML in it is not let through.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

from bench.analysis.diagnosis import diagnosis
from bench.analysis.summary import Summary
from bench.analysis.tables import ScenarioTables, VariantInfo
from bench.analysis.telemetry import LOOP_KINDS, Blame, blame
from bench.report.charts.timeline import UNSTEADY_WORDS, steadiness
from bench.report.text import formatting, sentences
from bench.report.text.advice_text import advice

PLACES_SHOWN = 6
"""Of a blame table: what comes after them is a line, however many there are."""

PATH_LIMIT, WORD_LIMIT, LINE_LIMIT = 160, 80, 160
"""Characters of a file's name, of a function's or a call's, and of a line of source."""

FINE = ("waiting on others", "idle")
"""Categories that need no fix, so their advice would only be in the way."""

WHY = {
    "loop": "held the loop",
    "gil": "kept the interpreter from the loop",
    "threadpool": "held threads while requests waited for one",
}


def server_section(tables: ScenarioTables, summary: Summary, root: Path) -> dict[str, Any]:
    """What the template needs of it. ``root`` is the repository, which absolute paths are shown relative to."""
    rows = sentences.server_table(tables, summary)
    return {
        "silence": _silence(tables) if tables.variants and not rows else "",
        "steadiness": steady if (steady := steadiness(tables)).startswith(UNSTEADY_WORDS) else "",
        "columns": sentences.SERVER_COLUMNS,
        "rows": rows,
        "cards": [card for v in tables.variants if (card := _card(tables, summary, v, root))],
    }


def _silence(tables: ScenarioTables) -> str:
    return f"The servers were not watched ({sentences.NO_TELEMETRY}): nothing is known of their loops and threads here."


def _card(tables: ScenarioTables, summary: Summary, variant: VariantInfo, root: Path) -> dict[str, Any] | None:
    found = diagnosis(tables, summary, variant.name)
    if found is None:
        return None
    places = blame(tables.stalls[tables.stalls["variant"] == variant.name])
    evidence = formatting.clean(found.evidence)
    return {
        "name": formatting.name_of(variant),
        "summary": formatting.summary_of(variant),
        "role": variant.role,
        "category": found.category,
        "fine": found.category in FINE,
        "evidence": f"{evidence[:1].upper()}{evidence[1:]}.",
        "leads": _leads(places, variant, root),
        "places": [_place(place, root) for place in places[:PLACES_SHOWN]],
        "left_off": _left_off(places[PLACES_SHOWN:]),
        "advice": None if found.category in FINE else markdown(advice(found.category)),
    }


def _leads(places: tuple[Blame, ...], variant: VariantInfo, root: Path) -> list[dict[str, str]]:
    """The place with the largest share of each sort of stall, with its line of source where that is known."""
    firsts = [next((p for p in places if (p.kind in LOOP_KINDS) == held), None) for held in (True, False)]
    return [
        {
            "share": f"{formatting.share(place.share)} of {_whole(place)}",
            "where": where(place, root),
            "function": formatting.clean(place.function, WORD_LIMIT),
            "callee": formatting.clean(place.callee, WORD_LIMIT),
            "line": _source_line(place, variant),
        }
        for place in firsts
        if place is not None
    ]


def _whole(place: Blame) -> str:
    total = formatting.duration(place.stalled_ms / place.share)
    return f"stalled time ({total})" if place.kind in LOOP_KINDS else f"the time without a free thread ({total})"


def where(place: Blame, root: Path) -> str:
    """``apps/blocking/blocking_call.py:14``; never where on the machine that lies."""
    if not place.file:
        return "outside of the app's own code"
    path = Path(place.file.replace("\0", ""))
    if path.is_absolute():
        inside = path.is_relative_to(root)
        path = path.relative_to(root) if inside else Path("…", *path.parts[-2:])
    name = formatting.clean(path, PATH_LIMIT)
    return name if place.line is None else f"{name}:{place.line}"


def _source_line(place: Blame, variant: VariantInfo) -> str:
    """The line as it was measured; empty where that file is not the variant's own."""
    if place.line is None or not place.file or place.file != variant.file:
        return ""
    lines = variant.source.splitlines()
    return formatting.clean(lines[place.line - 1].strip(), LINE_LIMIT) if place.line <= len(lines) else ""


def _place(place: Blame, root: Path) -> dict[str, str]:
    return {
        "share": formatting.share(place.share),
        "where": where(place, root),
        "function": formatting.clean(place.function, WORD_LIMIT),
        "callee": formatting.clean(place.callee, WORD_LIMIT) or formatting.DASH,
        "why": WHY[place.kind],
        "stalled": formatting.duration(place.stalled_ms),
        "stalls": formatting.count(place.stalls),
        "longest": formatting.duration(place.longest_ms),
    }


def _left_off(places: tuple[Blame, ...]) -> str:
    if not places:
        return ""
    stalled = formatting.duration(sum(place.stalled_ms for place in places))
    return f"{formatting.count(len(places))} more, {stalled} together"


def markdown(text: str) -> Markup:
    """Paragraphs, lists, emphasis and code as HTML; tags, images and links in it stay text."""
    parser = MarkdownIt("commonmark", {"html": False}).disable(["image", "link", "autolink"])
    return Markup(parser.render(text))
