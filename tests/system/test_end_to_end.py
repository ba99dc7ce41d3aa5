"""The whole pipe at a small size: a command measures the real catalogue, and what interrupts it leaves no mess."""

from __future__ import annotations

import csv
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil
import pytest
from harness import ROOT, Bench, bench, lives, reasons, trial, trial_folder, until
from hdrh.histogram import HdrHistogram
from measuring import undisturbed

from bench.results import files, layout, schema

WAIT_S = 0.05
USERS = 8
LOAD = f"users-{USERS}"
VARIANTS = ("awaited", "blocking_call")
REPORT, HEALTH = "GET /report", "GET /health"
SMALL = ("bench", "blocking", "--users", USERS, "--measure-s", 1, "--seed", 3)

ROUNDING_S = 2e-6
"""Stamps in the files have six decimals."""

both = pytest.mark.parametrize("variant", VARIANTS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run of one round that other programs did not disturb."""
    """A run of two variants: a slow one on its own and a quick one, one round."""
    results = tmp_path_factory.mktemp("small")
    chosen = [word for name in VARIANTS for word in ("--variant", name)]
    numbers = itertools.count()

    def measure() -> tuple[Path, subprocess.CompletedProcess[str]]:
        name = f"r{next(numbers)}"
        return results / name, bench(*SMALL, *chosen, "--rounds", 1, "--results", results, "--run", name)

    def said(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> list[str]:
        return [reason for variant in VARIANTS for reason in trial(measured[0], "blocking", variant)["reasons"]]

    return undisturbed(measure, said, "test_end_to_end")


@pytest.fixture(scope="module")
def run(small: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    return small[0]


def counts(run: Path, variant: str, number: int = 1) -> list[dict[str, Any]]:
    """The rows of counts.csv, all but the endpoint as numbers."""
    with (trial_folder(run, "blocking", variant, number) / "counts.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == schema.COUNTS_COLUMNS
        return [{k: v if k == "endpoint" else float(v) for k, v in row.items()} for row in reader]


def histograms(run: Path, variant: str) -> list[tuple[str, str, float, float, HdrHistogram]]:
    """The lines of requests.hlog: endpoint, kind, start, length, histogram. Not read by the code that wrote them."""
    found = []
    for line in (trial_folder(run, "blocking", variant) / "requests.hlog").read_text().splitlines():
        if not line.startswith("Tag="):
            continue
        tag, start_s, length_s, max_ms, encoded = line.removeprefix("Tag=").split(",")
        endpoint, _, kind = tag.rpartition(":")
        histogram = HdrHistogram.decode(encoded)
        assert histogram.get_max_value() / 1000 == pytest.approx(float(max_ms), abs=0.001)
        found.append((unquote(endpoint), kind, float(start_s), float(length_s), histogram))
    return found


def total(rows: list[dict[str, Any]], column: str, endpoint: str, measured: bool | None = None) -> int:
    chosen = (row for row in rows if row["endpoint"] == endpoint and measured in (None, bool(row["measured"])))
    return int(sum(row[column] for row in chosen))


# The files


def test_the_command_says_what_it_did(small: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, done = small
    assert [trial(run, "blocking", variant)["status"] for variant in VARIANTS] == ["ok"] * len(VARIANTS)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("blocking round 1/1 ")]
    assert sorted(line.split()[3] for line in said) == sorted(VARIANTS)
    assert "\x1b" not in done.stdout  # plain lines: it is not a terminal
    assert done.stdout.rstrip().splitlines()[-1] == str(run / "index.html")
    assert "Traceback" not in done.stderr


def test_the_files_of_the_contract_are_all_there(run: Path) -> None:
    for variant in VARIANTS:
        record = trial(run, "blocking", variant)
        telemetry = {f"{kind}-{record['pids']['server']}.csv" for kind in ("server", "stalls")}
        names = {path.name for path in (run / "blocking" / variant / LOAD / "1").iterdir()}
        assert names == {"trial.json", "requests.hlog", "counts.csv", "server.log"} | telemetry
        assert record["files"].keys() == {"requests.hlog", "counts.csv"} | telemetry
    logs = {path.name for path in (run / "blocking" / "logs").iterdir()}
    assert {f"{LOAD}-round-1-group-1.locust.log"} <= logs
    assert (run.parent / "latest").resolve() == run.resolve()
    hidden = [path for path in run.rglob("*") if path.name.startswith(".")]
    assert hidden == []


def test_run_json_says_what_was_measured(run: Path) -> None:
    content = files.read_json(run / "run.json")
    entry = content["scenarios"]["blocking"]
    assert (entry["seed"], entry["rounds"], entry["measure_s"], entry["load"]["users"]) == (3, 1, 1.0, USERS)
    assert {variant["name"] for variant in entry["variants"]} == set(VARIANTS)
    assert all((ROOT / variant["file"]).is_file() for variant in entry["variants"])
    assert content["command"].startswith("nox -s 'bench(blocking)' -- ")
    words = "--variant awaited --variant blocking_call --rounds 1 --users 8 --measure-s 1.0 --seed 3"
    assert content["command"].endswith(words)
    assert content["machine"]


@both
def test_a_trial_is_recorded_as_documented(run: Path, variant: str) -> None:
    record = files.read_json(trial_folder(run, "blocking", variant) / "trial.json")
    assert (record["scenario"], record["variant"], record["round"]) == ("blocking", variant, 1)
    assert record["load"] == {"name": LOAD, "model": "closed", "users": USERS, "rate_rps": None}
    assert reasons(record) == []
    assert record["position"] == 1
    assert record["files"].keys() > set(layout.TRIAL_FILES)
    assert {name.partition("-")[0] for name in record["files"]} - set(layout.TRIAL_FILES) == {"server", "stalls"}
    files.check_files(trial_folder(run, "blocking", variant), record["files"])
    assert set(record["facts"]["endpoints"]) == {REPORT, HEALTH}
    assert 0 < record["timings"]["ready_s"] < record["timings"]["total_s"]
    for pid in record["pids"].values():
        assert not psutil.pid_exists(pid)


@both
def test_a_turn_warms_up_and_measures_as_planned(run: Path, variant: str) -> None:
    (turn,) = trial(run, "blocking", variant)["facts"]["turns"]
    latency_s = WAIT_S if variant == "awaited" else USERS * WAIT_S
    assert turn["warm_until_s"] - turn["start_s"] >= max(1.0, 2 * latency_s)
    assert turn["end_s"] - turn["warm_until_s"] >= max(1.0, 4 * latency_s)


@both
def test_intervals_are_short_and_cross_no_edge(run: Path, variant: str) -> None:
    (turn,) = trial(run, "blocking", variant)["facts"]["turns"]
    for row in counts(run, variant):
        assert 0 <= row["end_s"] - row["start_s"] <= 1.5 * schema.INTERVAL_S  # a busy machine may be late
        first, last = ("warm_until_s", "end_s") if row["measured"] else ("start_s", "warm_until_s")
        assert turn[first] - ROUNDING_S <= row["start_s"]
        assert row["end_s"] <= turn[last] + ROUNDING_S


@both
def test_intervals_leave_no_gap(run: Path, variant: str) -> None:
    (turn,) = trial(run, "blocking", variant)["facts"]["turns"]
    for endpoint in (REPORT, HEALTH):
        rows = [row for row in counts(run, variant) if row["endpoint"] == endpoint]
        edges = [turn["start_s"], *(row["start_s"] for row in rows[1:]), turn["end_s"]]
        assert [row["start_s"] for row in rows] == pytest.approx(edges[:-1], abs=ROUNDING_S)
        assert [row["end_s"] for row in rows] == pytest.approx(edges[1:], abs=ROUNDING_S)


@both
def test_the_two_files_agree_to_the_request(run: Path, variant: str) -> None:
    """In every interval: what counts.csv counts is what the histograms hold."""
    booked: Counter[tuple[str, str, float]] = Counter()
    for endpoint, kind, start_s, _, histogram in histograms(run, variant):
        booked[endpoint, kind, start_s] += histogram.get_total_count()
    for row in counts(run, variant):
        held = {kind: booked.pop((row["endpoint"], kind, row["start_s"]), 0) for kind in KINDS}
        assert held["service"] + held["straddling"] == row["finished"]
        assert held["straddling_remaining"] == held["straddling"]
        assert held["failed"] == row["failed"]
        assert held["unfinished"] + held["straddling_unfinished"] == row["unfinished"]
        assert held["response"] == held["lag"] == (held["service"] if row["endpoint"] == HEALTH else 0)
    assert not booked


KINDS = (
    *("service", "response", "lag", "failed", "unfinished"),
    *("straddling", "straddling_remaining", "straddling_unfinished"),
)


@both
def test_every_request_is_accounted_for(run: Path, variant: str) -> None:
    rows = counts(run, variant)
    for endpoint in (REPORT, HEALTH):
        ended = sum(total(rows, column, endpoint) for column in ("finished", "failed", "unfinished"))
        assert total(rows, "started", endpoint) == ended > 0
    assert all(row["failed"] == sum(row[f"failed_{cause}"] for cause in schema.CAUSES) for row in rows)
    in_flight: Counter[str] = Counter()
    for row in rows:
        in_flight[row["endpoint"]] += int(row["started"] - row["finished"] - row["failed"] - row["unfinished"])
        assert row["in_flight"] == in_flight[row["endpoint"]] >= 0
    assert set(in_flight.values()) == {0}


@both
def test_the_facts_are_the_files_summed_up(run: Path, variant: str) -> None:
    record = trial(run, "blocking", variant)
    for endpoint, facts in record["facts"]["endpoints"].items():
        rows = counts(run, variant)
        for column in ("started", "finished", "failed", "unfinished"):
            assert facts[column] == total(rows, column, endpoint, measured=True), column
        assert facts["throughput_rps"] == pytest.approx(facts["finished"] / facts["measured_s"])


def test_one_blocking_call_lets_one_pass_at_a_time(run: Path) -> None:
    report = trial(run, "blocking", "blocking_call")["facts"]["endpoints"][REPORT]
    assert 0.6 / WAIT_S < report["throughput_rps"] <= 1.05 / WAIT_S
    assert report["in_flight_mean"] == pytest.approx(USERS, rel=0.05)


def test_awaiting_lets_them_all_pass(run: Path) -> None:
    report = trial(run, "blocking", "awaited")["facts"]["endpoints"][REPORT]
    assert 0.4 * USERS / WAIT_S < report["throughput_rps"] <= 1.05 * USERS / WAIT_S


@both
def test_no_request_is_quicker_than_its_wait(run: Path, variant: str) -> None:
    for endpoint, kind, _, _, histogram in histograms(run, variant):
        if (endpoint, kind) == (REPORT, "service"):
            assert histogram.get_min_value() >= WAIT_S * 1e6 - TIMER_US


TIMER_US = 2000
"""A loop's timers may fire early: uvloop counts whole milliseconds from the time at which it last looked."""


@both
def test_the_load_balancer_checks_twenty_times_a_second(run: Path, variant: str) -> None:
    (turn,) = trial(run, "blocking", variant)["facts"]["turns"]
    started = total(counts(run, variant), "started", HEALTH)
    seconds = turn["end_s"] - turn["start_s"]
    latest_start_s = USERS * WAIT_S if variant == "blocking_call" else WAIT_S  # the users' starts are staggered
    assert 20 * (seconds - latest_start_s) - 1 <= started <= 20 * seconds + 1


def test_the_page_is_drawn(run: Path) -> None:
    page = (run / "index.html").read_text()
    assert all(variant in page for variant in VARIANTS)
    assert list((run / "charts").glob("blocking-*.svg"))
    with (run / "summary.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == schema.SUMMARY_COLUMNS
    assert {row["variant"] for row in rows} == set(VARIANTS)
    (rate,) = [r for r in rows if (r["variant"], r["endpoint"], r["metric"]) == ("awaited", REPORT, "throughput_rps")]
    facts = trial(run, "blocking", "awaited")["facts"]["endpoints"][REPORT]
    assert float(rate["value"]) == pytest.approx(facts["throughput_rps"], rel=0.001)


# Files cut in half


@pytest.mark.parametrize("name", ["trial.json", *layout.TRIAL_FILES])
def test_a_file_cut_in_half_is_refused_by_name_and_the_rest_is_drawn(run: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "r"
    shutil.copytree(run, copy)
    path = trial_folder(copy, "blocking", "awaited") / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (copy / "index.html").unlink()
    (copy / "summary.csv").unlink()
    done = bench("report", copy)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    page = (copy / "index.html").read_text()
    assert name in page
    measured = [line for line in (copy / "summary.csv").read_text().splitlines() if "throughput_rps" in line]
    assert [line for line in measured if ",blocking_call," in line]
    assert not [line for line in measured if ",awaited," in line and line.split(",")[6]]


# Interruptions

ONE = ("--variant", "awaited")


def first_round(run: Path) -> Path:
    return run / "blocking" / "awaited" / LOAD / "1"


def measured_rows(run: Path) -> bool:
    """Whether an interval of the first round's measured part is on disk."""
    path = first_round(run) / "counts.csv"
    if not path.is_file():
        return False
    with path.open(newline="") as file:
        return any(row["measured"] == "1" for row in csv.DictReader(file))


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "starting": lambda run: first_round(run).is_dir(),
    "warming up": lambda run: (first_round(run) / "counts.csv").is_file(),
    "measuring": measured_rows,
    "between groups": lambda run: (first_round(run) / "trial.json").is_file(),
}


def two_rounds(results: Path, moment: str) -> tuple[object, ...]:
    # More than a second, so that the first measured interval is written while the second is measured.
    measure_s = 1.5 if moment == "measuring" else 0.5
    run = ("--results", results, "--run", "r")
    return "bench", "blocking", *ONE, "--users", USERS, "--measure-s", measure_s, "--rounds", 2, *run


def interrupted(results: Path, moment: str, signalled: Callable[[Bench], None]) -> tuple[Path, int, str, float]:
    """Start a run of two rounds and signal it; its folder, exit status, stderr, and how long its processes lived on."""
    run = results / "r"
    with Bench(*two_rounds(results, moment)) as harness:

        def come() -> bool:
            return len(harness.descendants()) > 1 and MOMENTS[moment](run)

        harness.wait_for(come, moment)
        assert any(lives(process) for process in harness.descendants()) or moment == "between groups"
        signalled(harness)
        # Whoever is started while it comes down is its descendant, too.
        took_s = until(
            lambda: not [one for one in harness.descendants() if lives(one)] and harness.popen.poll() is not None,
            f"all gone after {moment}; left: {harness.left()}",
            within_s=10,
        )
        print(f"{moment}: all gone after {took_s:.2f} s")
        _, err = harness.popen.communicate()
    return run, harness.popen.returncode, err, took_s


def to_group(number: signal.Signals) -> Callable[[Bench], None]:
    return lambda harness: harness.signal_group(number)


def to_harness(number: signal.Signals) -> Callable[[Bench], None]:
    return lambda harness: harness.popen.send_signal(number)


def kept(run: Path) -> list[str]:
    return sorted(path.parent.name for path in run.glob("blocking/*/*/*/trial.json"))


@pytest.mark.parametrize("moment", ["starting", "warming up", "measuring"])
def test_ctrl_c_leaves_nobody_and_no_half_round(tmp_path: Path, moment: str) -> None:
    run, status, err, _ = interrupted(tmp_path, moment, to_group(signal.SIGINT))
    assert status == 130
    assert err.splitlines()[-1].startswith("interrupted: finished rounds are kept")
    assert "Traceback" not in err
    assert kept(run) == []
    assert files.read_json(run / "run.json")["scenarios"]["blocking"]["rounds"] == 2


def test_after_ctrl_c_finished_rounds_are_kept_drawn_and_completed(tmp_path: Path) -> None:
    run, status, _, _ = interrupted(tmp_path, "between groups", to_group(signal.SIGINT))
    assert (status, kept(run)) == (130, ["1"])
    before = (first_round(run) / "trial.json").read_bytes()

    drawn = bench("report", run)
    assert drawn.returncode == 0, drawn.stderr
    assert "awaited" in (run / "index.html").read_text()

    arguments = two_rounds(tmp_path, "between groups")
    resumed = bench(*arguments)
    assert "1 of 2 rounds are measured already" in resumed.stdout
    assert [line.split()[2] for line in resumed.stdout.splitlines() if line.startswith("blocking round")] == ["2/2"]
    assert kept(run) == ["1", "2"]
    assert (first_round(run) / "trial.json").read_bytes() == before
    assert all(reasons(trial(run, "blocking", "awaited", number)) == [] for number in (1, 2))

    # A file cut in half costs its round, and only that.
    counts_csv = first_round(run) / "counts.csv"
    counts_csv.write_bytes(counts_csv.read_bytes()[:100])
    second = (run / "blocking" / "awaited" / LOAD / "2" / "trial.json").read_bytes()
    repaired = bench(*arguments)
    assert "1 of 2 rounds are measured already" in repaired.stdout
    assert counts_csv.stat().st_size > 100
    assert (first_round(run) / "trial.json").read_bytes() != before
    assert (run / "blocking" / "awaited" / LOAD / "2" / "trial.json").read_bytes() == second


def test_an_impatient_second_ctrl_c_changes_nothing(tmp_path: Path) -> None:
    def twice(harness: Bench) -> None:
        at_work = len(harness.left())
        harness.signal_group(signal.SIGINT)
        until(lambda: len(harness.left()) < at_work or harness.popen.poll() is not None, "it stops the first")
        if harness.popen.poll() is None:
            harness.signal_group(signal.SIGINT)

    run, status, err, _ = interrupted(tmp_path, "warming up", twice)
    assert (status, kept(run)) == (130, [])
    assert "Traceback" not in err


@pytest.mark.parametrize("moment", ["starting", "measuring"])
def test_sigterm_is_as_good_as_ctrl_c(tmp_path: Path, moment: str) -> None:
    run, status, err, _ = interrupted(tmp_path, moment, to_harness(signal.SIGTERM))
    assert status == 130
    assert "Traceback" not in err
    assert kept(run) == []


@pytest.mark.parametrize("moment", ["starting", "measuring"])
def test_nobody_outlives_a_harness_that_is_killed(tmp_path: Path, moment: str) -> None:
    run, status, _, took_s = interrupted(tmp_path, moment, to_harness(signal.SIGKILL))
    assert status == -signal.SIGKILL
    assert kept(run) == []
    print(f"killed while {moment}: the last one was gone after {took_s:.2f} s")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_nobody_outlives_a_harness_that_is_stopped_while_it_draws(
    run: Path, tmp_path: Path, number: signal.Signals
) -> None:
    shutil.copytree(run, tmp_path / "r", ignore=shutil.ignore_patterns("charts", "index.html", "summary.csv"))
    chosen = [word for name in VARIANTS for word in ("--variant", name)]
    with Bench(*SMALL, *chosen, "--rounds", 1, "--results", tmp_path, "--run", "r") as harness:
        harness.wait_for(lambda: drawing(harness), "drawing")
        if number == signal.SIGINT:
            harness.signal_group(number)
        else:
            harness.popen.send_signal(number)
        until(
            lambda: not [one for one in harness.descendants() if lives(one)] and harness.popen.poll() is not None,
            "all gone",
            within_s=2,
        )
        assert harness.popen.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)


def drawing(harness: Bench) -> bool:
    return any("report" in words(process) for process in harness.descendants())


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


NOX = shutil.which("nox", path=str(Path(sys.base_prefix) / "bin")) or shutil.which("nox")


@pytest.mark.skipif(NOX is None, reason="nox is not installed")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_what_ends_nox_ends_the_measurement(tmp_path: Path, number: signal.Signals) -> None:
    """By default nox kills an interrupted command after half a second, and a nox that is killed leaves its commands
    running."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # no environment of nox's own: ours
    session = ("--force-venv-backend", "none", "--no-install", "-s", "bench(blocking)", "--")
    options = (*ONE, "--users", USERS, "--measure-s", 1.5, "--results", tmp_path, "--run", "r")
    with Bench(argv=[str(word) for word in (NOX, *session, *options)], env={"PATH": path}) as nox:
        nox.wait_for(lambda: len(nox.descendants()) > 2 and MOMENTS["measuring"](tmp_path / "r"), "measuring")
        if number == signal.SIGINT:
            nox.signal_group(number)
        else:
            nox.popen.send_signal(number)
        until(lambda: nox.popen.poll() is not None and not nox.left(), "all gone", within_s=10)
        said = "".join(nox.popen.communicate())
    assert nox.popen.returncode != 0
    assert "interrupted: finished rounds are kept" in said
    assert kept(tmp_path / "r") == []
