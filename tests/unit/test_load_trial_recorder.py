"""What the recorder makes of turns that are taken again: nothing of them is measured, and nothing is lost."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from load_world import folded

from bench.load.endpoint_recorder import EndpointRecorder
from bench.load.messages import IntervalReport
from bench.load.trial_recorder import TrialRecorder
from bench.results.schema import TurnRecord

ENDPOINT = "GET /books"


def interval(turn: int, finished: int, measured: bool = True, number: int = 0) -> IntervalReport:
    endpoint = EndpointRecorder(ENDPOINT, 0.0)
    for _ in range(finished):
        endpoint.started += 1
        endpoint.add_service(1000)
    return IntervalReport(turn, number, "app", measured, float(turn), turn + 1.0, (folded(endpoint.take()),))


def taken(turn: int, again: bool = False) -> TurnRecord:
    if again:
        return TurnRecord(0, float(turn), turn + 1.0, turn + 1.0, True, 0.0, taken_again=True)
    return TurnRecord(1, float(turn), float(turn), turn + 1.0, True, 0.0)


def rows(folder: Path) -> list[tuple[str, str]]:
    """Whether it was measured, and how many requests it finished, of each interval."""
    with (folder / "counts.csv").open(newline="") as file:
        return [(row["measured"], row["finished"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("late", [False, True], ids=["before the end", "after the end"])
def test_a_turn_that_is_taken_again_does_not_count(tmp_path: Path, late: bool) -> None:
    recorder = TrialRecorder({"app": tmp_path})
    for turn, finished, again in ((0, 5, True), (1, 7, False)):
        recorder.begin_turn(turn, undecided=True)
        if not late:
            recorder.add_interval(interval(turn, finished))
            assert rows(tmp_path) == [("0", "5")][:turn]  # it is not known yet
        recorder.end_turn("app", turn, taken(turn, again), 0.3 if again else 0.04)
        if late:
            recorder.add_interval(interval(turn, finished))
    facts = recorder.finish()["app"]
    assert rows(tmp_path) == [("0", "5"), ("1", "7")]
    assert facts.endpoints[ENDPOINT].finished == 7
    assert facts.endpoints[ENDPOINT].measured_s == pytest.approx(1.0)
    assert facts.generator_waiting_share_mean == pytest.approx(0.04)
    assert [turn.taken_again for turn in facts.turns] == [True, False]


def test_a_turn_that_cannot_be_taken_again_is_written_as_it_goes(tmp_path: Path) -> None:
    recorder = TrialRecorder({"app": tmp_path})
    recorder.begin_turn(0, undecided=False)
    recorder.add_interval(interval(0, 3))
    assert rows(tmp_path) == [("1", "3")]
    recorder.end_turn("app", 0, taken(0), 0.5)
    assert recorder.finish()["app"].generator_waiting_share_mean == pytest.approx(0.5)


def test_the_warm_up_of_an_undecided_turn_is_written_at_once(tmp_path: Path) -> None:
    recorder = TrialRecorder({"app": tmp_path})
    recorder.begin_turn(0, undecided=True)
    recorder.add_interval(interval(0, 3, measured=False))
    assert rows(tmp_path) == [("0", "3")]
    recorder.finish()


def test_an_interrupted_turn_is_not_lost(tmp_path: Path) -> None:
    recorder = TrialRecorder({"app": tmp_path})
    recorder.begin_turn(0, undecided=True)
    recorder.add_interval(interval(0, 3))
    recorder.finish()
    assert rows(tmp_path) == [("1", "3")]


def test_turns_are_weighed_by_their_length(tmp_path: Path) -> None:
    recorder = TrialRecorder({"app": tmp_path})
    recorder.begin_turn(0, undecided=False)
    recorder.end_turn("app", 0, TurnRecord(1, 0.0, 0.0, 3.0, True, 0.0), 0.02)
    recorder.end_turn("app", 1, TurnRecord(2, 3.0, 3.0, 4.0, True, 0.0), 0.10)
    recorder.end_turn("app", 2, TurnRecord(3, 4.0, 4.0, 5.0, True, 0.0), None)
    assert recorder.finish()["app"].generator_waiting_share_mean == pytest.approx(0.04)
