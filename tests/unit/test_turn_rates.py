"""Throughput by turns, as calibration compares it."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest
from records import trial_record

from bench.calibrate.setup import ENDPOINT
from bench.calibrate.turn_rates import turn_rates_rps, turns_log_ratio
from bench.model import Load
from bench.results import layout
from bench.results.schema import COUNTS_COLUMNS, TrialFacts, TrialRecord, TurnRecord

LOAD = Load(users=4)


def trial(run: Path, variant: str, finished: list[int]) -> TrialRecord:
    """A trial with a warm-up turn and then a measured second a turn, cut into two intervals each."""
    turns = [TurnRecord(0, 0.0, 1.0, 1.0, True, 0.0)]
    rows = [(0.0, 1.0, ENDPOINT, 0, 9999)]
    for number, count in enumerate(finished, start=1):
        start_s = 2.0 * number
        turns.append(TurnRecord(number, start_s - 0.5, start_s, start_s + 1.0, True, 0.0))
        rows += [(start_s - 0.5, start_s, ENDPOINT, 0, 500), (start_s, start_s + 0.5, ENDPOINT, 1, count // 2)]
        rows += [
            (start_s + 0.5, start_s + 1.0, ENDPOINT, 1, count - count // 2),
            (start_s, start_s + 1, "GET /x", 1, 7),
        ]
    folder = layout.trial_folder(run, "identical", variant, LOAD.name, 1)
    folder.mkdir(parents=True)
    with (folder / "counts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COUNTS_COLUMNS)
        writer.writeheader()
        for start, end, endpoint, measured, count in rows:
            row = {"start_s": start, "end_s": end, "endpoint": endpoint, "measured": measured, "finished": count}
            writer.writerow(row)
    return replace(trial_record("identical", variant, 1, LOAD, "ok"), facts=TrialFacts(tuple(turns), {}))


def test_each_turn_has_its_own_rate(tmp_path: Path) -> None:
    assert turn_rates_rps(tmp_path, trial(tmp_path, "first", [100, 90, 111])) == {1: 100.0, 2: 90.0, 3: 111.0}


def test_a_turn_that_was_disturbed_is_cut(tmp_path: Path) -> None:
    """One of five turns at a quarter of the speed: the ratio of the sums would be 0.85."""
    first, second = trial(tmp_path, "first", [100, 25, 100, 100, 100]), trial(tmp_path, "second", [100] * 5)
    assert turns_log_ratio(tmp_path, first, second) == pytest.approx(math.log(1.0))
