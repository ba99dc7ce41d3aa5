"""Resident memory of the recorder after it has recorded so many requests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from bench.calibrate.rows import MemoryRow
from bench.calibrate.setup import CalibrationFailed, CalibrationSetup
from bench.planning import catalogue

REQUESTS = (100_000, 1_000_000, 10_000_000)


def measure_memory(setup: CalibrationSetup) -> Iterator[MemoryRow]:
    """One row for each number of requests."""
    for requests in REQUESTS:
        setup.report(f"memory: {requests:,} requests")
        yield MemoryRow(requests, resident_mb(requests))


def resident_mb(requests: int) -> float:
    """Resident memory in MB, of a process of its own."""
    command = [sys.executable, "-m", "bench.calibrate.recorder_memory", str(requests)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=catalogue.ROOT)
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CalibrationFailed(f"the recorder failed: {last_line}")
    return float(done.stdout)
