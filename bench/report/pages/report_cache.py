"""Chapters and charts of a run: the unchanged ones read back, the others made anew, several at a time."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path

import matplotlib

from bench.analysis.analyse import analyse
from bench.analysis.run_reader import read_scenario, trial_files
from bench.analysis.summary import summarise
from bench.analysis.tables import Run, ScenarioInfo
from bench.report.charts import registry
from bench.report.charts.canvas import ChartDrawing
from bench.report.pages.scenario_report import CacheEntry, ScenarioReport, read_cache, scenario_report, write_cache
from bench.results import files

KEPT = "drawn.json"
"""In charts/: for every scenario its report, and what that and its charts were made from."""

MAX_PROCESSES = 4
"""That draw at a time, on as many cores. Each imports pandas and matplotlib: two seconds, and 150 MB."""


def draw_reports(run: Run, root: Path, *, force: bool = False) -> tuple[ScenarioReport, ...]:
    """Every scenario's report, with its charts in charts/. What has changed, or all with ``force``, is made anew."""
    path = run.folder / "charts" / KEPT
    before = read_cache(path)
    prints = {scenario.name: _fingerprint(run, scenario, root) for scenario in run.scenarios}
    kept = {
        name: before[name]
        for name, fingerprint in prints.items()
        if not force and name in before and _still_there(run.folder, before[name], fingerprint)
    }
    jobs = [(run, scenario, root) for scenario in run.scenarios if scenario.name not in kept]
    made = {one.name: CacheEntry(prints[one.name], one) for one in _in_processes(jobs)}
    after = {name: made.get(name) or kept[name] for name in prints}
    _remove_stale(run.folder, before, after)
    write_cache(path, after)
    return tuple(one.report for one in after.values())


Job = tuple[Run, ScenarioInfo, Path]


def _in_processes(jobs: list[Job]) -> Iterable[ScenarioReport]:
    """Draw ``jobs``, the longest first, in processes of their own where that is worth it."""
    processes = min(len(jobs), _cores(), MAX_PROCESSES)
    if processes < 2:
        return [_draw_report(job) for job in jobs]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(processes, context, initializer=_end_with_parent) as pool:
        try:
            return list(pool.map(_draw_report, sorted(jobs, key=lambda job: -len(job[1].variants))))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _end_with_parent() -> None:
    """A worker has no say in Ctrl-C, which is its parent's to handle, and never outlives it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _draw_report(job: Job) -> ScenarioReport:
    """Read, analyse and draw one scenario; its charts are written, its report is returned."""
    run, scenario, root = job
    analysis = analyse(run, scenario)
    other_loads = [(other, summarise(other)) for other in (read_scenario(run, load) for load in scenario.sweep)]
    drawings = registry.draw(analysis.tables, analysis.summary, other_loads)
    _write_charts(run.folder, scenario.name, drawings)
    return scenario_report(analysis, other_loads, {drawing.name: drawing.alt for drawing in drawings}, root)


def _write_charts(run: Path, scenario: str, drawings: Iterable[ChartDrawing]) -> None:
    """Each drawing as SVG and PNG into charts/."""
    for drawing in drawings:
        write_chart(chart_path(run, scenario, drawing.name, "svg"), drawing)


def write_chart(path: Path, drawing: ChartDrawing) -> None:
    """The drawing as an SVG, and as a PNG beside it."""
    files.write_text(path, drawing.svg)
    files.write_bytes(path.with_suffix(".png"), drawing.png)


def chart_path(run: Path, scenario: str, chart: str, suffix: str) -> Path:
    """Where a chart lies."""
    return run / "charts" / f"{scenario}-{chart}.{suffix}"


def _still_there(run: Path, kept: CacheEntry, fingerprint: str) -> bool:
    if kept.fingerprint != fingerprint:
        return False
    report = kept.report
    return all(
        chart_path(run, report.name, name, suffix).is_file() for name in report.charts for suffix in ("svg", "png")
    )


def _remove_stale(run: Path, before: dict[str, CacheEntry], after: dict[str, CacheEntry]) -> None:
    """Charts that were drawn once and have no data now."""
    for name, kept in before.items():
        drawn = after[name].report.charts if name in after else {}
        for chart in kept.report.charts.keys() - drawn.keys():
            for suffix in ("svg", "png"):
                chart_path(run, name, chart, suffix).unlink(missing_ok=True)


def _fingerprint(run: Run, scenario: ScenarioInfo, root: Path) -> str:
    """A digest of everything that a report depends on: its files, what it declares, and this code."""
    digest = hashlib.sha256(_code_digest().encode())
    digest.update(json.dumps([str(root), asdict(scenario.record)], sort_keys=True).encode())
    for path in (path for load in (scenario, *scenario.sweep) for path in trial_files(run, load)):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(run.folder)}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


@cache
def _code_digest() -> str:
    digest = hashlib.sha256(matplotlib.__version__.encode())
    package = Path(__file__).parents[2]
    for pattern in ("analysis/**/*.py", "model/*.py", "results/*.py", "report/**/*.*"):
        for path in sorted(path for path in package.glob(pattern) if path.suffix != ".pyc"):
            digest.update(path.read_bytes())
    return digest.hexdigest()
