"""Measures the parts of calibration and writes their files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from bench.calibrate.calibration_files import RECORD, csv_text
from bench.calibrate.measurements import PART_MEASUREMENTS
from bench.calibrate.null_server import NGINX
from bench.calibrate.rows import CalibrationRow
from bench.calibrate.setup import CalibrationFailed, CalibrationSetup
from bench.results import files
from bench.results.schema import SCHEMA, CalibrationPartRecord, CalibrationRecord
from bench.running.fingerprint import fingerprint
from bench.running.processes import StartError

Report = Callable[[str], None]


def calibrate(folder: Path, parts: Sequence[str], rounds: int | None, seed: int, report: Report) -> tuple[str, ...]:
    """Measure ``parts`` into ``folder``: ``<part>.csv`` for each, and ``calibration.json``. Names of parts that failed.

    A part that fails keeps the rows that it has measured until then. A part without any row leaves the file that was
    there before. ``rounds`` replaces the number of rounds of each part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    for part in parts:
        setup = CalibrationSetup(folder, rounds or PART_MEASUREMENTS[part].rounds, seed, report)
        rows: list[CalibrationRow] = []
        try:
            for row in PART_MEASUREMENTS[part].measure(setup):
                rows.append(row)  # noqa: PERF402  # the rows before an error are kept
        except (CalibrationFailed, StartError, httpx.HTTPError) as error:
            report(f"{part} failed: {error}")
            failed.append(part)
        if rows:
            _write(folder, part, rows, setup)
        else:
            report(f"{part}: nothing valid was measured; the rows of an earlier calibration are kept")
    return tuple(failed)


def _write(folder: Path, part: str, rows: Sequence[CalibrationRow], setup: CalibrationSetup) -> None:
    text = csv_text(rows)
    files.write_text(folder / f"{part}.csv", text)
    entry = CalibrationPartRecord(time.time(), setup.rounds, setup.seed, len(text.encode()))
    null_server = "nginx" if NGINX else "uvloop + httptools"
    parts = {**_parts_before(folder), part: entry}
    files.write_record(folder / RECORD, CalibrationRecord(SCHEMA, fingerprint(), null_server, parts))


def _parts_before(folder: Path) -> Mapping[str, CalibrationPartRecord]:
    """Parts that were measured before. Empty if there are none, or if the record cannot be read."""
    try:
        return files.read_record(folder / RECORD, CalibrationRecord).parts
    except files.BrokenFile:
        return {}
