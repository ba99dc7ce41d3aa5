"""index.html: one self-contained file that needs nothing else, no network and no script to be read.

Everything that comes from a run (names, questions, log lines) goes through formatting.clean and the template's
autoescape. Only two things enter as markup: our own charts' SVG, and the reports' HTML (bench/report/pages/section.py).
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


def page(run: Run, reports: Sequence[ScenarioReport], charts: Charts, calibration: Sequence[str] = ()) -> str:
    """The page's HTML, with ``charts`` in it.

    ``calibration`` are the sentences that are quoted of the machine's calibration.
    """
    content = _page(run, reports, charts, calibration)
    return environment().get_template("index.html.j2").render(page=content, dash=formatting.DASH)


def _page(run: Run, reports: Sequence[ScenarioReport], charts: Charts, calibration: Sequence[str]) -> dict[str, Any]:
    troubles = [trouble for report in reports for trouble in report.excluded]
    left_out = [left for report in reports for left in report.incomplete_rounds]
    finding = headline(reports)
    return {
        "title": finding,
        "run": formatting.clean(run.name, 80),
        "created": utc(run.created_unix_s),
        "headline": finding,
        "notes": _notes(reports, troubles, left_out),
        "claims": [group for group in _claims(reports) if group["claims"]],
        "counted": counted([claim for report in reports for claim in report.claims]),
        "quiz": list(_quiz(reports)),
        "noise": [f"{formatting.clean(c.name, 60)}: {noise_words(c.noise)}." for c in reports if c.noise],
        "overview": [inline(svg, alt) for svg, alt in charts.get(OVERVIEW, ())],
        "reports": [_section(report, charts) for report in reports],
        "troubles": [_trouble(trouble) for trouble in troubles[:TROUBLES_SHOWN]],
        "troubles_left_off": max(0, len(troubles) - TROUBLES_SHOWN),
        "left_out": [_left_out(left) for left in left_out],
        "calibration": list(calibration),
        "facts": list(_facts(run, reports)),
        "command": formatting.clean(run.command, 2000) or "The run does not say how it was started.",
        "redraw": formatting.clean(f"nox -s report -- results/{shlex.quote(run.name)}", 200),
    }


def headline(reports: Sequence[ScenarioReport]) -> str:
    """The finding of the scenario whose trap costs most."""
    with_finding = [report for report in reports if report.headline]
    if not with_finding:
        return "Nothing to report yet: no trial of a complete round gave evidence."
    return max(with_finding, key=lambda report: report.cost).headline


def _notes(
    reports: Sequence[ScenarioReport], troubles: Sequence[ExcludedTrial], left_out: Sequence[IncompleteRound]
) -> list[str]:
    notes = []
    if troubles:
        statuses = {status: sum(t.status == status for t in troubles) for status in ("failed", "invalid", "refused")}
        counted = ", ".join(f"{n} {status}" for status, n in statuses.items() if n)
        notes.append(f"Excluded from every figure, and listed below: {counted}.")
    if left_out:
        notes.append(f"Left out: {len(left_out)} {formatting.plural(len(left_out), 'round')} cut short.")
    if repeated := sum(report.repeated_rounds for report in reports):
        rounds = formatting.plural(repeated, "round")
        notes.append(f"Measured again, since a trial was invalid: {repeated} {rounds}.")
    again, measured = (sum(report.turns_taken_again[place] for report in reports) for place in (0, 1))
    if again > MIN_SHARE_TOLD * measured:
        notes.append(
            f"Taken again, since another program used the load generator's core: {again} {formatting.plural(again, 'turn')}, "
            f"beside {measured} that count."
        )
    if any(report.single_round for report in reports):
        notes.append("One round, no interval: the differences here are not proven to repeat.")
    return notes


MIN_SHARE_TOLD = 0.1
"""Of the turns. Fewer that were taken again are nothing unusual."""

RANKS = {"refuted": 0, "confirmed": 1, "inconclusive": 2}
"""Of a verdict in the table: what contradicts comes first, what says nothing last."""


def _claims(reports: Sequence[ScenarioReport]) -> list[dict[str, Any]]:
    """The guide's statements, and what else was put to the test."""
    everything = [claim for report in reports for claim in report.claims]
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


def _quiz(reports: Sequence[ScenarioReport]) -> Iterable[dict[str, Any]]:
    """Each question that a claim of this run answers, with those claims."""
    everything = [claim for report in reports for claim in report.claims]
    for question in dict.fromkeys(claim.question for claim in everything if claim.question):
        claims = [_claim(claim) for claim in everything if claim.question == question]
        yield {"question": formatting.clean(question), "claims": claims}


def _section(report: ScenarioReport, charts: Charts) -> dict[str, Any]:
    return {
        "anchor": anchor(report.name),
        "name": formatting.clean(report.name, 60),
        "opening": Markup(report.opening),
        "charts": [inline(svg, alt) for svg, alt in charts[report.name]],
        "closing": Markup(report.closing),
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


def _facts(run: Run, reports: Sequence[ScenarioReport]) -> Iterable[tuple[str, str]]:
    for key, value in flat("", asdict(run.machine)):
        yield key, value
    for key, value in flat("git", asdict(run.git) if run.git else {}):
        yield key, value
    versions = {name: version for report in reports for name, version in sorted(report.versions.items())}
    yield from flat("packages", versions)
    for report in reports:
        yield f"seed of {formatting.clean(report.name, 60)}", formatting.clean(report.seed)


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
