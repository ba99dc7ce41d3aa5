"""Writes one trial's intervals: requests.hlog and counts.csv, in the formats of bench/results/schema.py."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from bench.load.endpoint_recorder import IntervalStats, cause_counts, encode, tag
from bench.results.schema import COUNTS_COLUMNS


class TrialWriter:
    """Appends intervals to a trial's files as they end, so that they are there whatever happens next."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._hlog = (folder / "requests.hlog").open("w", encoding="ascii")
        self._counts = (folder / "counts.csv").open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._counts, lineterminator="\n")
        self._csv.writerow(COUNTS_COLUMNS)
        # Stamps are of perf_counter; the base time says what to add for Unix time. The package's own header writer is
        # broken, and without a base time readers take small stamps for offsets from the first interval.
        base_s = round(time.time() - time.perf_counter(), 3)
        # Readers drop intervals that begin before the start time: it must not be rounded past the first one.
        start_s = base_s + time.perf_counter() - 0.001
        self._hlog.write(
            "#[Histogram log format version 1.3]\n"
            f"#[StartTime: {start_s:.6f} (seconds since epoch)]\n"
            f"#[BaseTime: {base_s:.3f} (seconds since epoch)]\n"
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
        )

    def interval(self, start_s: float, end_s: float, measured: bool, rows: list[IntervalStats]) -> None:
        """Write one interval of every endpoint."""
        start = f"{start_s:.6f}"
        # Rounded like the stamps: no interval reaches into the next.
        length = f"{round(end_s, 6) - round(start_s, 6):.6f}"
        for row in rows:
            counts = row.counts
            self._csv.writerow(
                (
                    start,
                    f"{end_s:.6f}",
                    row.endpoint,
                    int(measured),
                    counts.get("started", 0),
                    row.finished,
                    sum(row.causes.values()),
                    counts.get("unfinished", 0),
                    counts.get("completed_late", 0),
                    counts.get("dropped", 0),
                    row.in_flight,
                    counts.get("reconnects", 0),
                    *cause_counts(row),
                )
            )
            for kind, buckets in row.buckets.items():
                histogram, max_us = encode(buckets)
                self._hlog.write(f"Tag={tag(row.endpoint, kind)},{start},{length},{max_us / 1000:.3f},{histogram}\n")
        self._hlog.flush()
        self._counts.flush()

    def close(self) -> None:
        """Close both files."""
        self._hlog.close()
        self._counts.close()
