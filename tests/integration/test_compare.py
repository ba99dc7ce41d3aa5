"""A user's own apps as a scenario: two revisions against each other, users of one's own, and a server that runs."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Bench, bench, reasons, trial
from measuring import undisturbed

from bench.compare.revisions import apps_at
from bench.model import AppSource
from bench.running.ports import free_port
from bench.running.processes import Process, start
from bench.running.readiness import wait_until_ready

APP = """import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/report")
{keyword}def report() -> str:
    time.sleep(0.02)
    return "done"


@app.get("/ping")
async def ping() -> str:
    return "pong"
"""
USERS = """from locust import FastHttpUser, constant, task


class Reader(FastHttpUser):
    wait_time = constant(0.01)

    @task
    def read(self) -> None:
        self.client.get("/report")
"""


def git(folder: Path, *words: str) -> str:
    settings = ("user.name=a", "user.email=a@b.c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *(word for each in settings for word in ("-c", each)), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose latest commit deletes one ``async``."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q", "-b", "main")
    for keyword, tag in (("async ", "before"), ("", "after")):
        (folder / "backend").mkdir(exist_ok=True)
        (folder / "backend" / "shop.py").write_text(APP.format(keyword=keyword))
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", tag)
        git(folder, "tag", tag)
    return folder


OWN = ("bench", "--app", "shop:app", "--path", "/report", "--users", 8, "--measure-s", 1, "--seed", 3, "--run", "r")


def test_a_revision_that_lost_against_the_first_fails_the_check(repository: Path, tmp_path: Path) -> None:
    revisions = ("--rev", "after", "--rev", "before", "--rounds", 3, "--check")
    numbers = itertools.count()

    def measure() -> tuple[Path, subprocess.CompletedProcess[str]]:
        results = tmp_path / str(next(numbers))
        options = ("--app-dir", repository / "backend", *revisions, "--results", results)
        return results / "r", bench(*OWN, *options, timeout_s=240)

    def said(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> list[str]:
        trials = [trial(measured[0], "own", name, number) for name in ("after", "before") for number in (1, 2, 3)]
        return [reason for each in trials for reason in each["reasons"]]

    run, done = undisturbed(measure, said, "test_compare")
    assert said((run, done)) == []
    assert done.returncode == 1, done.stderr
    assert "before_no_fewer,refuted" in (run / "claims.csv").read_text()
    assert "slower" in done.stdout
    variants = json.loads((run / "run.json").read_text())["scenarios"]["own"]["variants"]
    assert ["async def report" in variant["source"] for variant in variants] == [False, True]
    assert git(repository, "worktree", "list").count("\n") == 1
    assert git(repository, "status", "--porcelain") == ""


def test_users_of_ones_own_are_measured(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "users.py").write_text(USERS)
    ours = ("--locustfile", "users.py", "--invoked-from", tmp_path, "--app-dir", repository / "backend", "--rounds", 1)
    done = bench(*OWN, *ours, "--results", tmp_path)
    found = trial(tmp_path / "r", "own", "shop")
    assert reasons(found) == [], done.stderr
    assert found["facts"]["endpoints"]["GET /report"]["finished"] > 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--rev nowhere", ["'nowhere'", "not a revision"]),
        ("--rev main --app other:app", ["--rev", "one --app"]),
        ("--app shop:app", ["shop:app", "twice"]),
        ("--path report", ["begins with '/'"]),
        ("--path /health", ["--path /health", "choose another"]),
        ("--path /nowhere", ["/nowhere", "404"]),
        ("--locustfile nowhere.py", ["--locustfile", "nowhere.py"]),
        ("--rev=--help", ["'--help'", "not a revision"]),
    ],
)
def test_what_cannot_be_compared_ends_as_one_line(
    repository: Path, tmp_path: Path, arguments: str, says: list[str]
) -> None:
    here = ("--invoked-from", repository / "backend", "--results", tmp_path / "results")
    with Bench(*OWN, *arguments.split(), *here) as started:
        out, err = started.popen.communicate(timeout=120)
        assert started.left() == []
    assert (started.popen.returncode, out, err.count("\n")) == (2, "", 1), err
    assert [word for word in says if word not in err] == [], err
    assert git(repository, "worktree", "list").count("\n") == 1


@pytest.mark.parametrize(
    "revision", ["before", "main~1", ":/before", "annotated", "feature/a-b", "HEAD^{/bef}", "@{0}", "main@{0}"]
)
def test_the_users_repository_is_only_read(repository: Path, revision: str) -> None:
    """No hook runs, and no file of it changes, whatever the revision is called."""
    git(repository, "tag", "-f", "-a", "annotated", "-m", "a tag", "before")
    git(repository, "branch", "-f", "feature/a-b", "before")
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc", "fsmonitor-watchman"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {repository}/hook-ran-{name}\n")
        (hooks / name).chmod(0o755)
    before = contents(repository)
    app = AppSource("shop:app", str(repository / "backend"))
    with apps_at(app, (revision,)) as apps:
        (found,) = apps.values()
        assert "report" in (Path(found.folder) / "shop.py").read_text()
        assert not Path(found.folder).is_relative_to(repository)
        assert contents(repository) == before
    assert contents(repository) == before
    assert not Path(found.folder).exists()


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time of the last change and content of every file."""
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


# A server that runs already


@pytest.fixture
def running(repository: Path, tmp_path: Path) -> Iterator[tuple[Process, str]]:
    git(repository, "checkout", "-q", "before")
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "shop:app", "--port", str(port)]
    with start(command, name="server", log=tmp_path / "server.log", cwd=repository / "backend") as process:
        url = f"http://127.0.0.1:{port}"
        assert wait_until_ready({"server": (process, f"{url}/ping")}, 30)["server"] is None
        yield process, url


def test_a_server_that_runs_is_measured_without_a_probe_and_left_alone(
    running: tuple[Process, str], tmp_path: Path
) -> None:
    process, url = running
    done = bench("doctor", "--url", url, "--measure-s", 1.5, "--run", "r", "--results", tmp_path)
    content = json.loads((tmp_path / "r" / "doctor.json").read_text())
    blocked, fine = content["endpoints"]
    assert (blocked["endpoint"], fine["endpoint"]) == ("GET /report", "GET /ping")
    assert blocked["health_p50_ms"] > 20, done.stdout
    assert [each["category"] for each in content["endpoints"]] == ["", ""]
    assert content["findings"] == []
    assert "not known without the probe" in content["headline"]
    assert "The server ran without the probe" in (tmp_path / "r" / "index.html").read_text()
    assert process.poll() is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--url https://example.com", ["http://127.0.0.1:9000"]),
        ("--url http://127.0.0.1:1/path", ["plain address"]),
        ("--url http://127.0.0.1:1", ["openapi.json", "refused"]),
        ("--url http://127.0.0.1:1 --fail-on loop-blocked", ["--url", "--fail-on"]),
        ("--url http://127.0.0.1:1 shop:app", ["--url", "MODULE:APP"]),
        ("", ["MODULE:ATTRIBUTE", "--url"]),
    ],
)
def test_an_address_that_cannot_be_measured_ends_as_one_line(tmp_path: Path, arguments: str, says: list[str]) -> None:
    done = bench("doctor", *arguments.split(), "--results", tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert [word for word in says if word not in done.stderr] == [], done.stderr
