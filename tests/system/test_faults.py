"""Faults while something is measured: what happens, and that nothing is left. docs/reliability.md lists all of them."""

from __future__ import annotations

import csv
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness import ROOT, Bench, bench, command, lives, trial, until
from measuring import undisturbed

AWAITED = ("bench", "blocking", "--variant", "awaited", "--users", 4, "--rounds", 1)


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder for everything that the test starts. It is empty at the end."""
    with tempfile.TemporaryDirectory(prefix="async-test-") as folder:
        Path(folder).chmod(0o755)  # servers that run as another user must reach it
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []


def is_measured(run: Path, scenario: str, variant: str) -> bool:
    """Whether the load generator has written an interval of the measured part."""
    for path in run.glob(f"{scenario}/{variant}/*/1/counts.csv"):
        with path.open(newline="") as file:
            return any(row["measured"] == "1" for row in csv.DictReader(file))
    return False


def words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def find(harness: Bench, *marks: str) -> list[psutil.Process]:
    """Living descendants whose command line has all of ``marks``, in the order of their start; no supervisors."""
    found = [each for each in harness.descendants() if lives(each) and all(mark in words(each) for mark in marks)]
    return sorted((each for each in found if "supervisor.py" not in words(each)), key=lambda each: each.create_time())


@contextmanager
def loaded(results: Path, scenario: str, variant: str, *options: object) -> Iterator[Bench]:
    """A measurement under load. Nothing of it is left at the end."""
    arguments = ("bench", scenario, "--variant", variant, "--rounds", 1, "--measure-s", 20, *options)
    with Bench(*arguments, "--run", "r", "--results", results) as harness:
        harness.wait_for(lambda: is_measured(results / "r", scenario, variant), "load")
        harness.descendants()
        yield harness
        if harness.popen.poll() is None:  # drawing would take seconds, and is not what is tried here
            harness.wait_for(lambda: bool(list(results.glob(f"r/{scenario}/{variant}/*/1/trial.json"))), "its record")
            harness.signal_group(signal.SIGINT)
        harness.popen.communicate(timeout=60)
        until(lambda: not harness.left(), f"nothing is left: {harness.left()}")


def ended(results: Path, scenario: str, variant: str) -> dict[str, Any]:
    return trial(results / "r", scenario, variant)


def was_repeated(record: dict[str, Any]) -> bool:
    """Whether the round was invalid before, and so was measured again before the harness was interrupted."""
    return bool(record["attempt"] > 1)


def test_a_server_that_is_killed(tmp_path: Path) -> None:
    with loaded(tmp_path, "blocking", "awaited") as harness:
        (server,) = find(harness, "-m uvicorn")
        server.kill()
    record = ended(tmp_path, "blocking", "awaited")
    assert record["status"] == "failed"
    assert record["reasons"] == ["the server was killed by SIGKILL while it was measured"]


def test_a_servers_worker_that_is_killed(tmp_path: Path) -> None:
    """uvicorn starts another one. The trial is no evidence: its requests broke off, and a worker was missing."""
    with loaded(tmp_path, "workers", "trap_2_workers") as harness:
        _, second = find(harness, "spawn_main")  # and not multiprocessing's resource tracker
        second.kill()
    record = ended(tmp_path, "workers", "trap_2_workers")
    assert record["status"] in ("invalid", "failed") or was_repeated(record)


def test_a_load_generator_that_is_killed(tmp_path: Path) -> None:
    with loaded(tmp_path, "blocking", "awaited") as harness:
        (locust,) = find(harness, "-m locust")
        locust.kill()
    record = ended(tmp_path, "blocking", "awaited")
    assert record["status"] == "failed"
    assert record["reasons"] == ["locust was killed by SIGKILL before its turns were done"]


def test_a_valkey_that_is_killed(tmp_path: Path) -> None:
    with loaded(tmp_path, "cache", "redis_async") as harness:
        (*_, server) = find(harness, "valkey-server")
        server.kill()
    record = ended(tmp_path, "cache", "redis_async")
    assert record["status"] == "failed"
    assert "the service valkey ended" in record["reasons"][0]


def test_a_machine_that_was_suspended(tmp_path: Path) -> None:
    """Everything stops for a while, as when a laptop sleeps, and goes on. What was measured meanwhile is no evidence."""
    with loaded(tmp_path, "blocking", "awaited", "--measure-s", 6) as harness:
        tree = [psutil.Process(harness.popen.pid), *harness.descendants()]
        stopped = [process for process in tree if lives(process)]
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in stopped:
                if lives(process):
                    process.send_signal(number)
            if number == signal.SIGSTOP:
                time.sleep(4)
    record = ended(tmp_path, "blocking", "awaited")
    stood_still = [reason for reason in record["reasons"] if "the generator stood still for" in reason]
    assert stood_still or was_repeated(record), record["reasons"]


STEPS = """
import time
begun_s, real = time.monotonic(), time.time
def stepped() -> float:
    age_s = time.monotonic() - begun_s
    return real() + (3600 if age_s < 2 else -3600 if age_s < 4 else 7200)
time.time = stepped
"""
"""As sitecustomize: the wall clock of every Python process that the harness starts is set forward and back again."""


def test_a_wall_clock_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured with it."""
    (tmp_path / "sitecustomize.py").write_text(STEPS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    results = iter(range(10))

    def measure() -> dict[str, Any]:
        folder = tmp_path / f"results-{next(results)}"
        done = bench(*AWAITED, "--measure-s", 3, "--run", "r", "--results", folder)
        assert "Traceback" not in done.stderr
        return ended(folder, "blocking", "awaited")

    record = undisturbed(measure, lambda found: found["reasons"], "test_faults")
    assert (record["status"], record["reasons"]) == ("ok", [])
    facts = record["facts"]["endpoints"]["GET /report"]
    assert facts["measured_s"] == pytest.approx(3, rel=0.05)
    assert 60 < facts["throughput_rps"] < 81  # 4 users / 0.05 s


def test_a_generator_at_its_limit(tmp_path: Path) -> None:
    options = ("--variant", "async_def", "--rate", 60_000, "--rounds", 1, "--measure-s", 1)
    done = bench("bench", "trivial", *options, "--run", "r", "--results", tmp_path)
    record = ended(tmp_path, "trivial", "async_def")
    assert (done.returncode, record["status"]) == (1, "invalid")
    assert [reason for reason in record["reasons"] if "generator" in reason or "dropped" in reason]
    assert "too few valid rounds of async_def" in done.stdout


def limited(results: Path, kind: int, limit: int) -> subprocess.CompletedProcess[str]:
    """A short measurement whose processes may not exceed a limit."""
    hard = resource.getrlimit(kind)[1]

    def set_limit() -> None:
        resource.setrlimit(kind, (limit, hard))

    words = command(*AWAITED, "--measure-s", 1, "--run", "r", "--results", results)
    return subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, preexec_fn=set_limit
    )


def living_of(results: Path) -> list[str]:
    return [line for process in psutil.process_iter() if str(results) in (line := words(process))]


def test_no_more_open_files(tmp_path: Path) -> None:
    done = limited(tmp_path, resource.RLIMIT_NOFILE, 24)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    until(lambda: not living_of(tmp_path), "nothing is left")


@pytest.mark.parametrize("limit", [1_000, 6_000, 50_000], ids=["at the start", "while recording", "while drawing"])
def test_a_disk_that_is_full(tmp_path: Path, limit: int) -> None:
    """A limit on the size of files stands for the disk: what does not fit is refused. One line says so."""
    done = limited(tmp_path, resource.RLIMIT_FSIZE, limit)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    until(lambda: not living_of(tmp_path), "nothing is left")
    for path in (tmp_path / "r").rglob("trial.json"):
        json.loads(path.read_text())  # whole, or not there


@pytest.mark.parametrize("results", ["/proc/results", "/dev/null/results"])
def test_a_results_folder_that_cannot_be_made(results: str) -> None:
    done = bench(*AWAITED, "--run", "r", "--results", results)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: the results cannot be written to {results}")
    assert len(done.stderr.splitlines()) == 1


def test_a_port_that_somebody_took_meanwhile(tmp_path: Path) -> None:
    """Between choosing a port and binding it another program may take it. The trial fails, and says so."""
    program = (
        "import socket, sys\n"
        "from bench.running import serving\n"
        "taken = socket.create_server(('127.0.0.1', 0))\n"
        "serving.free_port = lambda: taken.getsockname()[1]\n"
        "from bench.cli import main\n"
        "main()\n"
    )
    arguments = [*map(str, AWAITED), "--measure-s", "1", "--run", "r", "--results", str(tmp_path)]
    with Bench(argv=[sys.executable, "-c", program, *arguments]) as harness:
        harness.popen.communicate(timeout=60)
    record = ended(tmp_path, "blocking", "awaited")
    assert (harness.popen.returncode, record["status"]) == (1, "failed")
    assert record["reasons"] == ["exited with status 3 while starting"]
    assert "address already in use" in record["log_tail"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "SIGKILL"])
def test_a_doctor_that_is_ended_leaves_nothing(tmp_path: Path, temporary: Path, number: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    options = ("--app-dir", tmp_path, "--results", tmp_path / "results", "--run", "r")
    with Bench("doctor", "slow:app", "--measure-s", 20, *options) as harness:
        harness.wait_for(lambda: bool(list((tmp_path / "results").glob("r/*/*/*/1/counts.csv"))), "load")
        harness.descendants()
        harness.popen.send_signal(number)
        harness.popen.communicate(timeout=30)
        until(lambda: not harness.left(), f"nothing is left: {harness.left()}")
    assert harness.popen.returncode == (130 if number == signal.SIGINT else -9)
    assert bool(list(temporary.iterdir())) == (number == signal.SIGKILL)
    if number == signal.SIGKILL:  # what a killed one left is removed by the next
        done = bench("doctor", "nowhere:app", *options[:-1], "next")
        assert done.returncode == 2


SLOW = """
import asyncio
from fastapi import FastAPI
app = FastAPI()
@app.get("/slow")
async def slow() -> str:
    await asyncio.sleep(0.1)
    return "done"
"""


def test_what_a_killed_harness_left_is_removed_by_the_next(tmp_path: Path, temporary: Path) -> None:
    with loaded(tmp_path, "database", "asyncpg_pool") as harness:
        harness.popen.kill()
        harness.popen.wait()
        until(lambda: not harness.left(), "nothing runs any more")
        assert list(temporary.iterdir())
    assert not list((tmp_path / "r").glob("database/*/*/*/trial.json"))
    assert bench("doctor", "nowhere:app", "--run", "next", "--results", tmp_path).returncode == 2


def test_a_worker_of_the_web_uis_locust_that_is_killed(tmp_path: Path) -> None:
    import httpx

    with Bench("web", "blocking", "--processes", 2, "--results", tmp_path) as harness:
        assert harness.popen.stdout is not None
        url = harness.popen.stdout.readline().split()[0]
        with httpx.Client(base_url=url, timeout=120) as client:
            form = {"variant": "blocking/awaited", "user_count": 4, "spawn_rate": 10, "run_time": "60"}
            assert client.post("/swarm", data=form).json()["success"]
            harness.wait_for(lambda: client.get("/bench/state").json()["phase"] == "measuring", "load")
            _, *workers = find(harness, "-m locust")
            workers[-1].kill()
            assert client.post("/stop").json()["success"]
            harness.wait_for(lambda: client.get("/bench/state").json()["phase"] == "", "its end")
            (row,) = client.get("/bench/state").json()["runs"]
            assert row["status"] in ("failed", "invalid"), row
            assert row["reasons"]
        harness.signal_group(signal.SIGINT)
        harness.popen.communicate(timeout=30)
        until(lambda: not harness.left(), f"nothing is left: {harness.left()}")


def test_every_row_of_the_table_names_a_test_that_exists() -> None:
    """docs/reliability.md: fault, command, what happens, test."""
    rows = [line for line in (ROOT / "docs" / "reliability.md").read_text().splitlines() if line.startswith("| ")]
    named = [row.rsplit("|", 2)[1].strip() for row in rows if not row.startswith("| fault |")]
    assert len(named) >= 40
    for each in named:
        for place in each.replace("`", "").split(", "):
            file, _, test = place.partition("::")
            source = next((ROOT / "tests").glob(f"*/{file}.py"), None)
            assert source is not None, each
            assert f"def {test.partition('[')[0]}(" in source.read_text(), each
