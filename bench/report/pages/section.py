"""A scenario's section of the page as HTML: what stands before its charts, and what comes after them.

Everything that comes from a run (names, questions, sources) goes through formatting.clean and the template's autoescape.
Only our own advice and the highlighted code enter as markup, both escaped by their makers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers.python import PythonLexer

from bench.analysis.analyse import Analysis
from bench.analysis.tables import ScenarioTables, VariantInfo
from bench.report.pages.server_section import server_section
from bench.report.text import comparison_text, formatting, sentences

TEMPLATES = Path(__file__).parent / "templates"

CODE_LIMIT = 20_000
"""Characters of a variant's file that are shown. Ours have 10 to 40 lines."""


@cache
def environment(*folders: Path) -> Environment:
    """The templates of this package and of ``folders``. Values are escaped, and a missing value is an error."""
    return Environment(
        loader=FileSystemLoader([TEMPLATES, *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def opening(analysis: Analysis) -> str:
    """The question, how it was measured, and the answer."""
    tables = analysis.tables
    section = {
        "name": formatting.clean(tables.scenario.name, 60),
        "question": formatting.clean(tables.scenario.question),
        "measured": _measured(tables),
        "answer": sentences.answer(tables, analysis.summary),
    }
    return environment().get_template("opening.html.j2").render(section=section)


def closing(analysis: Analysis, root: Path) -> str:
    """The table, what the servers did and whose line held them up, and the code side by side."""
    section = {
        "columns": (sentences.COLUMNS[0], _against(analysis), *sentences.COLUMNS[1:]),
        "rows": list(_rows(analysis)),
        "notes": [f"{note}." for note in comparison_text.notes(analysis)],
        "server": server_section(analysis.tables, analysis.summary, root),
        "code": _codes(analysis.scenario.variants, root),
    }
    return environment().get_template("closing.html.j2").render(section=section)


def _against(analysis: Analysis) -> str:
    return f"against {formatting.clean(analysis.scenario.baseline, formatting.NAME_LIMIT)}"


def _rows(analysis: Analysis) -> Iterator[sentences.TableRow]:
    """The table's rows, with the verdict beside the throughput that it is about."""
    rows = sentences.table(analysis.tables, analysis.summary)
    for variant, row in zip(analysis.scenario.variants, rows, strict=True):
        verdict = comparison_text.against_baseline(analysis, variant.name)
        yield replace(row, cells=(row.cells[0], verdict, *row.cells[1:]))


def _measured(tables: ScenarioTables) -> str:
    """``32 users, 5 rounds, 3.0 s measured a variant and round (profile standard)``."""
    scenario = tables.scenario
    load = f"{scenario.users} users" if scenario.users is not None else f"{scenario.rate_rps:g} requests/s offered"
    rounds = max((len(numbers) for numbers in (tables.rounds(v.name) for v in tables.variants)), default=0)
    parts = [load, f"{rounds} {formatting.plural(rounds, 'round')}"]
    if len(tables.trials):
        shortest, longest = (
            float(value) for value in (tables.trials["measured_s"].min(), tables.trials["measured_s"].max())
        )
        seconds = formatting.span(f"{shortest:.1f} s", f"{longest:.1f} s")
        parts.append(f"{seconds} measured a variant and round")
    if tables.scenario.record.parallel:
        parts.append("the servers had every core, the generator's too")
    profile = f" (profile {formatting.clean(scenario.profile, 40)})" if scenario.profile else ""
    return ", ".join(parts) + profile


def _codes(variants: Sequence[VariantInfo], root: Path) -> list[dict[str, Any]]:
    """Each different file once, with the lines marked in which it differs from the one that is most like it."""
    found: dict[str, list[VariantInfo]] = {}
    for variant in variants:
        text = _source(variant, root)
        if text is not None:
            found.setdefault(text.strip(), []).append(variant)
    return [
        {
            "name": ", ".join(formatting.name_of(variant) for variant in sharing),
            "summary": formatting.summary_of(sharing[0]) if len(sharing) == 1 else "the same file, served otherwise",
            "role": sharing[0].role if len({variant.role for variant in sharing}) == 1 else "",
            "lines": _lines(text, _nearest(text, found)),
        }
        for text, sharing in found.items()
    ]


def _nearest(text: str, texts: Iterable[str]) -> str:
    """The text most like ``text`` among the others; itself where there is no other."""
    others = [other for other in texts if other != text]
    return max(others, key=lambda other: SequenceMatcher(None, text, other).ratio(), default=text)


def _source(variant: VariantInfo, root: Path) -> str | None:
    """The code that was measured, from run.json; else the file of today, if it lies within the repository."""
    if "\n" in variant.source:
        return formatting.clean_lines(variant.source[:CODE_LIMIT], CODE_LIMIT)
    path = (root / variant.file).resolve()
    if not variant.file.endswith(".py") or not path.is_relative_to(root.resolve()) or not path.is_file():
        return None
    return formatting.clean_lines(path.read_text(encoding="utf-8", errors="replace")[:CODE_LIMIT], CODE_LIMIT)


def _lines(code: str, other: str) -> list[tuple[bool, Markup]]:
    """(whether ``other`` has it otherwise, highlighted line)."""
    plain = code.splitlines()
    own = [True] * len(plain)
    for same in SequenceMatcher(None, plain, other.splitlines(), autojunk=False).get_matching_blocks():
        own[same.a : same.a + same.size] = [False] * same.size
    marks = [mark and bool(line.strip()) for mark, line in zip(own, plain, strict=True)]
    return [(mark, Markup(line)) for mark, line in zip(marks, _highlighted(code).split("\n"), strict=False)]


def _highlighted(code: str) -> str:
    """Python in colours, escaped; no tag goes over the end of a line."""
    return str(highlight(code, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)))
