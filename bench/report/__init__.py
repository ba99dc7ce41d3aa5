"""From a run's folder to summary.csv, charts and one page. Reads files, writes files, measures nothing.

drawn = draw(Path("results/2026-11-23"))
drawn.page         # results/2026-11-23/index.html
drawn.troubled     # a line for each failed, invalid or refused trial; empty when all is well
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

from bench import store
from bench.analysis.frames import Frames, Run, ScenarioInfo, read_run, read_scenario, trial_files
from bench.analysis.summary import Summary, summarise, to_csv
from bench.report import charts, wording
from bench.report.calibration import draw_calibration, quote
from bench.report.page import Result, page
from bench.report.terminal import ScenarioTable

__all__ = ["Drawn", "draw", "draw_calibration", "is_checkup"]

ROOT = Path(__file__).parents[2]
"""The repository, where run.json's file names of variants start."""

CALIBRATION = "calibration"
"""Beside the runs: what the harness measured of itself on this machine."""

FINGERPRINTS = "drawn.json"
"""In charts/: for every scenario what its charts were drawn from, and which they are."""


@dataclass(frozen=True)
class Drawn:
    """What was drawn. ``troubled`` has a line for each trial that is no evidence; ``tables`` are rich renderables."""

    page: Path
    troubled: tuple[str, ...]
    tables: tuple[ScenarioTable, ...]


def draw(run: Path, *, force: bool = False, root: Path = ROOT) -> Drawn:
    """Analyse ``run`` and write summary.csv, charts/ and index.html into it.

    Charts of a scenario are drawn again when its files or this code have changed, or with ``force``. Raises
    BrokenFile when run.json itself cannot be read, OSError when the folder cannot be written.
    """
    read = read_run(run)
    before = _fingerprints(run)
    after: dict[str, Any] = {}
    results = []
    for scenario in read.scenarios:
        frames = read_scenario(read, scenario)
        summary = summarise(frames)
        after[scenario.name] = _drawn_charts(read, frames, summary, None if force else before.get(scenario.name))
        results.append(Result(frames, summary, tuple(_inlined(run, scenario, after[scenario.name]["charts"]))))
    _remove_stale(run, before, after)
    store.write_text(run / "charts" / FINGERPRINTS, json.dumps(after, indent=2) + "\n")
    store.write_text(run / "summary.csv", to_csv(result.summary for result in results))
    quoted = quote(run.resolve().parent / CALIBRATION, read.machine)
    store.write_text(run / "index.html", page(read, results, root, quoted))
    tables = tuple(ScenarioTable(result.frames, result.summary) for result in results)
    return Drawn(run / "index.html", tuple(_troubled(results)), tables)


def is_checkup(run: Path) -> bool:
    """Whether the run is the doctor's, which has a page of its own (bench.report.doctor)."""
    try:
        return "doctor" in store.read_json(run / "run.json")
    except store.BrokenFile:
        return False


def _troubled(results: list[Result]) -> Iterator[str]:
    for result in results:
        for trouble in result.frames.troubles:
            reasons = "; ".join(wording.clean(reason) for reason in trouble.reasons)
            yield f"{wording.clean(trouble.where)}: {trouble.status}: {reasons}"


def _drawn_charts(run: Run, frames: Frames, summary: Summary, before: dict[str, Any] | None) -> dict[str, Any]:
    """Draw what has changed; returns the fingerprint, and the names and titles of the scenario's charts."""
    scenario = frames.scenario
    fingerprint = _fingerprint(run, scenario)
    if _still_there(run.folder, scenario, before, fingerprint):
        return dict(before or {})
    drawings = charts.draw(frames, summary)
    for drawing in drawings:
        path = _chart_path(run.folder, scenario.name, drawing.name, "svg")
        store.write_text(path, drawing.svg)
        store.write_bytes(path.with_suffix(".png"), drawing.png)
    return {"fingerprint": fingerprint, "charts": {drawing.name: drawing.alt for drawing in drawings}}


def _still_there(run: Path, scenario: ScenarioInfo, before: dict[str, Any] | None, fingerprint: str) -> bool:
    if before is None or before.get("fingerprint") != fingerprint:
        return False
    paths = (_chart_path(run, scenario.name, name, suffix) for name in before["charts"] for suffix in ("svg", "png"))
    return all(path.is_file() for path in paths)


def _inlined(run: Path, scenario: ScenarioInfo, titles: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, alt in titles.items():
        yield _chart_path(run, scenario.name, name, "svg").read_text(encoding="utf-8"), alt


def _chart_path(run: Path, scenario: str, chart: str, suffix: str) -> Path:
    return run / "charts" / f"{scenario}-{chart}.{suffix}"


def _remove_stale(run: Path, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Charts that were drawn once and have no data now."""
    for scenario, drawn in before.items():
        gone = set(drawn.get("charts", ())) - set(after.get(scenario, {}).get("charts", ()))
        for name in gone:
            for suffix in ("svg", "png"):
                _chart_path(run, scenario, name, suffix).unlink(missing_ok=True)


def _fingerprints(run: Path) -> dict[str, Any]:
    """What the charts in the folder were drawn from; nothing known means that all are drawn again."""
    try:
        content = json.loads((run / "charts" / FINGERPRINTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: drawn for name, drawn in content.items() if "/" not in name and _is_drawn(drawn)}


def _is_drawn(drawn: Any) -> bool:
    """Chart names come from a file and become paths: only names, with their titles."""
    charts = drawn.get("charts") if isinstance(drawn, dict) else None
    return isinstance(charts, dict) and all(
        name.isidentifier() and isinstance(title, str) for name, title in charts.items()
    )


def _fingerprint(run: Run, scenario: ScenarioInfo) -> str:
    """A digest of everything that the scenario's charts depend on: its files, what it declares, and this code."""
    digest = hashlib.sha256(_code_digest().encode())
    digest.update(json.dumps(scenario.declared, sort_keys=True).encode())
    for path in trial_files(run, scenario):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(run.folder)}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


@cache
def _code_digest() -> str:
    digest = hashlib.sha256(matplotlib.__version__.encode())
    for package in ("analysis", "report"):
        for path in sorted((Path(__file__).parents[1] / package).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
