"""Reading a run: what counts, what is refused by name, and that one broken file is one refused trial."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic
from hdrh.histogram import HdrHistogram
from synthetic import ENDPOINT, HEALTH, Histogram

from bench.analysis.run_reader import read_run, read_scenario
from bench.analysis.tables import ScenarioTables
from bench.analysis.trial_reader import decode
from bench.results import files, layout, schema

TWO = synthetic.WAYS[:2]


def frames_of(run: Path) -> ScenarioTables:
    read = read_run(run)
    return read_scenario(read, read.scenarios[0])


def one_trial(run: Path, histograms: list[Histogram], turns: list[dict[str, object]]) -> ScenarioTables:
    """A run of one scenario, one variant and one round with exactly these contents."""
    synthetic.write_run(run, {"blocking": synthetic.scenario(synthetic.WAYS[1:2], rounds=1)})
    synthetic.write_trial(run, "blocking", "awaited", 1, histograms=histograms, turns=turns)
    return frames_of(run)


def test_decode_against_the_library() -> None:
    histogram = HdrHistogram(1, 600_000_000, 3)
    for value in (1, 2047, 2048, 2049, 50_123, 1_600_000, 600_000_000):
        histogram.record_value(value, value % 7 + 1)
    values, counts = decode(histogram.encode().decode())
    expected = {
        item.value_iterated_to: item.count_added_in_this_iter_step for item in histogram.get_recorded_iterator()
    }
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {
        histogram.get_highest_equivalent_value(value): count for value, count in expected.items()
    }
    assert counts.sum() == histogram.get_total_count()


def test_values_are_within_a_thousandth() -> None:
    histogram = HdrHistogram(1, 600_000_000, 3)
    histogram.record_value(1_234_567)
    values, _ = decode(histogram.encode().decode())
    assert values[0] >= 1_234_567
    assert values[0] == pytest.approx(1_234_567, rel=1e-3)


def test_warm_up_is_cut_by_the_turns(tmp_path: Path) -> None:
    """Two turns: the first all warm-up, the second warm until 103. Only what lies after counts."""
    turns = [synthetic.turn(100, 101, 101, pass_number=0), synthetic.turn(102, 103, 105)]
    lines = [
        Histogram(ENDPOINT, "service", 100, 1, {10: 1}),
        Histogram(ENDPOINT, "service", 102, 1, {20: 1}),
        Histogram(ENDPOINT, "service", 103, 1, {30: 2}),
        Histogram(ENDPOINT, "service", 104, 1, {40: 3}),
    ]
    frames = one_trial(tmp_path, lines, turns)
    found = frames.round_latencies("awaited", ENDPOINT, 1)
    assert (found.finished_us.tolist(), found.finished_n.tolist()) == ([30, 40], [2, 3])
    assert frames.trials["measured_s"].tolist() == [2.0]


def test_times_start_at_the_first_measured_moment(tmp_path: Path) -> None:
    lines = [Histogram(ENDPOINT, "service", at_s, 0.5, {10: 1}) for at_s in (102.5, 103.0, 103.5)]
    frames = one_trial(tmp_path, lines, [synthetic.turn(102, 103, 105)])
    assert frames.latencies["start_s"].tolist() == pytest.approx([-0.5, 0.0, 0.5])
    assert frames.latencies["measured"].tolist() == [False, True, True]


def test_carried_requests_are_not_latencies_and_unfinished_are_censored(tmp_path: Path) -> None:
    lines = [
        Histogram(HEALTH, kind, 103, 1, {value: 1})
        for kind, value in (
            ("response", 5),
            ("unfinished", 9),
            ("straddling", 70),
            ("straddling_unfinished", 80),
            ("lag", 3),
        )
    ]
    frames = one_trial(tmp_path, lines, [synthetic.turn(102, 103, 104)])
    found = frames.round_latencies("awaited", HEALTH, 1)
    assert (found.finished_us.tolist(), found.censored_us.tolist()) == ([5], [9])


def test_endpoint_names_are_unquoted(tmp_path: Path) -> None:
    odd = "GET /a:b,c d/ü"
    frames = one_trial(tmp_path, [Histogram(odd, "service", 103, 1, {5: 1})], [synthetic.turn(102, 103, 104)])
    assert set(frames.latencies["endpoint"]) == {odd}
    assert set(frames.latencies["kind"]) == {"service"}


def test_all_that_was_written_is_read(tmp_path: Path) -> None:
    frames = frames_of(synthetic.blocking_run(tmp_path, rounds=2, ways=TWO))
    assert [variant.name for variant in frames.variants] == ["blocking_call", "awaited"]
    assert frames.rounds("awaited") == (1, 2)
    assert frames.endpoints() == (ENDPOINT, HEALTH)
    assert list(frames.counts.columns) == ["variant", "round", *schema.COUNTS_COLUMNS]
    assert frames.excluded == ()
    assert frames.incomplete_rounds == ()
    kinds = frames.latencies[frames.latencies["kind"].isin(["service", "straddling"])]
    by_endpoint = kinds.groupby("endpoint", observed=True)["count"].sum()
    assert by_endpoint[ENDPOINT] == frames.counts.loc[frames.counts["endpoint"] == ENDPOINT, "finished"].sum()


def test_a_round_cut_short_is_left_out_and_says_what_it_lacks(tmp_path: Path) -> None:
    synthetic.blocking_run(tmp_path, rounds=2, ways=TWO)
    (layout.trial_folder(tmp_path, "blocking", "awaited", "users-32", 2) / "trial.json").unlink()
    frames = frames_of(tmp_path)
    assert frames.rounds("blocking_call") == (1,)
    assert [(left.round, left.missing) for left in frames.incomplete_rounds] == [(2, ("awaited",))]


def test_failed_and_invalid_trials_are_named_and_not_evidence(tmp_path: Path) -> None:
    frames = frames_of(synthetic.troubled_run(tmp_path))
    found = [(trouble.variant, trouble.round, trouble.status, trouble.reasons) for trouble in frames.excluded]
    reasons = ("the app raised ImportError",)
    assert found == [("plain_def", 2, "failed", reasons), ("run_in_threadpool", 2, "invalid", reasons)]
    assert frames.rounds("plain_def") == (1,)
    assert [left.round for left in frames.incomplete_rounds] == [3]


@pytest.mark.parametrize("name", ["trial.json", "counts.csv", "requests.hlog"])
def test_a_file_cut_in_half_refuses_its_trial_alone(tmp_path: Path, name: str) -> None:
    synthetic.blocking_run(tmp_path, rounds=2, ways=TWO)
    path = layout.trial_folder(tmp_path, "blocking", "awaited", "users-32", 2) / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = frames_of(tmp_path)
    assert [(trouble.variant, trouble.round, trouble.status) for trouble in frames.excluded] == [
        ("awaited", 2, "refused")
    ]
    assert name in frames.excluded[0].reasons[0]
    assert str(tmp_path) not in frames.excluded[0].reasons[0]
    assert frames.rounds("awaited") == (1,)
    assert frames.rounds("blocking_call") == (1, 2)


def tampered(run: Path, name: str, old: str, new: str) -> ScenarioTables:
    """The frames after a change in one file, with trial.json's sizes made to match."""
    synthetic.blocking_run(run, rounds=1, ways=TWO)
    folder = layout.trial_folder(run, "blocking", "awaited", "users-32", 1)
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    trial = json.loads((folder / "trial.json").read_text(encoding="utf-8"))
    if name != "trial.json":
        trial["files"] = files.file_sizes(folder)
        files.write_json(folder / "trial.json", trial)
    return frames_of(run)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("requests.hlog", "HISTF", "HISTX", "requests.hlog: line 2 cannot be decoded"),
        ("requests.hlog", ":response,", ",", "line 2 cannot be decoded (ValueError: the tag"),
        ("counts.csv", "start_s", "start_ms", "counts.csv: not readable"),
        ("counts.csv", ",0,0,0\n", ",0,0\n", "counts.csv: not readable"),
        ("counts.csv", "GET /", "GET \n/", "counts.csv: not readable"),
        ("trial.json", '"schema": 2', '"schema": 99', "schema 99"),
        ("trial.json", '"ok"', '"splendid"', "status: Input should be"),
        ("trial.json", "warm_until_s", "warm_s", "facts.turns.0.warm_until_s: Field required"),
        ("trial.json", '"counts.csv"', '"others.csv"', "counts.csv: not listed"),
        (
            "trial.json",
            '"generator_cpu_cores_max": 0.25',
            '"generator_cpu_cores_max": "many"',
            "facts.generator_cpu_cores_max: Input should be a valid number",
        ),
    ],
)
def test_content_that_is_not_the_contracts_refuses_the_trial(
    tmp_path: Path, name: str, old: str, new: str, said: str
) -> None:
    frames = tampered(tmp_path, name, old, new)
    assert [(trouble.variant, trouble.status) for trouble in frames.excluded] == [("awaited", "refused")]
    assert said in frames.excluded[0].reasons[0]
    assert frames.rounds("blocking_call") == (1,)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": 99, "scenarios": {}}',
        '{"schema": 2}',
        '{"schema": 2, "scenarios": {"a": {}}}',
        '{"schema": 2, "scenarios": {"../a": {"path": "/", "load": {"name": "users-1"}, "variants": []}}}',
        '{"schema": 2, "scenarios": {"a": {"path": "/", "load": {"name": ".."}, "variants": []}}}',
    ],
)
def test_a_broken_run_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(files.BrokenFile, match=r"run\.json"):
        read_run(tmp_path)


def test_a_missing_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(files.BrokenFile, match="no such file"):
        read_run(tmp_path / "nowhere")


def test_a_run_without_any_trial_is_empty(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, {"blocking": synthetic.scenario(TWO)})
    frames = frames_of(tmp_path)
    assert frames.variants == ()
    assert frames.pooled_latencies("awaited", ENDPOINT).total == 0
    assert np.asarray(frames.latencies["count"]).sum() == 0
