"""How the harness reads the probe's files: columns, diagnosis, missing telemetry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.analysis import server_state
from bench.analysis.server_state import Sums, diagnose
from bench.probe.loop_probe import csv_files
from bench.report.text import advice_text
from bench.report.text.advice_text import advice
from bench.results import schema
from bench.results.schema import TurnRecord
from bench.running import probe_setup


def test_the_probe_writes_the_columns_of_the_schema() -> None:
    assert csv_files.SERVER_COLUMNS == schema.SERVER_COLUMNS
    assert csv_files.STALLS_COLUMNS == schema.STALLS_COLUMNS


# Diagnosis

FINE = Sums(rows=30, lag_p50_ms=0.3, lag_p99_ms=2.0, lag_max_ms=4.0, cpu_cores=0.3, loop_cpu_cores=0.3, in_flight=20.0)


@pytest.mark.parametrize(
    ("sums", "category", "says"),
    [
        (FINE, "waiting on others", "20.0 requests in flight"),
        (replace(FINE, rows=4), "not enough data", "4 samples"),
        (replace(FINE, loop_stalled=0.97, own=1.0), "loop blocked", "97 % of the time, 100 % of it in the app's own"),
        (replace(FINE, loop_stalled=0.5, own=0.0), "loop blocked", "none of it in the app's own code"),
        (
            replace(FINE, loop_stalled=0.15, own=0.0, cpu_cores=0.7, loop_cpu_cores=0.7),
            "waiting on others",
            "0.70 cores",
        ),
        (replace(FINE, loop_stalled=0.9, own=0.9, cpu_cores=1.0, loop_cpu_cores=1.0), "loop blocked", "1.00 cores"),
        (replace(FINE, loop_stalled=0.5, own=0.05, cpu_cores=1.0, loop_cpu_cores=1.0), "CPU-bound", "1.00 of 1 core"),
        (replace(FINE, gil_stalled=0.6, loop_stalled=0.2, cpu_cores=1.0), "GIL-bound", "60 % of the time"),
        (replace(FINE, cpu_cores=1.0, loop_cpu_cores=0.1), "GIL-bound", "90 % of the CPU time"),
        (replace(FINE, cpu_cores=1.9, loop_cpu_cores=0.1, cores=2), "CPU-bound", "1.90 of 1"),
        (
            replace(FINE, exhausted=0.9, tokens_borrowed=40, tokens_total=40, tokens_waiting=60),
            "threadpool exhausted",
            "40 of 40 borrowed and 60 waiting",
        ),
        (replace(FINE, exhausted=0.9, gil_stalled=0.6), "GIL-bound", "60 %"),
        (replace(FINE, exhausted=0.9, loop_stalled=0.6, own=1.0), "loop blocked", "60 %"),
        (replace(FINE, cpu_cores=0.97, loop_cpu_cores=0.95), "CPU-bound", "0.97 of 1 core"),
        (replace(FINE, cpu_cores=0.9, loop_cpu_cores=0.9, workers=2, cores=2), "waiting on others", "0.90 cores"),
        (replace(FINE, cpu_cores=0.03, loop_cpu_cores=0.03, in_flight=0.1), "idle", "0.03 cores"),
        (replace(FINE, cpu_cores=0.03, loop_cpu_cores=None, in_flight=30.0), "waiting on others", "30.0 requests"),
    ],
)
def test_diagnosis(sums: Sums, category: str, says: str) -> None:
    found = diagnose(sums)
    assert found.category == category
    assert says in found.evidence


def test_the_categories_are_those_of_the_store_and_each_has_its_advice() -> None:
    assert {*(category for category, _ in server_state.FINDINGS), "waiting on others"} == set(schema.CATEGORIES)
    texts = {advice(category) for category in schema.CATEGORIES}
    assert len(texts) == len(schema.CATEGORIES) == len(list(advice_text.ADVICE.glob("*.md")))
    with pytest.raises(KeyError):
        advice("haunted")


# Telemetry

TURNS = [
    TurnRecord(0, 0.0, 1.0, 1.0, True, 0.0),
    TurnRecord(1, 9.5, 10.0, 10.5, True, 0.0),
    TurnRecord(2, 19.5, 20.0, 20.5, None, 0.0),
]


@pytest.mark.parametrize(
    ("files", "workers", "missing"),
    [
        ([[9.9, 10.1, 20.2, 20.4]], 1, ""),
        ([], 1, "the probe wrote no samples"),
        ([[]], 1, "0 of 1 worker(s)"),
        ([[0.5, 1.5]], 1, "0 of 1"),
        ([[9.9, 10.1, 10.2]], 1, "0 of 1"),  # it failed half-way
        ([[9.9, 10.1, 20.4]], 2, "1 of 2"),
        ([[9.9, 10.1, 20.4], [9.8, 10.2, 20.3]], 2, ""),
    ],
)
def test_missing_telemetry(tmp_path: Path, files: list[list[float]], workers: int, missing: str) -> None:
    for pid, times in enumerate(files):
        lines = [",".join(schema.SERVER_COLUMNS), *(f"{at}{',1' * (len(schema.SERVER_COLUMNS) - 1)}" for at in times)]
        (tmp_path / f"server-{pid}.csv").write_text("\n".join([*lines, "20.49,0."]))  # the last one is cut
    reason = probe_setup.missing_telemetry(tmp_path, TURNS, workers)
    assert (reason is None) == (missing == "")
    assert missing in (reason or "")
