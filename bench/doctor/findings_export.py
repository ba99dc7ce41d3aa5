"""The doctor's findings for programs and terminals: doctor.json, junit.xml, summary.md and a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal
from xml.etree import ElementTree

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.analysis.numbers import duration, rate
from bench.analysis.summary import Figure
from bench.doctor import findings_text as text
from bench.doctor.findings import AppLocation, DoctorReport, EndpointVerdict, Finding, hyphened
from bench.report.formats.summary_md import escaped
from bench.report.text import formatting
from bench.results.schema import (
    SCHEMA,
    DoctorFindingsRecord,
    EndpointVerdictRecord,
    FindingRecord,
    GainRecord,
    LocationRecord,
    StartUpFindingRecord,
)

COLUMNS = ("endpoint", "verdict", "alone", "requests/s", "health p50", "health p90", "health max")

NARROW_COLUMNS = ("endpoint", "verdict", "requests/s", "health p50", "health max")
"""Columns of the table in a terminal narrower than WIDE characters; the page has all of them."""

WIDE = 100
COLUMN_GAP = 3
MIN_NAME_WIDTH = 16


def row(report: DoctorReport, verdict: EndpointVerdict) -> tuple[str, ...]:
    """The cells of a verdict's row, in the order of COLUMNS."""
    alone = duration(verdict.alone_ms) if verdict.alone_ms else formatting.DASH
    throughput = rate(verdict.throughput.value) if verdict.throughput else formatting.DASH
    if verdict.is_long:
        alone = f"> {alone}" if verdict.alone_ms else alone
        throughput = throughput if verdict.throughput and verdict.throughput.value else formatting.DASH
    return (
        formatting.clean(verdict.endpoint, 80),
        text.state(report, verdict),
        alone,
        throughput,
        *text.latencies(verdict.health),
    )


# doctor.json


def findings_record(report: DoctorReport) -> DoctorFindingsRecord:
    """Verdicts and findings as doctor.json has them."""
    return DoctorFindingsRecord(
        schema=SCHEMA,
        app=report.app,
        users=report.users,
        headline=text.headline(report),
        findings=tuple(_finding_record(finding) for finding in report.findings),
        endpoints=tuple(_verdict_record(report, verdict) for verdict in report.verdicts),
        skipped=report.skipped,
        start_up=tuple(map(_held_record, report.start_up)),
        operations=report.operations,
        operations_asked=report.asked,
        driven=tuple(map(_held_record, report.driven)),
        suspected=report.suspected,
    )


def _held_record(held: tuple[AppLocation, float]) -> StartUpFindingRecord:
    location, seconds = held
    return StartUpFindingRecord(_location_record(location), round(seconds, 3))


def _finding_record(finding: Finding) -> FindingRecord:
    gain = finding.gain
    return FindingRecord(
        category=hyphened(finding.category),
        location=_location_record(finding.location) if finding.location else None,
        endpoints=finding.endpoints,
        everywhere=finding.everywhere,
        share=round(finding.share, 3),
        gain=GainRecord(gain.formula, gain.max_rps, gain.capped) if gain else None,
        remedies=finding.remedies,
    )


def _location_record(location: AppLocation) -> LocationRecord:
    return LocationRecord(location.file, location.line, location.function, location.callee, location.role)


def _verdict_record(report: DoctorReport, verdict: EndpointVerdict) -> EndpointVerdictRecord:
    return EndpointVerdictRecord(
        endpoint=verdict.endpoint,
        category=hyphened(verdict.category),
        blamed=text.is_blamed(report, verdict),
        evidence=verdict.evidence,
        problems=verdict.problems,
        alone_ms=verdict.alone_ms,
        throughput_rps=_value(verdict.throughput),
        health_p50_ms=_value(verdict.health.p50),
        health_p90_ms=_value(verdict.health.p90),
        health_max_ms=_value(verdict.health.max),
        is_long=verdict.is_long,
        blocked_s=verdict.blocked_s,
        source=verdict.source,
    )


def _value(figure: Figure | None) -> float | None:
    return figure.value if figure else None


# junit.xml


class _Suite:
    """A JUnit test suite under construction."""

    def __init__(self, name: str) -> None:
        self._element = ElementTree.Element("testsuite", name=formatting.clean(name, 80))
        self._counts = {"failure": 0, "error": 0, "skipped": 0}

    def case(self, name: str, kind: str = "", message: str = "", details: str = "") -> None:
        """Add a test case; ``kind`` is failure, error or skipped, or empty for a pass."""
        element = ElementTree.SubElement(
            self._element, "testcase", classname="doctor", name=formatting.clean(name, 200)
        )
        if kind:
            self._counts[kind] += 1
            ElementTree.SubElement(element, kind, message=formatting.clean(message)).text = details

    def xml(self) -> str:
        """The document."""
        suite = self._element
        suite.set("tests", str(len(suite)))
        for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(attribute, str(self._counts[kind]))
        ElementTree.indent(suite)
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def junit(report: DoctorReport, failing: Collection[str] = ()) -> str:
    """JUnit XML with a test case for each endpoint, and one for each line that holds all of them.

    A finding is a failure when its category is among ``failing`` (or ``failing`` is empty). An endpoint that could not
    be measured is an error. A skipped operation is skipped.
    """
    suite = _Suite(report.app)
    failures = [finding for finding in report.findings if not failing or hyphened(finding.category) in failing]
    for finding in failures:
        if finding.everywhere:
            suite.case("every endpoint", "failure", text.title(finding), finding_text(report, finding))
    for verdict in report.verdicts:
        own = [each for each in failures if not each.everywhere and verdict.endpoint in each.endpoints]
        if own:
            details = "\n\n".join(finding_text(report, finding) for finding in own)
            suite.case(verdict.endpoint, "failure", "; ".join(map(text.title, own)), details)
        elif not verdict.judged:
            suite.case(verdict.endpoint, "error", "; ".join(verdict.problems) or "it could not be measured")
        elif hyphened(verdict.category) in failing and not verdict.held:
            suite.case(verdict.endpoint, "failure", verdict.category, formatting.clean(verdict.evidence))
        else:
            suite.case(verdict.endpoint)
    for each in report.skipped:
        suite.case(each.name, "skipped", each.reason)
    return suite.xml()


def finding_text(report: DoctorReport, finding: Finding) -> str:
    """A finding as plain text, a line for each part."""
    parts = [f"{text.title(finding)}.", _cause_line(finding), text.cost(report, finding), text.gain(finding)]
    return "\n".join(part for part in (*parts, *finding.remedies) if part)


def _cause_line(finding: Finding) -> str:
    if finding.location is None:
        return formatting.clean(finding.worst.evidence)
    return f"{text.describe(finding.location)}: {source_line(finding.location)}"


def source_line(location: AppLocation) -> str:
    """The blamed line itself, as it was measured; empty when it is not known."""
    at = location.line - location.first
    return formatting.clean(location.excerpt[at].strip(), 160) if 0 <= at < len(location.excerpt) else ""


# summary.md


def markdown(report: DoctorReport) -> str:
    """For a pull request: the headline, each finding, and the table."""
    lines = [f"## {escaped(text.headline(report))}", ""]
    if step := text.next_step(report):
        lines += [step, ""]
    for finding in report.findings:
        lines += [f"### {escaped(text.title(finding))}", ""]
        if finding.location and (source := source_line(finding.location)):
            lines += [f"{escaped(text.describe(finding.location))}:", "", f"    {source}", ""]
        sentences = (text.cost(report, finding), text.gain(finding))
        lines += [escaped(" ".join(each for each in sentences if each)), ""]
        lines += [*(f"- {_remedy(remedy)}" for remedy in finding.remedies), ""]
    lines += [_line(COLUMNS), _line(("---",) * len(COLUMNS))]
    lines += [_line(tuple(map(escaped, row(report, verdict)))) for verdict in report.verdicts]
    for group in text.skipped_groups(report):
        lines += ["", f"Not asked, {len(group.operations)} that {group.title}. {group.remedy}", ""]
        lines += [f"- {escaped(each.name)}: {escaped(each.reason)}" for each in group.operations]
    if report.suspected:
        lines += ["", "Not measured, but suspected by a static check:", ""]
        lines += [f"- {escaped(f'{each.file}:{each.line}')}: {escaped(each.message)}" for each in report.suspected]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _remedy(remedy: str) -> str:
    """Our own Markdown, in whose code spans stand names of the app."""
    return formatting.clean(remedy).replace("<", "&lt;").replace("|", "\\|")


# The terminal


class DoctorTable:
    """The report as a rich renderable: findings first, then a line for each endpoint."""

    def __init__(self, report: DoctorReport) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Everything is Text, so that square brackets in a name are not taken for rich's markup."""
        report = self.report
        yield Text(text.headline(report), style="bold")
        if step := text.next_step(report):
            yield Text(step.replace("`", ""))
        yield from (Padding(self._finding(finding), (1, 0, 0, 0)) for finding in report.findings)
        columns = COLUMNS if options.max_width >= WIDE else NARROW_COLUMNS
        if report.verdicts:
            yield Padding(self._table(columns, options.max_width), (1, 0, 0, 0))
        for location, seconds in report.start_up:
            yield Text(
                f"start-up: {formatting.clean(location.where)} held it for {seconds:.1f} s, {text.describe(location)}"
            )
        for location, seconds in report.driven:
            where = formatting.clean(location.where)
            yield Text(f"while your command ran: {where} held the app for {seconds:.1f} s, {text.describe(location)}")
        for group in text.skipped_groups(report):
            names = text.names(tuple(each.name for each in group.operations))
            yield Text(f"not asked, {len(group.operations)} that {group.title}: {names}")
        if report.suspected:
            yield Text(f"not measured, but suspected by a static check: {len(report.suspected)} line(s), on the page")

    def _finding(self, finding: Finding) -> Group:
        lines = [Text(text.title(finding), style="red")]
        if finding.location:
            lines.append(Text(f"  {finding.location.line}: {source_line(finding.location)}", style="cyan"))
            lines.append(Text(f"  {text.describe(finding.location)}"))
        else:
            lines.append(Text(f"  {formatting.clean(finding.worst.evidence)}"))
        sentences = (text.cost(self.report, finding), text.gain(finding), *finding.remedies)
        lines += [Text(f"  {formatting.clean(each)}") for each in sentences if each]
        return Group(*lines)

    def _table(self, columns: Sequence[str], width: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        rows = [dict(zip(COLUMNS, row(self.report, verdict), strict=True)) for verdict in self.report.verdicts]
        widths = {column: max(len(cells[column]) for cells in [*rows, {column: column}]) for column in columns}
        # Figures stay whole; the endpoint's name, which may be of any length, is cut.
        room = width - sum(COLUMN_GAP + widths[column] for column in columns[1:])
        widths[columns[0]] = max(MIN_NAME_WIDTH, min(widths[columns[0]], room))
        for column in columns:
            justify: Literal["left", "right"] = "left" if column in COLUMNS[:2] else "right"
            table.add_column(column, justify=justify, no_wrap=True, overflow="ellipsis", width=widths[column])
        for verdict, cells in zip(self.report.verdicts, rows, strict=True):
            style = "red" if text.is_blamed(self.report, verdict) else ""
            table.add_row(*(Text(cells[column], style=style) for column in columns))
        return table
