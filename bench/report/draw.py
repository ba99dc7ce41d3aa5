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
from bench.report.pages.report_cache import chart_path, draw_chapters, write_chart
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
    chapters: tuple[ScenarioReport, ...]

    @property
    def not_valid(self) -> tuple[str, ...]:
        """A line for each trial that is no evidence."""
        return tuple(_not_valid(self.chapters))

    @property
    def tables(self) -> tuple[ScenarioTable, ...]:
        """Every scenario's table, for the terminal."""
        return tuple(chapter.table for chapter in self.chapters)

    @property
    def claims(self) -> tuple[ClaimVerdict, ...]:
        """Every claim with its verdict."""
        return tuple(claim for chapter in self.chapters for claim in chapter.claims)

    def of(self, scenario: str) -> Drawn:
        """The same page, about one scenario only."""
        return replace(self, chapters=tuple(chapter for chapter in self.chapters if chapter.name == scenario))


def draw(run: Path, *, force: bool = False, root: Path = ROOT) -> Drawn:
    """Analyse ``run`` and write summary.csv, claims.csv, summary.md, charts/ and index.html into it.

    A scenario is analysed and drawn again when its files or this code have changed, or with ``force``. Raises
    BrokenFile when run.json itself cannot be read, OSError when the folder cannot be written.
    """
    read = read_run(run)
    chapters = draw_chapters(read, root, force=force)
    files.write_text(run / "summary.csv", to_csv(Summary(chapter.figures) for chapter in chapters))
    quoted = quote(run.resolve().parent / CALIBRATION, read.machine)
    charts = {chapter.name: list(_charts(run, chapter)) for chapter in chapters}
    charts[OVERVIEW] = list(_overview(run, chapters))
    files.write_text(run / "index.html", page(read, chapters, charts, quoted))
    drawn = Drawn(run / "index.html", chapters)
    files.write_text(run / "claims.csv", claims.to_csv(drawn.claims))
    files.write_text(run / "summary.md", summary_md(read.name, headline(chapters), chapters))
    return drawn


def is_doctor_run(run: Path) -> bool:
    """Whether the run is the doctor's, which has a page of its own (bench.report.doctor)."""
    try:
        return files.read_record(run / "run.json", RunRecord).doctor is not None
    except files.BrokenFile:
        return False


def _not_valid(chapters: Sequence[ScenarioReport]) -> Iterator[str]:
    for trouble in (trouble for chapter in chapters for trouble in chapter.excluded):
        reasons = "; ".join(formatting.clean(reason) for reason in trouble.reasons)
        yield f"{formatting.clean(trouble.where)}: {trouble.status}: {reasons}"


def _overview(run: Path, chapters: Sequence[ScenarioReport]) -> Iterator[tuple[str, str]]:
    """The chart over all scenarios, where there are several."""
    drawing = overview(chapters) if len(chapters) > 1 else None
    if drawing:
        write_chart(run / "charts" / "overview.svg", drawing)
        yield drawing.svg, drawing.alt


def _charts(run: Path, chapter: ScenarioReport) -> Iterator[tuple[str, str]]:
    for name, alt in chapter.charts.items():
        yield chart_path(run, chapter.name, name, "svg").read_text(encoding="utf-8"), alt
