"""From a run's folder to summary.csv, charts and one page. Reads files, writes files, measures nothing.

drawn = draw(Path("results/2026-11-23"))
drawn.page         # results/2026-11-23/index.html
drawn.not_valid    # a line for each failed, invalid or refused trial; empty when all is well
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.analysis import claims
from bench.analysis.claims import ClaimVerdict
from bench.analysis.run_reader import read_run
from bench.analysis.summary import Summary, to_csv
from bench.calibrate.calibration_page import draw_calibration, quote
from bench.planning.catalogue import ROOT
from bench.report.charts.overview import overview
from bench.report.formats.summary_md import summary_md
from bench.report.pages.index_page import OVERVIEW, headline, page
from bench.report.pages.report_cache import chart_path, draw_reports, write_chart
from bench.report.pages.scenario_report import ScenarioReport
from bench.report.text import formatting
from bench.report.text.terminal import ScenarioTable
from bench.results import files
from bench.results.schema import RunRecord

__all__ = ["Drawn", "draw", "draw_calibration", "is_doctor_run"]

"""The repository, where run.json's file names of variants start."""

CALIBRATION = "calibration"
"""Beside the runs: what the harness measured of itself on this machine."""


@dataclass(frozen=True)
class Drawn:
    """What was drawn."""

    page: Path
    reports: tuple[ScenarioReport, ...]

    @property
    def not_valid(self) -> tuple[str, ...]:
        """A line for each trial that is no evidence."""
        return tuple(_not_valid(self.reports))

    @property
    def tables(self) -> tuple[ScenarioTable, ...]:
        """Every scenario's table, for the terminal."""
        return tuple(report.table for report in self.reports)

    @property
    def claims(self) -> tuple[ClaimVerdict, ...]:
        """Every claim with its verdict."""
        return tuple(claim for report in self.reports for claim in report.claims)

    def of(self, scenario: str) -> Drawn:
        """The same page, about one scenario only."""
        return replace(self, reports=tuple(report for report in self.reports if report.name == scenario))


def draw(run: Path, *, force: bool = False, root: Path = ROOT) -> Drawn:
    """Analyse ``run`` and write summary.csv, claims.csv, summary.md, charts/ and index.html into it.

    A scenario is analysed and drawn again when its files or this code have changed, or with ``force``. Raises
    BrokenFile when run.json itself cannot be read, OSError when the folder cannot be written.
    """
    read = read_run(run)
    reports = draw_reports(read, root, force=force)
    files.write_text(run / "summary.csv", to_csv(Summary(report.figures) for report in reports))
    quoted = quote(run.resolve().parent / CALIBRATION, read.machine)
    charts = {report.name: list(_charts(run, report)) for report in reports}
    charts[OVERVIEW] = list(_overview(run, reports))
    files.write_text(run / "index.html", page(read, reports, charts, quoted))
    drawn = Drawn(run / "index.html", reports)
    files.write_text(run / "claims.csv", claims.to_csv(drawn.claims))
    files.write_text(run / "summary.md", summary_md(read.name, headline(reports), reports))
    return drawn


def is_doctor_run(run: Path) -> bool:
    """Whether the run is the doctor's, which has a page of its own (bench/doctor/findings_page.py)."""
    try:
        return files.read_record(run / "run.json", RunRecord).doctor is not None
    except files.BrokenFile:
        return False


def _not_valid(reports: Sequence[ScenarioReport]) -> Iterator[str]:
    for trouble in (trouble for report in reports for trouble in report.excluded):
        reasons = "; ".join(formatting.clean(reason) for reason in trouble.reasons)
        yield f"{formatting.clean(trouble.where)}: {trouble.status}: {reasons}"


def _overview(run: Path, reports: Sequence[ScenarioReport]) -> Iterator[tuple[str, str]]:
    """The chart over all scenarios, where there are several."""
    drawing = overview(reports) if len(reports) > 1 else None
    if drawing:
        write_chart(run / "charts" / "overview.svg", drawing)
        yield drawing.svg, drawing.alt


def _charts(run: Path, report: ScenarioReport) -> Iterator[tuple[str, str]]:
    for name, alt in report.charts.items():
        yield chart_path(run, report.name, name, "svg").read_text(encoding="utf-8"), alt
