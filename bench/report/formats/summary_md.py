"""summary.md: a run for a pull request or a chat, in Markdown that any of them renders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bench.analysis.claims import ClaimVerdict
from bench.report.pages.scenario_report import ScenarioReport
from bench.report.text import formatting
from bench.report.text.terminal import AGAINST, DIAGNOSIS

COLUMNS = ("req/s", "p50", "p99", "starved", "health p50", "health p90", AGAINST, DIAGNOSIS)

BADGES = {"confirmed": "✅ confirmed", "refuted": "❌ refuted", "inconclusive": "❔ inconclusive"}

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~$@&])")
"""What Markdown, GitHub's included, reads as more than itself: @names would notify people, pipes end a cell."""
_LINKS = re.compile(r"(?i)(https?|www|mailto)(?=[:.])")


def summary_md(run: str, headline: str, reports: Sequence[ScenarioReport]) -> str:
    """The text of summary.md: the finding, the claims, a table a scenario. ``run`` is the run's name."""
    lines = [f"## {escaped(headline)}", "", f"Run {escaped(run)}.", ""]
    claims = [claim for report in reports for claim in report.claims]
    if claims:
        lines += [f"**{counted(claims)}**", "", *_claims(claims), ""]
    for report in reports:
        lines += [f"### {escaped(report.name)}: {escaped(report.question)}", "", *_scenario(report), ""]
    return "\n".join(lines).rstrip() + "\n"


def counted(claims: Sequence[ClaimVerdict]) -> str:
    """``31 claims: 25 confirmed, 4 refuted, 2 inconclusive``."""
    parts = [f"{n} {verdict}" for verdict in BADGES if (n := sum(claim.verdict == verdict for claim in claims))]
    return f"{len(claims)} {formatting.plural(len(claims), 'claim')}: {', '.join(parts)}"


def escaped(text: str, limit: int = formatting.TEXT_LIMIT) -> str:
    """One line of ``text`` that is nothing but text in Markdown: no markup, HTML, mention or link."""
    plain = _MARKUP.sub(r"\\\1", formatting.clean(text, limit))
    return _LINKS.sub(lambda match: f"{match[0]}\N{ZERO WIDTH NON-JOINER}", plain)


def _claims(claims: Iterable[ClaimVerdict]) -> Iterator[str]:
    yield from _head(("verdict", "claim", "evidence"), "---")
    for claim in claims:
        statement = escaped(claim.statement) + (" (guide)" if claim.guide else "")
        yield f"| {BADGES[claim.verdict]} | {statement} | {escaped(claim.evidence)} |"


def _scenario(report: ScenarioReport) -> Iterator[str]:
    yield from _head(("variant", *COLUMNS), "---", right=6)
    for row in report.table.rows:
        cells = report.table.cells(row)
        yield f"| {escaped(row.summary)} | " + " | ".join(escaped(cells[column].text) for column in COLUMNS) + " |"
    if report.table.notes:
        yield ""
        yield from (f"- {escaped(note)}" for note in report.table.notes)


def _head(columns: Sequence[str], rule: str, right: int = 0) -> Iterator[str]:
    """The two lines that begin a table; ``right`` columns after the first are numbers."""
    rules = [rule + (":" if 1 <= place <= right else "") for place in range(len(columns))]
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join(rules)} |"
