"""The doctor's page, and the files beside it.

drawn = draw_doctor_run(Path("results/shop"))
drawn.page       # results/shop/index.html; doctor.json, junit.xml and summary.md lie beside it
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.analysis.numbers import duration
from bench.analysis.run_reader import read_run
from bench.analysis.tables import Run
from bench.doctor import findings_export as export
from bench.doctor import findings_text as text
from bench.doctor.findings import AppLocation, DoctorReport, EndpointVerdict, Finding, doctor_report
from bench.doctor.findings_chart import cost_chart
from bench.report.pages.index_page import flat, inline, utc
from bench.report.pages.section import environment
from bench.report.pages.server_section import markdown
from bench.report.text import formatting
from bench.report.text.advice_text import advice
from bench.results import files

TEMPLATE = "findings_page.html.j2"
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class DrawnDoctorReport:
    """What was drawn, and what it says."""

    page: Path
    report: DoctorReport
    table: export.DoctorTable


def draw_doctor_run(folder: Path, failing: Collection[str] = ()) -> DrawnDoctorReport:
    """Judge the doctor's run in ``folder`` and write its page and files; ``failing`` categories are JUnit's failures.

    BrokenFile when run.json cannot be read.
    """
    run = read_run(folder)
    report = doctor_report(run)
    chart = cost_chart(report)
    if chart is not None:
        files.write_text(folder / "charts" / f"{chart.name}.svg", chart.svg)
        files.write_bytes(folder / "charts" / f"{chart.name}.png", chart.png)
    files.write_record(folder / "doctor.json", export.findings_record(report))
    files.write_text(folder / "junit.xml", export.junit(report, failing))
    files.write_text(folder / "summary.md", export.markdown(report))
    content = {**_page(run, report), "chart": inline(chart.svg, chart.alt) if chart is not None else ""}
    page = environment(FOLDER).get_template(TEMPLATE).render(page=content, dash=formatting.DASH)
    files.write_text(folder / "index.html", page)
    return DrawnDoctorReport(folder / "index.html", report, export.DoctorTable(report))


def _page(run: Run, report: DoctorReport) -> Mapping[str, object]:
    record = report.record
    return {
        "title": text.headline(report),
        "run": formatting.clean(run.name, 80),
        "created": utc(run.created_unix_s),
        "app": formatting.clean(report.app, 80),
        "users": report.users,
        "watched": report.watched,
        "probed": formatting.clean(record.health_probe, 80),
        "idle": text.latencies(report.idle),
        "findings": [_finding(report, finding) for finding in report.findings],
        "columns": export.COLUMNS,
        "rows": [_row(report, verdict) for verdict in report.verdicts],
        "problems": [_problem(verdict) for verdict in report.verdicts if not verdict.judged],
        "next_step": markdown(text.next_step(report)),
        "skipped": [_skipped(group) for group in text.skipped_groups(report)],
        "suspected": [
            (
                formatting.clean(f"{each.file}:{each.line}", 120),
                formatting.clean(each.rule, 20),
                formatting.clean(each.message),
            )
            for each in report.suspected
        ],
        "driven": [_start_up(location, seconds) for location, seconds in report.driven],
        "ready": duration(1e3 * record.start_up.ready_s),
        "start_up": [_start_up(location, seconds) for location, seconds in report.start_up],
        "limits": text.limits(report),
        "facts": [
            *flat("", {"app": report.app, "its Python": record.python, "its uvicorn": record.uvicorn}),
            *flat("", {f"its {name}": version for name, version in record.packages.items() if name != "uvicorn"}),
            *flat("", asdict(run.machine)),
        ],
        "command": formatting.clean(run.command, 2000),
    }


def _finding(report: DoctorReport, finding: Finding) -> Mapping[str, object]:
    location = finding.location
    return {
        "title": text.title(finding),
        "category": finding.category,
        "where": text.describe(location) if location else "",
        "code": _code(location) if location else [],
        "evidence": formatting.clean(finding.worst.evidence),
        "callee": formatting.clean(finding.worst.top_callee, 80) if location is None else "",
        "endpoints": [formatting.clean(name, 80) for name in finding.endpoints],
        "cost": text.cost(report, finding),
        "gain": text.gain(finding),
        "remedies": [markdown(formatting.clean(remedy)) for remedy in finding.remedies],
        "advice": markdown(advice(finding.category)),
    }


def _code(location: AppLocation) -> list[Mapping[str, object]]:
    numbered = enumerate(location.excerpt, start=location.first)
    return [
        {"number": number, "text": formatting.clean(line, 160), "blamed": number == location.line}
        for number, line in numbered
    ]


def _row(report: DoctorReport, verdict: EndpointVerdict) -> Mapping[str, object]:
    name, *cells = export.row(report, verdict)
    return {
        "name": name,
        "cells": cells,
        "blamed": text.is_blamed(report, verdict),
        "note": text.note(verdict),
    }


def _problem(verdict: EndpointVerdict) -> tuple[str, str]:
    reasons = "; ".join(verdict.problems) or "no trial was complete"
    return formatting.clean(verdict.endpoint, 120), formatting.clean(text.problem(reasons))


def _skipped(group: text.SkippedGroup) -> Mapping[str, object]:
    operations = [(formatting.clean(each.name, 120), formatting.clean(each.reason)) for each in group.operations]
    return {"title": group.title, "remedy": markdown(group.remedy), "operations": operations}


def _start_up(location: AppLocation, seconds: float) -> Mapping[str, object]:
    where = formatting.clean(location.where, 120)
    return {"text": f"{where} held it for {seconds:.1f} s, {text.describe(location)}", "code": _code(location)}
