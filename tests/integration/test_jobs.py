"""Jobs end to end: submitted, polled for, counted as done or as backlog, by real workers."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness import bench, trial
from measuring import undisturbed

VARIANTS = ("inline", "background_tasks", "process_pool", "celery", "rq", "dramatiq")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every variant at a rate that one core can bear."""
    results = tmp_path_factory.mktemp("results")
    options = ("--rounds", "1", "--measure-s", "2", "--rate", "5", "--results", results)
    numbers = itertools.count()

    def measure() -> tuple[Path, subprocess.CompletedProcess[str]]:
        name = f"r{next(numbers)}"
        return results / name, bench("bench", "jobs", *options, "--run", name, timeout_s=240)

    def said(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> list[str]:
        return [reason for name in VARIANTS for reason in trial(measured[0], "jobs", name)["reasons"]]

    run, ran = undisturbed(measure, said, "test_jobs")
    assert ran.returncode == 0, ran.stderr
    return run


def endpoints(run: Path, variant: str) -> dict[str, Any]:
    found: dict[str, Any] = trial(run, "jobs", variant)["facts"]["endpoints"]
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_jobs_are_accepted_and_done(run: Path, variant: str) -> None:
    assert trial(run, "jobs", variant)["reasons"] == []
    found = endpoints(run, variant)
    assert set(found) == {"GET /health", "GET /jobs/{id}", "POST /jobs", "job done"}
    assert found["POST /jobs"]["started"] == pytest.approx(10, abs=1)
    assert found["job done"]["finished"] > 0
    assert all(facts["failed"] == 0 for facts in found.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_was_accepted_is_done_or_left(run: Path, variant: str) -> None:
    """Little's law on jobs, not on requests: each is in flight from its submission until a poll finds it done."""
    done = endpoints(run, variant)["job done"]
    carried_in = done["finished"] + done["unfinished"] - done["started"]
    assert carried_in >= 0
    assert done["in_flight_mean"] > 0
    assert done["response_p50_ms"] is None or done["response_p50_ms"] >= 200


def test_the_workers_logs_are_kept(run: Path) -> None:
    logs = {path.name for path in run.glob("jobs/*/*/1/*-worker.log")}
    assert logs == {"celery-worker.log", "rq-worker.log", "dramatiq-worker.log"}


def test_users_who_loop_are_refused(tmp_path: Path) -> None:
    ran = bench("bench", "jobs", "--users", "5", "--results", tmp_path)
    assert ran.returncode == 2
    assert "--rate" in ran.stderr
