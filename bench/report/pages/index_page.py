"""index.html: one self-contained file that needs nothing else, no network and no script to be read.

Everything that comes from a run (names, questions, log lines) goes through formatting.clean and the template's
autoescape. Only two things enter as markup: our own charts' SVG, and the chapters' HTML (bench.report.section).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from bench.analysis.claims import ClaimVerdict
from bench.analysis.tables import ExcludedTrial, IncompleteRound, Run
from bench.report.formats.summary_md import counted
from bench.report.pages.scenario_report import ScenarioReport
from bench.report.pages.section import environment
from bench.report.text import formatting
from bench.report.text.comparison_text import noise_words

TROUBLES_SHOWN = 40
"""More would bury the rest of the page; their files still have them."""

Charts = Mapping[str, Sequence[tuple[str, str]]]
"""For each scenario's name its charts, and under OVERVIEW those of all: (SVG text, title for who cannot see it)."""

OVERVIEW = ""


def page(run: Run, chapters: Sequence[ScenarioReport], charts: Charts, calibration: Sequence[str] = ()) -> str:
    """The page's HTML, with ``charts`` in it.

    ``calibration`` are the sentences that are quoted of the machine's calibration.
    """
    content = _page(run, chapters, charts, calibration)
    return environment().get_template("index.html.j2").render(page=content, dash=formatting.DASH)


def _page(run: Run, chapters: Sequence[ScenarioReport], charts: Charts, calibration: Sequence[str]) -> dict[str, Any]:
    troubles = [trouble for chapter in chapters for trouble in chapter.excluded]
    left_out = [left for chapter in chapters for left in chapter.incomplete_rounds]
    finding = headline(chapters)
    return {
        "title": finding,
        "run": formatting.clean(run.name, 80),
        "created": utc(run.created_unix_s),
        "headline": finding,
        "notes": _notes(chapters, troubles, left_out),
        "claims": [group for group in _claims(chapters) if group["claims"]],
        "counted": counted([claim for chapter in chapters for claim in chapter.claims]),
        "quiz": list(_quiz(chapters)),
        "noise": [f"{formatting.clean(c.name, 60)}: {noise_words(c.noise)}." for c in chapters if c.noise],
        "overview": [inline(svg, alt) for svg, alt in charts.get(OVERVIEW, ())],
        "chapters": [_chapter(chapter, charts) for chapter in chapters],
        "troubles": [_trouble(trouble) for trouble in troubles[:TROUBLES_SHOWN]],
        "troubles_left_off": max(0, len(troubles) - TROUBLES_SHOWN),
        "left_out": [_left_out(left) for left in left_out],
        "calibration": list(calibration),
        "facts": list(_facts(run, chapters)),
        "command": formatting.clean(run.command, 2000) or "The run does not say how it was started.",
        "redraw": formatting.clean(f"nox -s report -- results/{shlex.quote(run.name)}", 200),
    }


def headline(chapters: Sequence[ScenarioReport]) -> str:
    """The finding of the scenario whose trap costs most."""
    with_finding = [chapter for chapter in chapters if chapter.headline]
    if not with_finding:
        return "Nothing to report yet: no trial of a complete round gave evidence."
    return max(with_finding, key=lambda chapter: chapter.cost).headline


def _notes(
    chapters: Sequence[ScenarioReport], troubles: Sequence[ExcludedTrial], left_out: Sequence[IncompleteRound]
) -> list[str]:
    notes = []
    if troubles:
        statuses = {status: sum(t.status == status for t in troubles) for status in ("failed", "invalid", "refused")}
        counted = ", ".join(f"{n} {status}" for status, n in statuses.items() if n)
        notes.append(f"Excluded from every figure, and listed below: {counted}.")
    if left_out:
        notes.append(f"Left out: {len(left_out)} {formatting.plural(len(left_out), 'round')} cut short.")
    if repeated := sum(chapter.repeated_rounds for chapter in chapters):
        rounds = formatting.plural(repeated, "round")
        notes.append(f"Measured again, since a trial was invalid: {repeated} {rounds}.")
    if any(chapter.single_round for chapter in chapters):
        notes.append("One round, no interval: the differences here are not proven to repeat.")
    return notes


RANKS = {"refuted": 0, "confirmed": 1, "inconclusive": 2}
"""Of a verdict in the table: what contradicts comes first, what says nothing last."""


def _claims(chapters: Sequence[ScenarioReport]) -> list[dict[str, Any]]:
    """The guide's statements, and what else was put to the test."""
    everything = [claim for chapter in chapters for claim in chapter.claims]
    ranked = sorted(everything, key=lambda claim: RANKS[claim.verdict])
    return [
        {"title": title, "claims": [_claim(claim) for claim in ranked if claim.guide is guide]}
        for guide, title in ((True, "Is the guide right?"), (False, "What else was put to the test"))
    ]


def _claim(claim: ClaimVerdict) -> dict[str, str]:
    return {
        "verdict": claim.verdict,
        "statement": formatting.clean(claim.statement),
        "evidence": formatting.clean(claim.evidence),
        "scenario": formatting.clean(claim.scenario, 60),
        "anchor": anchor(claim.scenario),
    }


def _quiz(chapters: Sequence[ScenarioReport]) -> Iterable[dict[str, Any]]:
    """Each question that a claim of this run answers, with those claims."""
    everything = [claim for chapter in chapters for claim in chapter.claims]
    for question in dict.fromkeys(claim.question for claim in everything if claim.question):
        claims = [_claim(claim) for claim in everything if claim.question == question]
        yield {"question": formatting.clean(question), "claims": claims}


def _chapter(chapter: ScenarioReport, charts: Charts) -> dict[str, Any]:
    return {
        "anchor": anchor(chapter.name),
        "name": formatting.clean(chapter.name, 60),
        "opening": Markup(chapter.opening),
        "charts": [inline(svg, alt) for svg, alt in charts[chapter.name]],
        "closing": Markup(chapter.closing),
    }


def anchor(scenario: str) -> str:
    """The id of a scenario's section."""
    return f"scenario-{re.sub(r'[^A-Za-z0-9_-]', '_', scenario)[:80]}"


def inline(svg: str, alt: str) -> Markup:
    """The chart for the page: an image to a screen reader, with its finding as the name."""
    label = Markup(' role="img" aria-label="{}"').format(formatting.clean(alt))
    return Markup(svg.replace("<svg", f"<svg{label}", 1))


def _trouble(trouble: ExcludedTrial) -> dict[str, Any]:
    title = f"{formatting.clean(trouble.scenario, 60)} / {formatting.clean(trouble.variant, 60)}, round {trouble.round}"
    reasons = [formatting.clean(reason) for reason in trouble.reasons[:10]]
    reasons.append(f"Files: {formatting.clean(trouble.where)}")
    tail = formatting.clean_lines(trouble.log_tail) if trouble.log_tail else ""
    return {"status": trouble.status, "title": title, "reasons": reasons, "log_tail": tail}


def _left_out(left: IncompleteRound) -> str:
    missing = ", ".join(formatting.clean(name, 60) for name in left.missing)
    return f"{formatting.clean(left.scenario, 60)}, round {left.round}: {missing} not measured"


def _facts(run: Run, chapters: Sequence[ScenarioReport]) -> Iterable[tuple[str, str]]:
    for key, value in flat("", asdict(run.machine)):
        yield key, value
    for key, value in flat("git", asdict(run.git) if run.git else {}):
        yield key, value
    versions = {name: version for chapter in chapters for name, version in sorted(chapter.versions.items())}
    yield from flat("packages", versions)
    for chapter in chapters:
        yield f"seed of {formatting.clean(chapter.name, 60)}", formatting.clean(chapter.seed)


def flat(prefix: str, mapping: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Nested facts as lines: ``packages uvicorn``: ``0.54``."""
    for key, value in mapping.items():
        name = f"{prefix} {key}".strip().replace("_", " ")
        if isinstance(value, dict):
            yield from flat(name, value)
        elif value not in (None, "", []):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield formatting.clean(name, 80), formatting.clean(text)


def utc(unix_s: float | None) -> str:
    """A time as ``2026-11-23 14:05 UTC``; empty where it is not known."""
    return "" if unix_s is None else f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M} UTC"
