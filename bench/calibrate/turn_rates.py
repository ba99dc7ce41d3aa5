"""The throughput of two variants in each turn, compared as the analysis compares variants: by trimmed log ratios."""

from __future__ import annotations

import csv
from pathlib import Path

from bench.calibrate.setup import ENDPOINT
from bench.model.trimmed import log_ratio
from bench.results import layout
from bench.results.schema import EDGE_S, TrialRecord, TurnRecord


def turns_log_ratio(run: Path, one: TrialRecord, other: TrialRecord) -> float:
    """ln(one / other) of throughput: the trimmed mean over the passes that both took with an answer."""
    first, second = turn_rates_rps(run, one), turn_rates_rps(run, other)
    pairs = [(first[n], second[n]) for n in sorted(first.keys() & second.keys())]
    return log_ratio([(a, b) for a, b in pairs if a > 0 and b > 0])


def turn_rates_rps(run: Path, trial: TrialRecord) -> dict[int, float]:
    """Requests finished a second in the measured part of each turn, by the number of the pass."""
    turns = [turn for turn in (trial.facts.turns if trial.facts else ()) if turn.end_s - turn.warm_until_s > EDGE_S]
    finished = dict.fromkeys((turn.pass_number for turn in turns), 0)
    folder = layout.trial_folder(run, trial.scenario, trial.variant, trial.load.name, trial.round)
    with (folder / "counts.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            turn = _turn_of(float(row["start_s"]), turns)
            if row["measured"] == "1" and row["endpoint"] == ENDPOINT and turn is not None:
                finished[turn.pass_number] += int(row["finished"])
    return {turn.pass_number: finished[turn.pass_number] / (turn.end_s - turn.warm_until_s) for turn in turns}


def _turn_of(start_s: float, turns: list[TurnRecord]) -> TurnRecord | None:
    return next((turn for turn in turns if turn.warm_until_s - EDGE_S <= start_s < turn.end_s - EDGE_S), None)
