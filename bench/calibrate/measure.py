"""Runs the parts of calibration and writes their files."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

from bench.calibrate.null_server import NGINX
from bench.calibrate.parts import PARTS, CalibrationRow, CalibrationSetup
from bench.results import files, schema
from bench.running.fingerprint import fingerprint


def calibrate(folder: Path, parts: tuple[str, ...], rounds: int | None, seed: int, say: Callable[[str], None]) -> None:
    """Measure ``parts`` into ``folder``: ``<part>.csv`` each, whole or not at all, and ``calibration.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[str, object] = {}
    path = folder / "calibration.json"
    if path.exists():
        try:
            done = dict(files.read_json(path)["parts"])
        except (files.BrokenFile, KeyError):
            done = {}
    for part in parts:
        measure, usual_rounds = PARTS[part]
        bench = CalibrationSetup(folder, rounds or usual_rounds, seed, say)
        rows = list(measure(bench))
        if not rows:
            say(f"{part}: nothing that could be trusted was measured; what was there is kept")
            continue
        table = _csv(rows)
        files.write_text(folder / f"{part}.csv", table)
        done[part] = {
            "measured_unix_s": time.time(),
            "rounds": bench.rounds,
            "seed": seed,
            "bytes": len(table.encode()),
        }
        files.write_json(
            path,
            {
                "schema": schema.SCHEMA,
                "machine": fingerprint(),
                "null_server": "nginx" if NGINX else "uvloop + httptools",
                "parts": done,
            },
        )


def _csv(rows: list[CalibrationRow]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
