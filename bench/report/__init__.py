"""From a run's folder to summary.csv, charts and one page. Reads files, writes files, measures nothing.

drawn = draw(Path("results/2026-11-23"))
drawn.page         # results/2026-11-23/index.html
drawn.troubled     # a line for each failed, invalid or refused trial; empty when all is well
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import store
from bench.analysis.frames import read_run
from bench.analysis.summary import Summary, to_csv
from bench.report import wording
from bench.report.calibration import draw_calibration, quote
from bench.report.chapter import Chapter
from bench.report.drawing import chart_path, draw_chapters
from bench.report.page import page
from bench.report.terminal import ScenarioTable

__all__ = ["Drawn", "draw", "draw_calibration"]

ROOT = Path(__file__).parents[2]
"""The repository, where run.json's file names of variants start."""

CALIBRATION = "calibration"
"""Beside the runs: what the harness measured of itself on this machine."""


@dataclass(frozen=True)
class Drawn:
    """What was drawn. ``troubled`` has a line for each trial that is no evidence; ``tables`` are rich renderables."""

    page: Path
    troubled: tuple[str, ...]
    tables: tuple[ScenarioTable, ...]


def draw(run: Path, *, force: bool = False, root: Path = ROOT) -> Drawn:
    """Analyse ``run`` and write summary.csv, charts/ and index.html into it.

    A scenario is analysed and drawn again when its files or this code have changed, or with ``force``. Raises
    BrokenFile when run.json itself cannot be read, OSError when the folder cannot be written.
    """
    read = read_run(run)
    chapters = draw_chapters(read, root, force=force)
    store.write_text(run / "summary.csv", to_csv(Summary(chapter.figures) for chapter in chapters))
    quoted = quote(run.resolve().parent / CALIBRATION, read.machine)
    charts = {chapter.name: list(_charts(run, chapter)) for chapter in chapters}
    store.write_text(run / "index.html", page(read, chapters, charts, quoted))
    return Drawn(run / "index.html", tuple(_troubled(chapters)), tuple(chapter.table for chapter in chapters))


def _troubled(chapters: Sequence[Chapter]) -> Iterator[str]:
    for trouble in (trouble for chapter in chapters for trouble in chapter.troubles):
        reasons = "; ".join(wording.clean(reason) for reason in trouble.reasons)
        yield f"{wording.clean(trouble.where)}: {trouble.status}: {reasons}"


def _charts(run: Path, chapter: Chapter) -> Iterator[tuple[str, str]]:
    for name, alt in chapter.charts.items():
        yield chart_path(run, chapter.name, name, "svg").read_text(encoding="utf-8"), alt
