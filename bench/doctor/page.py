"""The doctor's run drawn: one page, and the files beside it.

drawn = draw_checkup(Path("results/clinic"))
drawn.page       # results/clinic/index.html; doctor.json, junit.xml and summary.md lie beside it
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis.numbers import duration
from bench.analysis.tables import Run, read_run
from bench.doctor import export as formats
from bench.doctor import sentences as words
from bench.doctor.cost_chart import cost_chart
from bench.doctor.findings import DoctorReport, Finding, Place, Verdict, examine
from bench.report.pages.index_page import flat, inline, utc
from bench.report.pages.section import environment
from bench.report.pages.server_section import markdown
from bench.report.text import formatting
from bench.report.text.advice_text import advice
from bench.results import files


@dataclass(frozen=True)
class DrawnDoctorReport:
    """What was drawn, and what it says."""

    page: Path
    checkup: DoctorReport
    table: formats.DoctorTable


def draw_checkup(folder: Path, failing: Collection[str] = ()) -> DrawnDoctorReport:
    """Judge the doctor's run in ``folder`` and write its page and files; ``failing`` categories are JUnit's failures.

    BrokenFile where run.json cannot be read.
    """
    run = read_run(folder)
    checkup = examine(run)
    drawing = cost_chart(checkup)
    if drawing is not None:
        files.write_text(folder / "charts" / f"{drawing.name}.svg", drawing.svg)
        files.write_bytes(folder / "charts" / f"{drawing.name}.png", drawing.png)
    files.write_text(folder / "doctor.json", formats.as_json(checkup))
    files.write_text(folder / "junit.xml", formats.junit(checkup, failing))
    files.write_text(folder / "summary.md", formats.markdown(checkup))
    content = _page(run, checkup)
    content["chart"] = inline(drawing.svg, drawing.alt) if drawing is not None else ""
    page = environment().get_template("doctor.html.j2").render(page=content, dash=formatting.DASH)
    files.write_text(folder / "index.html", page)
    return DrawnDoctorReport(folder / "index.html", checkup, formats.DoctorTable(checkup))


def _page(run: Run, checkup: DoctorReport) -> dict[str, Any]:
    declared = checkup.declared
    return {
        "title": words.headline(checkup),
        "run": formatting.clean(run.name, 80),
        "created": utc(run.created_unix_s),
        "app": formatting.clean(checkup.app, 80),
        "users": checkup.users,
        "watched": checkup.watched,
        "prober": formatting.clean(declared["prober"], 80),
        "idle": words.waits(checkup.idle),
        "findings": [_finding(checkup, finding) for finding in checkup.findings],
        "columns": formats.COLUMNS,
        "rows": [_row(checkup, verdict) for verdict in checkup.verdicts],
        "troubles": [_trouble(verdict) for verdict in checkup.verdicts if not verdict.measured],
        "left_out": [(formatting.clean(name, 120), formatting.clean(reason)) for name, reason in checkup.left_out],
        "ready": duration(1e3 * float(declared["start_up"]["ready_s"])),
        "start_up": [_start_up(place, seconds) for place, seconds in checkup.start_up],
        "unknowns": words.unknowns(checkup),
        "facts": [
            *flat("", {"app": checkup.app, "its Python": declared["python"], "its uvicorn": declared["uvicorn"]}),
            *flat("", run.machine),
        ],
        "command": formatting.clean(run.command, 2000),
    }


def _finding(checkup: DoctorReport, finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "title": words.title(finding),
        "category": finding.category,
        "who": words.who(place) if place else "",
        "code": _code(place) if place else [],
        "evidence": formatting.clean(finding.worst.evidence),
        "top": formatting.clean(finding.worst.top, 80) if place is None else "",
        "endpoints": [formatting.clean(name, 80) for name in finding.endpoints],
        "cost": words.cost(checkup, finding),
        "gain": words.gain(checkup, finding),
        "remedies": [markdown(formatting.clean(remedy)) for remedy in finding.remedies],
        "advice": markdown(advice(finding.category)),
    }


def _code(place: Place) -> list[dict[str, Any]]:
    return [
        {
            "number": place.first + offset,
            "text": formatting.clean(line, 160),
            "blamed": place.first + offset == place.line,
        }
        for offset, line in enumerate(place.excerpt)
    ]


def _row(checkup: DoctorReport, verdict: Verdict) -> dict[str, Any]:
    name, *cells = formats.row(checkup, verdict)
    return {
        "name": name,
        "cells": cells,
        "ill": words.is_ill(checkup, verdict),
        "note": words.held(verdict) or formatting.clean(verdict.evidence),
    }


def _trouble(verdict: Verdict) -> tuple[str, str]:
    reasons = "; ".join(verdict.troubles) or "no trial was complete"
    return formatting.clean(verdict.endpoint, 120), formatting.clean(reasons)


def _start_up(place: Place, seconds: float) -> dict[str, Any]:
    return {
        "said": f"{formatting.clean(place.where, 120)} held it up {seconds:.1f} s, {words.who(place)}",
        "code": _code(place),
    }
