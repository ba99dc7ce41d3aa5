"""Memory of the recorder: records so many requests and prints the resident memory in MB.

python -m bench.calibrate.recorder_memory REQUESTS
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import psutil

from bench.load.endpoint_recorder import EndpointRecorder, IntervalStats, fold
from bench.load.messages import IntervalReport
from bench.load.trial_recorder import TrialRecorder

PER_INTERVAL = 50_000
"""What the generator records in a second at its highest rate."""


def resident_mb(requests: int) -> float:
    """Resident memory after recording ``requests`` latencies of a broad distribution, in intervals, and writing the files."""
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        recorder = TrialRecorder({"null": Path(folder)})
        endpoint = EndpointRecorder("GET /", 0.0)
        for number in range(-(-requests // PER_INTERVAL)):
            count = min(PER_INTERVAL, requests - number * PER_INTERVAL)
            endpoint.started += count
            for _ in range(count):
                endpoint.add_service(int(draw.lognormvariate(8, 1)) + 1)
            rows = tuple(row for row in fold(endpoint.take()) if isinstance(row, IntervalStats))
            recorder.add_interval(IntervalReport(number, 0, "null", True, float(number), number + 1.0, rows))
        resident = psutil.Process().memory_info().rss / 1e6
        recorder.finish()
    return resident


if __name__ == "__main__":
    print(resident_mb(int(sys.argv[1])))
