"""The doctor's findings for machines, pull requests and terminals: doctor.json, junit.xml, summary.md, a table."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Literal
from xml.etree import ElementTree

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.analysis.numbers import duration, rate
from bench.analysis.summary import Figure
from bench.doctor import sentences as words
from bench.doctor.findings import DoctorReport, Finding, Place, Verdict, hyphened
from bench.report.formats.summary_md import escaped
from bench.report.text import formatting
from bench.results import schema

COLUMNS = ("endpoint", "verdict", "alone", "requests/s", "prober p50", "p90", "longest")

NARROW = 100
"""Columns of a terminal below which the table leaves out what the page still has."""

BETWEEN_COLUMNS = 3
NAME_LEAST = 16

ESSENTIAL = ("endpoint", "verdict", "requests/s", "prober p50", "longest")


def row(checkup: DoctorReport, verdict: Verdict) -> tuple[str, ...]:
    """The cells of a verdict's row, as COLUMNS names them."""
    alone = duration(verdict.alone_ms) if verdict.alone_ms else formatting.DASH
    throughput = rate(verdict.throughput.value) if verdict.throughput else formatting.DASH
    return (
        formatting.clean(verdict.endpoint, 80),
        words.state(checkup, verdict),
        alone,
        throughput,
        *words.waits(verdict.prober),
    )


# doctor.json


def as_json(checkup: DoctorReport) -> str:
    """Verdicts and findings as data: schema.py documents them (DOCTOR)."""
    content = {
        "schema": schema.SCHEMA,
        "app": checkup.app,
        "users": checkup.users,
        "headline": words.headline(checkup),
        "findings": [_finding(finding) for finding in checkup.findings],
        "endpoints": [_verdict(checkup, verdict) for verdict in checkup.verdicts],
        "left_out": [{"endpoint": name, "reason": reason} for name, reason in checkup.left_out],
        "start_up": [{**_place(place), "stalled_s": round(seconds, 3)} for place, seconds in checkup.start_up],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "category": hyphened(finding.category),
        "place": _place(finding.place) if finding.place else None,
        "endpoints": list(finding.endpoints),
        "everywhere": finding.everywhere,
        "share": round(finding.share, 3),
        "gain": asdict(finding.gain) if finding.gain else None,
        "remedies": list(finding.remedies),
    }


def _place(place: Place) -> dict[str, object]:
    return {key: getattr(place, key) for key in ("file", "line", "function", "callee", "role")}


def _verdict(checkup: DoctorReport, verdict: Verdict) -> dict[str, object]:
    return {
        "endpoint": verdict.endpoint,
        "category": hyphened(verdict.category),
        "accused": words.is_ill(checkup, verdict),
        "evidence": verdict.evidence,
        "troubles": list(verdict.troubles),
        "alone_ms": verdict.alone_ms,
        "throughput_rps": verdict.throughput.value if verdict.throughput else None,
        "prober_p50_ms": _number(verdict.prober.p50),
        "prober_p90_ms": _number(verdict.prober.p90),
        "prober_max_ms": _number(verdict.prober.longest),
    }


def _number(figure: Figure | None) -> float | None:
    return figure.value if figure else None


# junit.xml


def junit(checkup: DoctorReport, failing: Collection[str] = ()) -> str:
    """JUnit XML: a test case an endpoint, and one a line that is in all of them.

    A finding is a failure where its category is among ``failing`` (all are, when that is empty); what could not be
    measured is an error, what was left out is skipped.
    """
    suite = ElementTree.Element("testsuite", name=formatting.clean(checkup.app, 80))
    counts = {"failure": 0, "error": 0, "skipped": 0}

    def case(name: str, kind: str = "", message: str = "", text: str = "") -> None:
        element = ElementTree.SubElement(suite, "testcase", classname="doctor", name=formatting.clean(name, 200))
        if kind:
            counts[kind] += 1
            ElementTree.SubElement(element, kind, message=formatting.clean(message)).text = text

    fails = [f for f in checkup.findings if not failing or hyphened(f.category) in failing]
    for finding in (each for each in fails if each.everywhere):
        case("every endpoint", "failure", words.title(finding), text_of(checkup, finding))
    for verdict in checkup.verdicts:
        own = [f for f in fails if not f.everywhere and verdict.endpoint in f.endpoints]
        if own:
            text = "\n\n".join(text_of(checkup, finding) for finding in own)
            case(verdict.endpoint, "failure", "; ".join(map(words.title, own)), text)
        elif not verdict.measured:
            case(verdict.endpoint, "error", "; ".join(verdict.troubles) or "it could not be measured")
        elif hyphened(verdict.category) in failing and not verdict.held:
            case(verdict.endpoint, "failure", verdict.category, formatting.clean(verdict.evidence))
        else:
            case(verdict.endpoint)
    for name, reason in checkup.left_out:
        case(name, "skipped", reason)
    suite.set("tests", str(len(suite)))
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(counts[kind]))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def text_of(checkup: DoctorReport, finding: Finding) -> str:
    """A finding as plain text."""
    parts = [words.title(finding) + "."]
    if finding.place:
        parts.append(f"{words.who(finding.place)}: {excerpt_line(finding.place)}")
    else:
        parts.append(formatting.clean(finding.worst.evidence))
    parts += [words.cost(checkup, finding), words.gain(checkup, finding), *finding.remedies]
    return "\n".join(part for part in parts if part)


def excerpt_line(place: Place) -> str:
    """The blamed line itself, as it was measured."""
    at = place.line - place.first
    return formatting.clean(place.excerpt[at].strip(), 160) if 0 <= at < len(place.excerpt) else ""


# summary.md


def markdown(checkup: DoctorReport) -> str:
    """For a pull request: the headline, each finding, and the table."""
    lines = [f"## {escaped(words.headline(checkup))}", ""]
    for finding in checkup.findings:
        lines += [f"### {escaped(words.title(finding))}", ""]
        if finding.place and (source := excerpt_line(finding.place)):
            lines += [f"{escaped(words.who(finding.place))}:", "", f"    {source}", ""]
        said = [words.cost(checkup, finding), words.gain(checkup, finding)]
        lines += [escaped(" ".join(part for part in said if part)), ""]
        lines += [*(f"- {_remedy(remedy)}" for remedy in finding.remedies), ""]
    lines += [_line(COLUMNS), _line(("---",) * len(COLUMNS))]
    lines += [_line(tuple(map(escaped, row(checkup, verdict)))) for verdict in checkup.verdicts]
    if checkup.left_out:
        lines += ["", f"Not asked: {len(checkup.left_out)} operation(s).", ""]
        lines += [f"- {escaped(name)}: {escaped(reason)}" for name, reason in checkup.left_out]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _remedy(text: str) -> str:
    """Ours, but for names of the app within its code spans."""
    return formatting.clean(text).replace("<", "&lt;").replace("|", "\\|")


# The terminal


class DoctorTable:
    """The visit as a rich renderable: findings first, then a line an endpoint."""

    def __init__(self, checkup: DoctorReport) -> None:
        self.checkup = checkup

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Everything comes as Text: square brackets in a name are not rich's markup."""
        checkup = self.checkup
        yield Text(words.headline(checkup), style="bold")
        yield from (Padding(self._finding(finding), (1, 0, 0, 0)) for finding in checkup.findings)
        wide = options.max_width >= NARROW
        yield Padding(self._table(COLUMNS if wide else ESSENTIAL, options.max_width), (1, 0, 0, 0))
        for place, seconds in checkup.start_up:
            yield Text(f"start-up: {formatting.clean(place.where)} held it up {seconds:.1f} s, {words.who(place)}")
        if checkup.left_out:
            yield Text(f"not asked: {len(checkup.left_out)} operation(s), with reasons on the page")

    def _finding(self, finding: Finding) -> Group:
        lines = [Text(words.title(finding), style="red")]
        if finding.place:
            lines.append(Text(f"  {finding.place.line}: {excerpt_line(finding.place)}", style="cyan"))
            lines.append(Text(f"  {words.who(finding.place)}"))
        else:
            lines.append(Text(f"  {formatting.clean(finding.worst.evidence)}"))
        said = (words.cost(self.checkup, finding), words.gain(self.checkup, finding), *finding.remedies)
        lines += [Text(f"  {formatting.clean(part)}") for part in said if part]
        return Group(*lines)

    def _table(self, columns: Sequence[str], width: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        rows = [dict(zip(COLUMNS, row(self.checkup, verdict), strict=True)) for verdict in self.checkup.verdicts]
        widths = {column: max(len(cells[column]) for cells in [*rows, {column: column}]) for column in columns}
        # Names give way to figures: an endpoint may be called anything.
        room = width - sum(BETWEEN_COLUMNS + widths[column] for column in columns[1:])
        widths[columns[0]] = max(NAME_LEAST, min(widths[columns[0]], room))
        for column in columns:
            justify: Literal["left", "right"] = "left" if column in COLUMNS[:2] else "right"
            table.add_column(column, justify=justify, no_wrap=True, overflow="ellipsis", width=widths[column])
        for verdict, cells in zip(self.checkup.verdicts, rows, strict=True):
            style = "red" if words.is_ill(self.checkup, verdict) else ""
            table.add_row(*(Text(cells[column], style=style) for column in columns))
        return table
