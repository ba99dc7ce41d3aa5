"""Whether a trial's figures agree: requests/s by mean latency, plus starved users, are the users."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import synthetic

from bench.analysis.consistency import TrialConsistency, consistency
from bench.analysis.run_reader import read_run, read_scenario


def found(run: Path) -> dict[tuple[str, int], TrialConsistency]:
    read = read_run(run)
    return {(each.variant, each.round): each for each in consistency(read_scenario(read, read.scenarios[0]))}


def test_simulated_users_are_all_accounted_for(tmp_path: Path) -> None:
    trials = found(synthetic.blocking_run(tmp_path, rounds=3))
    assert len(trials) == 3 * len(synthetic.WAYS)
    assert all(each.is_consistent for each in trials.values()), [each.ratio for each in trials.values()]


def test_the_standard_error_is_that_of_so_many_requests(tmp_path: Path) -> None:
    """Of 32 users in one turn, √(32 / 3) / n."""
    trials = found(synthetic.blocking_run(tmp_path, rounds=1, ways=synthetic.WAYS[1:2]))
    (trial,) = trials.values()
    answered = int(trial.figures.split("; ")[1].split(" ")[0].partition(".")[0])
    measured_s = 3.0
    assert trial.standard_error == pytest.approx(math.sqrt(32 / 3) / (answered * measured_s), rel=0.01)


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_requests_that_are_missing_or_counted_twice_are_noticed(tmp_path: Path, factor: float) -> None:
    run = synthetic.blocking_run(tmp_path, rounds=1, ways=synthetic.WAYS[1:2])
    assert all(each.is_consistent for each in found(run).values())
    (counts,) = run.rglob("counts.csv")
    with counts.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["finished"] = str(round(float(row["finished"]) * factor))
    counts.write_text(synthetic.counts_csv(rows))
    trial_json = counts.with_name("trial.json")
    record = json.loads(trial_json.read_text())
    record["files"]["counts.csv"] = counts.stat().st_size
    trial_json.write_text(json.dumps(record))
    (changed,) = found(run).values()
    assert changed.ratio == pytest.approx(factor, rel=0.1)
    assert not changed.is_consistent
