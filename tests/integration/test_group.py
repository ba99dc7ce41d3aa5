"""Groups with real servers and real Locust, most of them ugly: each ends as a record with its reason."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from harness import ROOT, UGLY, bench, lives, reasons, trial, trial_folder
from measuring import undisturbed

from bench.model import Load, Scenario, ServerGroup, Sidecar, Turn, Variant
from bench.planning import catalogue
from bench.planning.schedule import make_plan
from bench.results import layout
from bench.results.schema import TrialRecord
from bench.running import group, group_servers, locust_process, probe_setup, serving
from bench.running.cores import cores_for


@pytest.fixture(autouse=True, scope="module")
def _nobody_left() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [one for one in psutil.Process().children(recursive=True) if one not in before and lives(one)]
    assert left == []


def short(scenario: Scenario, *variants: str) -> ServerGroup:
    """A group with one quick turn each."""
    turns = tuple(Turn(name, 1, warmup_s=0.2, measure_s=0.3) for name in variants)
    return ServerGroup(scenario.name, 1, 1, variants, Load(users=2), turns, seed=1)


def measured(scenario: Scenario, made: ServerGroup, run: Path) -> dict[str, TrialRecord]:
    return {one.variant: one for one in group.run_group(scenario, made, run)}


# Apps that do not come up

READY_WITHIN_S = 8.0


@pytest.fixture(scope="module")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``ugly_start``: all of its variants in one group."""
    run = tmp_path_factory.mktemp("starting")
    scenario = catalogue.load("ugly_start", UGLY)
    (made,) = make_plan(scenario, Load(users=4), rounds=1, measure_s=0.3, seed=1).rounds[0].groups
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "READY_DEADLINE_S", READY_WITHIN_S)
        returned = measured(scenario, made, run)
    assert sorted(returned) == sorted(variant.name for variant in scenario.variants)
    return run


@pytest.mark.parametrize(
    ("variant", "reason", "log"),
    [
        ("syntax_error", "exited with status 1 while starting", "SyntaxError"),
        ("import_error", "exited with status 1 while starting", "cannot import name 'there_is_no_such_name'"),
        ("type_error", "exited with status 1 while starting", "type_error.py"),
        ("no_app", "exited with status 3 while starting", 'Attribute "app" not found'),
        ("exits", "exited with status 3 while starting", "a setting is missing"),
        ("fails_in_lifespan", "exited with status 3 while starting", "RuntimeError: no database"),
        ("never_ready", f"never answered in {READY_WITHIN_S:g} s", "waiting for something that never comes"),
        ("unhealthy", f"answered 500 to GET /health for {READY_WITHIN_S:g} s", "Uvicorn running"),
    ],
)
def test_an_app_that_does_not_come_up_has_failed(starting: Path, variant: str, reason: str, log: str) -> None:
    record = trial(starting, "ugly_start", variant)
    assert (record["status"], record["reasons"]) == ("failed", [reason])
    assert log in record["log_tail"]
    assert record["log_tail"] in (trial_folder(starting, "ugly_start", variant) / "server.log").read_text()
    assert record["facts"] is None
    assert not set(layout.TRIAL_FILES) & set(record["files"])  # at most what the probe saw until then


def test_the_one_beside_them_is_measured_all_the_same(starting: Path) -> None:
    record = trial(starting, "ugly_start", "fine")
    assert reasons(record) == []
    assert record["facts"]["endpoints"]["GET /report"]["finished"] > 10
    assert [turn["pass_number"] for turn in record["facts"]["turns"]] == [0, 1, 2]


# Apps that come up and misbehave


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run of ``ugly_run`` on the command line."""
    results = tmp_path_factory.mktemp("running")
    arguments = ("--apps", UGLY, "--measure-s", 0.4, "--rounds", 1, "--seed", 5, "--results", results, "--run", "ugly")
    return results / "ugly", bench("bench", "ugly_run", *arguments)


Running = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("variant", "status", "reason", "log"),
    [
        ("dies", "failed", "the server exited with status 7 while it was measured", "this was the last request"),
        ("killed", "failed", "while it was measured", "this was the last request"),
        ("answers_500", "invalid", "requests to GET /report failed (status x ", "ZeroDivisionError"),
        ("hangs_up", "invalid", "requests to GET /report failed (closed x ", "Uvicorn running"),
        ("never_answers", "invalid", "no request to GET /report was answered", "Uvicorn running"),
        ("answers_without_end", "invalid", "no request to GET /report was answered", "Uvicorn running"),
        ("answers_garbage", "invalid", "requests to GET /report failed (malformed x ", "Uvicorn running"),
        ("freezes", "invalid", "no request to GET /report was answered", "this one never returns"),
        ("out_of_memory", "invalid", "requests to GET /report failed (", "MemoryError"),
    ],
)
def test_an_app_that_misbehaves_is_no_evidence(
    running: Running, variant: str, status: str, reason: str, log: str
) -> None:
    record = trial(running[0], "ugly_run", variant)
    assert record["status"] == status
    assert reason in record["reasons"][0]
    assert log in record["log_tail"]
    assert log in (trial_folder(running[0], "ugly_run", variant) / "server.log").read_text()


def test_every_request_to_a_server_that_answers_500_is_counted(running: Running) -> None:
    report = trial(running[0], "ugly_run", "answers_500")["facts"]["endpoints"]["GET /report"]
    assert report["finished"] == 0
    assert report["failed"] > 10
    assert report["causes"] == {"status": report["failed"]}
    assert report["statuses"] == {"500": report["failed"]}


def test_what_freezes_a_server_is_named(running: Running) -> None:
    """The server answers nobody, not even the health checks. The line is in the record and on the page."""
    (first, *_) = trial(running[0], "ugly_run", "freezes")["reasons"]
    found = re.search(
        r": ugly/ugly_run/freezes\.py:(\d+) \(wait in time\.sleep\) held the event loop for (.*) of (.*) s", first
    )
    assert found, first
    line = (UGLY / "ugly_run" / "freezes.py").read_text().splitlines()[int(found[1]) - 1]
    assert line.strip() == "time.sleep(3600)"
    assert float(found[2]) > 0.8 * float(found[3])
    assert "held the event loop" in (running[0] / "index.html").read_text()


def test_requests_that_are_never_answered_are_unfinished(running: Running) -> None:
    record = trial(running[0], "ugly_run", "never_answers")
    report = record["facts"]["endpoints"]["GET /report"]
    assert (report["finished"], report["failed"]) == (0, 0)
    assert report["unfinished"] == 4  # each of the four users left one
    assert [turn["drained"] for turn in record["facts"]["turns"]] == [
        False,
        False,
    ]  # in the warm-up and in one turn: the last


def test_the_well_behaved_one_is_measured_all_the_same(running: Running) -> None:
    record = trial(running[0], "ugly_run", "fine")
    assert reasons(record) == []
    assert record["facts"]["endpoints"]["GET /report"]["finished"] > 10


def test_the_command_says_so_and_ends_with_status_1(running: Running) -> None:
    _, done = running
    assert done.returncode == 1, done.stderr
    said = {line.split()[3]: line for line in done.stdout.splitlines() if line.startswith("ugly_run round 1/1 ")}
    assert sorted(said) == sorted(variant.name for variant in catalogue.load("ugly_run", UGLY).variants)
    assert "failed" in said["dies"]
    assert "status 7" in said["dies"]
    assert "invalid" in said["answers_500"]
    assert "Traceback" not in done.stderr


def test_the_page_shows_what_failed_and_why(running: Running) -> None:
    run, _ = running
    page = (run / "index.html").read_text()
    for words in ("the server exited with status 7", "this was the last request", "requests to GET /report failed"):
        assert words in page, words


# A generator in trouble


@pytest.mark.parametrize(
    ("locustfile", "reason", "log"),
    [
        (
            "raise RuntimeError('a broken locustfile')",
            "locust exited with status 1 before its turns were done",
            "a broken locustfile",
        ),
        (
            "import sys; print('leaving early'); sys.exit(0)",
            "locust exited with status 0 before its turns were done",
            "leaving early",
        ),
        ("import time; print('stuck', flush=True); time.sleep(3600)", "locust did not end within 1 s", "stuck"),
    ],
    ids=["broken", "leaves", "hangs"],
)
def test_a_generator_in_trouble_fails_its_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locustfile: str, reason: str, log: str
) -> None:
    monkeypatch.setattr(locust_process, "MAX_BEYOND_LOAD_S", 0.0)
    path = tmp_path / "locustfile.py"
    path.write_text(locustfile)
    scenario = replace(catalogue.load("ugly_run", UGLY), locustfile=str(path))
    made = measured(scenario, short(scenario, "fine"), tmp_path / "run")["fine"]
    assert (made.status, made.reasons) == ("failed", (reason,))
    assert log in made.log_tail


def test_a_server_that_cannot_be_started_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.ServedApp, "command", lambda *_: ["/nonsense/python"])
    scenario = catalogue.load("ugly_run", UGLY)
    made = measured(scenario, short(scenario, "fine"), tmp_path)["fine"]
    assert made.status == "failed"
    assert "/nonsense/python: no such program" in made.reasons[0]
    assert trial(tmp_path, "ugly_run", "fine")["pids"]["server"] is None


@pytest.mark.parametrize("phase", ["starting", "loading", "stopping"])
def test_an_interrupt_passes_through_with_everything_stopped(tmp_path: Path, phase: str) -> None:
    scenario = catalogue.load("ugly_run", UGLY)
    before = set(psutil.Process().children(recursive=True))
    at_work: list[psutil.Process] = []

    def interrupted(reached: str) -> None:
        if reached == phase:
            at_work.extend(set(psutil.Process().children(recursive=True)) - before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        group.run_group(scenario, short(scenario, "fine"), tmp_path, group.GroupHooks(interrupted))
    assert bool(at_work) == (phase != "starting")
    assert not [one for one in psutil.Process().children(recursive=True) if one not in before and lives(one)]
    assert not (trial_folder(tmp_path, "ugly_run", "fine") / "trial.json").exists()


# Other services and probes


def test_a_trial_whose_probe_failed_is_invalid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = probe_setup.environment
    nowhere = tmp_path / "no" / "such" / "folder"
    monkeypatch.setattr(probe_setup, "environment", lambda base, app, _: made(base, app, nowhere))
    scenario = catalogue.load("ugly_run", UGLY)
    run = tmp_path / "run"
    trials = measured(scenario, short(scenario, "fine"), run)
    assert trials["fine"].status == "invalid"
    assert "telemetry missing: the probe wrote no samples" in trials["fine"].reasons[-1]
    record = trial(run, "ugly_run", "fine")
    assert record["facts"]["endpoints"]["GET /report"]["finished"] > 0
    assert "loop_probe: failed: FileNotFoundError" in record["log_tail"]


LATE = """
import tempfile, time
from pathlib import Path
from fastapi import FastAPI

try:
    Path(tempfile.gettempdir(), "first").mkdir()
except FileExistsError:
    time.sleep({late_s})

app = FastAPI()


@app.get("/report")
@app.get("/health")
async def answer() -> dict[str, str]:
    return {{"status": "ok"}}
"""
"""An app whose first worker is ready at once, and any other later."""


def with_late_workers(folder: Path, late_s: float) -> Scenario:
    folder.mkdir(parents=True)
    (folder / "late.py").write_text(LATE.format(late_s=late_s))
    variant = Variant("late", "fix", "a late worker", workers=2)
    return Scenario("late", "Are all workers there?", (variant,), "/report", folder=str(folder))


def test_the_load_waits_for_all_workers(tmp_path: Path) -> None:
    scenario = with_late_workers(tmp_path / "made" / "late", late_s=2.0)
    run = tmp_path / "run"
    found = undisturbed(
        lambda: group.run_group(scenario, short(scenario, "late"), run)[0], lambda each: each.reasons, "test_group"
    )
    assert (found.status, found.reasons) == ("ok", ())
    folder = trial_folder(run, "late", "late")
    begun_s = trial(run, "late", "late")["facts"]["turns"][0]["start_s"]
    firsts = [float(file.read_text().splitlines()[1].split(",")[0]) for file in folder.glob("server-*.csv")]
    assert len(firsts) == 2
    assert max(firsts) < begun_s + 1.0, "a file's first row comes a beat after the file; the second worker is 2 s late"
    assert max(firsts) - min(firsts) > 1.0


def test_a_worker_that_never_comes_fails_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "READY_DEADLINE_S", 6.0)
    scenario = with_late_workers(tmp_path / "made" / "late", late_s=600)
    (found,) = group.run_group(scenario, short(scenario, "late"), tmp_path / "run")
    assert (found.status, found.reasons) == ("failed", ("1 of 2 workers were ready within 6 s",))


def test_what_programs_leave_in_the_temporary_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    scenario = with_late_workers(tmp_path / "made" / "late", late_s=0)
    folder = tmp_path / "run"
    seen: set[str] = set()
    hooks = group.GroupHooks(lambda _: seen.update(p.name for p in place.glob("*/tmp/*")))
    group.run_group(scenario, short(scenario, "late"), folder, hooks)
    assert seen == {"first"}
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("load", "expected", "missing"),
    [(Load(users=32), "--users 33 ", "--rate"), (Load(rate_rps=0.5), "--users 2 ", "--users 33")],
    ids=["closed", "open"],
)
def test_locust_is_its_own_command_line(load: Load, expected: str, missing: str) -> None:
    scenario = catalogue.load("blocking")
    words = " ".join(locust_process.locust_command(scenario, load, "http://127.0.0.1:1", 7))
    assert "-m locust --locustfile locustfiles/get_and_health.py --headless" in words
    assert expected in words  # the load balancer is one more
    assert missing not in words
    assert ("--rate 0.5" in words) == (load.model == "open")
    assert words.endswith("--control-fd 7")


# What runs beside a server

SPEAKS = "import os, time; print(os.environ['WORD'], flush=True); time.sleep({after_s}); raise SystemExit({status})"


def beside(after_s: float, status: int, ready: str) -> Scenario:
    """``fine`` with a companion that says ready and ends after so long."""
    scenario = catalogue.load("ugly_run", UGLY)
    companion = Sidecar("worker", ("python", "-c", SPEAKS.format(after_s=after_s, status=status)), ready)
    fine = replace(scenario.variant("fine"), sidecars=(companion,), environment=(("WORD", "at your service"),))
    return replace(scenario, variants=(fine,))


def test_a_companion_runs_beside_its_server_in_the_same_environment(tmp_path: Path) -> None:
    scenario = beside(600, 0, "at your service")
    found = undisturbed(
        lambda: measured(scenario, short(scenario, "fine"), tmp_path)["fine"], lambda each: each.reasons, "test_group"
    )
    assert (found.status, found.reasons) == ("ok", ())
    assert (trial_folder(tmp_path, "ugly_run", "fine") / "worker.log").read_text().startswith("at your service\n")


@pytest.mark.parametrize(
    ("after_s", "ready", "reason"),
    [
        (0.0, "never said", "worker ended while starting"),
        (600, "never said", "worker was not ready within 2 s"),
        (1.0, "at your service", "worker exited with status 3 while it was measured"),
    ],
)
def test_a_companion_that_fails_fails_the_trial_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_s: float, ready: str, reason: str
) -> None:
    for module in (group_servers, serving):
        monkeypatch.setattr(module, "SIDECAR_DEADLINE_S", 2.0)
    scenario = beside(after_s, 3, ready)
    longer = replace(short(scenario, "fine"), turns=(Turn("fine", 1, warmup_s=0.2, measure_s=2.0),))
    found = measured(scenario, longer, tmp_path)["fine"]
    assert (found.status, found.reasons) == ("failed", (reason,))
    assert found.log_tail.startswith("at your service")


# Beside a program that uses the generator's core

PASSES = 40


def test_turns_in_which_the_generator_had_to_wait_are_taken_again(tmp_path: Path) -> None:
    cores = cores_for(parallel=False)
    if cores is None:
        pytest.skip("processes cannot be pinned here, so nothing is known to disturb the generator")
    scenario = catalogue.load("trivial")
    first = Turn("async_def", 0, warmup_s=0.3, measure_s=0.0)
    turns = (first, *(Turn("async_def", number, warmup_s=0.05, measure_s=0.1) for number in range(1, PASSES + 1)))
    made = ServerGroup(scenario.name, 1, 1, ("async_def",), Load(users=8), turns, seed=1)
    burn = [sys.executable, str(ROOT / "tests" / "support" / "burn_bursts.py"), "--share", "0.2", "--seconds", "60"]
    with subprocess.Popen(burn, stdout=subprocess.DEVNULL) as burner:
        os.sched_setaffinity(burner.pid, cores.generator)
        try:
            trial_record = measured(scenario, made, tmp_path)["async_def"]
        finally:
            burner.terminate()
    facts = trial_record.facts
    assert facts is not None
    again = [turn for turn in facts.turns if turn.taken_again]
    assert again
    assert all(turn.pass_number == 0 and turn.warm_until_s == turn.end_s for turn in again)
    assert [turn.pass_number for turn in facts.turns if not turn.taken_again] == list(range(PASSES + 1))
    assert [reason for reason in trial_record.reasons if "waited for a core" in reason] == []
    with (trial_folder(tmp_path, "trivial", "async_def") / "counts.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["endpoint"] == scenario.endpoint]
    assert (
        sum(int(row["finished"]) for row in rows if row["measured"] == "1")
        == facts.endpoints[scenario.endpoint].finished
    )
    # Nothing of a turn that is taken again counts, and nothing of it is lost.
    for turn in again:
        inside = [row for row in rows if turn.start_s <= float(row["start_s"]) < turn.end_s]
        assert inside
        assert all(row["measured"] == "0" for row in inside)
