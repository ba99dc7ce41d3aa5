"""The services: real servers, the same state every round, nothing left behind, and failures that are reported."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import pytest
import redis
from harness import ROOT, Bench, bench, lives, trial, trial_folder, until
from measuring import undisturbed

from bench.running.log_tail import tail
from bench.running.services import Services, postgres, valkey

NAMES = ("postgres", "upstream", "valkey")
SHORT = ("--profile", "quick", "--measure-s", "0.5")
MAX_UPSTREAM_CPU_S = 0.00025
"""A FastAPI worker spends more than this on an empty request, so one upstream does not slow several of them down."""


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("async-bench-*"))


def below(services: Services) -> set[psutil.Process]:
    """All processes of the services, supervisors included."""
    supervisors = [psutil.Process(process.supervisor_pid) for process in services.processes]
    return {process for each in supervisors for process in (each, *each.children(recursive=True))}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # after pytest has made its own
    """A temporary folder for the test alone, which ``nobody`` can read. Services of other tests are then not counted."""
    with tempfile.TemporaryDirectory(prefix="async-test-") as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield
        assert folders() == set()


@pytest.fixture(autouse=True)
def servers_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variables of the user's shell, which lead nowhere here. What uses them fails."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")


@pytest.fixture
def one_postgres(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that takes the place of the user's own."""
    server = postgres.Postgres(tmp_path, None)
    server.start()
    yield server._url
    server.stop()


@pytest.fixture
def one_valkey(tmp_path: Path) -> Iterator[str]:
    server = valkey.Valkey(tmp_path, None)
    yield server.start().environment["REDIS_URL"]
    server.stop()


def query(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


# Started, seeded, reset, ended


def test_services_start_with_the_first_reset_and_leave_nothing(tmp_path: Path) -> None:
    with Services(NAMES, tmp_path) as services:
        assert services.environment == {}
        services.reset()
        assert services.failure() is None
        assert {"DATABASE_URL", "REDIS_URL", "UPSTREAM_URL"} <= set(services.environment)
        made, running = folders(), below(services)
        assert len(made) == 2
        assert len(running) > 8
    assert not any(lives(process) for process in running)
    assert not any(folder.exists() for folder in made)


def test_nobody_else_can_use_the_servers(tmp_path: Path) -> None:
    """Without the password no connection gets anything, and the password stands where only the server's user can read."""
    with Services(("postgres", "valkey"), tmp_path) as services:
        services.reset()
        assert services.failure() is None
        addresses = {name: urlsplit(services.environment[name]) for name in ("DATABASE_URL", "REDIS_URL")}
        database, store = addresses["DATABASE_URL"], addresses["REDIS_URL"]
        for password in ("", ":wrong"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                query(f"postgresql://postgres{password}@127.0.0.1:{database.port}/postgres", "SELECT 1")
            with (
                pytest.raises(redis.RedisError, match=r"(?i)auth|password"),
                redis.Redis.from_url(f"redis://{password}@127.0.0.1:{store.port}/0") as client,
            ):
                client.ping()
        passwords = [address.password for address in addresses.values()]
        assert len(set(passwords)) == 2
        for process in below(services):
            with suppress(psutil.NoSuchProcess):
                seen = " ".join(process.cmdline()) + " ".join(process.environ().values())
                if process.name() in ("postgres", "valkey-server"):
                    assert not [word for word in passwords if word and word in seen]
        for folder in folders():
            assert stat.S_IMODE((folder / "server").stat().st_mode) == 0o700
            assert stat.S_IMODE((folder / "server" / "private").stat().st_mode) == 0o600


def test_postgres_is_put_back_to_the_same_rows(tmp_path: Path) -> None:
    sums = (
        "SELECT (SELECT count(*) FROM books), (SELECT sum(book_id * copies) FROM sales), (SELECT count(*) FROM views)"
    )
    with Services(("postgres",), tmp_path) as services:
        services.reset()
        assert services.failure() is None
        url = services.environment["DATABASE_URL"]
        seeded = query(url, sums)
        assert seeded[0][0] == postgres.BOOKS
        query(
            url, "INSERT INTO views (book_id) VALUES (7); UPDATE sales SET copies = 9; DELETE FROM books WHERE id = 0"
        )
        assert query(url, sums) != seeded
        services.reset()
        assert query(url, sums) == seeded
        (name,) = query(url, "SHOW server_version")
        assert name[0].startswith("18")


def test_postgres_never_runs_as_root(tmp_path: Path) -> None:
    with Services(("postgres",), tmp_path) as services:
        services.reset()
        users = [user for process in below(services) if (user := _user_of(process, "postgres")) is not None]
        assert users
        assert 0 not in users


def _user_of(process: psutil.Process, name: str) -> int | None:
    """The effective user of a process called ``name``. None for any other, and for one that has just ended."""
    try:
        return int(process.uids().effective) if process.name() == name else None
    except psutil.NoSuchProcess:
        return None


def test_valkey_is_put_back_to_the_same_books(tmp_path: Path) -> None:
    with Services(("valkey",), tmp_path) as services:
        services.reset()
        with redis.Redis.from_url(services.environment["REDIS_URL"], decode_responses=True) as client:
            assert (client.dbsize(), client.get("book:7")) == (valkey.BOOKS, "Book 7")
            client.set("book:7", "spoilt")
            client.lpush("celery", "a job of the round before")
            services.reset()
            assert (client.dbsize(), client.get("book:7")) == (valkey.BOOKS, "Book 7")


def test_servers_report_their_versions(tmp_path: Path) -> None:
    with Services(NAMES, tmp_path) as services:
        assert services.versions == {}
        services.reset()
        assert services.versions["postgres"].startswith("18")
        assert services.versions["valkey"].startswith("valkey 9")
        assert "upstream" not in services.versions  # it has no version of its own


# The upstream


def test_the_upstream_answers_a_cover_and_nothing_else(tmp_path: Path) -> None:
    with Services(("upstream",), tmp_path) as services:
        services.reset()
        with httpx.Client(base_url=services.environment["UPSTREAM_URL"], trust_env=False) as client:
            assert (client.get("/cover").status_code, client.get("/cover").json()) == (200, {"cover": "blue"})
            assert client.get("/nonsense").status_code == 404


def test_the_upstream_is_never_the_bottleneck(tmp_path: Path) -> None:
    """Requests wait at the same time, and an answer costs less CPU than FastAPI's part of a request.

    300 requests are sent before the first answer comes. One after the other they would take 15 s.
    """
    with Services(("upstream",), tmp_path) as services:
        services.reset()
        (server,) = services.processes
        port = int(services.environment["UPSTREAM_URL"].rpartition(":")[2])
        process = psutil.Process(server.pid)
        spent_s = sum(process.cpu_times()[:2])
        sent, answered = asyncio.run(_ask_at_once(port, connections=300, times=10))
        spent_s = sum(process.cpu_times()[:2]) - spent_s
    assert sent == answered == 3_000
    assert spent_s / answered < MAX_UPSTREAM_CPU_S


async def _ask_at_once(port: int, connections: int, times: int) -> tuple[int, int]:
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    sent = answered = 0
    for _ in range(times):
        for _, writer in streams:
            writer.write(b"GET /cover HTTP/1.1\r\nHost: upstream\r\n\r\n")
            sent += 1
        for reader, _ in streams:
            head = await reader.readuntil(b"\r\n\r\n")
            answered += head.startswith(b"HTTP/1.1 200") and await reader.readexactly(16) == b'{"cover":"blue"}'
    for _, writer in streams:
        writer.close()
        await writer.wait_closed()
    return sent, answered


# External servers


def test_in_an_external_database_only_one_schema_comes_and_goes(tmp_path: Path, one_postgres: str) -> None:
    query(one_postgres, "CREATE TABLE books (id integer); INSERT INTO books VALUES (1), (2)")
    query(one_postgres, "CREATE SCHEMA async_bench; CREATE TABLE async_bench.precious ()")
    schemas = r"SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'async\_bench\_%'"
    with Services(("postgres",), tmp_path / "ours", external={"postgres": one_postgres}) as services:
        services.reset()
        assert services.failure() is None
        assert below(services) == set()
        assert query(services.environment["DATABASE_URL"], "SELECT count(*) FROM books") == [(postgres.BOOKS,)]
        assert query(one_postgres, schemas) == [(1,)]
        services.reset()
        assert query(one_postgres, schemas) == [(1,)]
    assert query(one_postgres, schemas) == [(0,)]
    assert query(one_postgres, "SELECT count(*) FROM books") == [(2,)]
    assert query(one_postgres, "SELECT count(*) FROM async_bench.precious") == [(0,)]


def test_a_schema_that_exists_is_never_touched(
    tmp_path: Path, one_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres.secrets, "token_hex", lambda _: "taken")
    query(one_postgres, "CREATE SCHEMA async_bench_taken; CREATE TABLE async_bench_taken.precious ()")
    with Services(("postgres",), tmp_path / "ours", external={"postgres": one_postgres}) as services:
        services.reset()
        failure = services.failure()
        assert failure is not None
        assert "already exists" in failure.reason
    assert query(one_postgres, "SELECT count(*) FROM async_bench_taken.precious") == [(0,)]


def test_in_an_external_valkey_only_an_empty_database_is_used(tmp_path: Path, one_valkey: str) -> None:
    base = one_valkey.rpartition("/")[0]
    external = {"valkey": base}
    with redis.Redis.from_url(f"{base}/0") as first, redis.Redis.from_url(f"{base}/15") as last:
        first.set("precious", 1)
        with Services(("valkey",), tmp_path / "ours", external=external) as services:
            services.reset()
            assert services.environment["REDIS_URL"].endswith("/15")
            assert last.dbsize() == valkey.BOOKS + 1  # and the mark
            services.reset()
            assert last.dbsize() == valkey.BOOKS + 1
        assert (first.get("precious"), last.dbsize()) == (b"1", 0)
        with Services(("valkey",), tmp_path / "ours", external={"valkey": f"{base}/3"}) as services:
            services.reset()
            assert services.environment["REDIS_URL"].endswith("/3")
        last.set("precious", 2)
        with Services(("valkey",), tmp_path / "ours", external=external) as services:
            services.reset()
            failure = services.failure()
            assert failure is not None
            assert "is not empty" in failure.reason
        assert last.get("precious") == b"2"


def test_a_database_that_somebody_else_began_to_use_is_not_emptied(
    tmp_path: Path, one_valkey: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Services(("valkey",), tmp_path / "ours", external={"valkey": one_valkey}) as services:
        services.reset()
        with redis.Redis.from_url(one_valkey) as client:
            client.set(valkey.MARK, "another harness")
            client.set("precious", 1)
            services.reset()
            failure = services.failure()
            assert failure is not None
            assert "is used by somebody else" in failure.reason
    assert "is used by somebody else" in capsys.readouterr().err
    with redis.Redis.from_url(one_valkey) as client:
        assert client.get("precious") == b"1"


# What goes wrong


def is_first_postgres(process: psutil.Process) -> bool:
    """Whether it is PostgreSQL's first process, which starts the others. A process that has just ended is none."""
    try:
        return process.name() == "postgres" and psutil.Process(process.ppid()).name() != "postgres"
    except psutil.NoSuchProcess:
        return False


def test_a_service_that_dies_is_a_failure_until_the_next_reset(tmp_path: Path) -> None:
    with Services(("postgres",), tmp_path) as services:
        services.reset()
        (server,) = (each for each in below(services) if is_first_postgres(each))
        server.kill()
        until(lambda: services.failure() is not None, "its death is noticed")
        failure = services.failure()
        assert failure is not None
        assert "the service postgres ended with status 137" in failure.reason
        assert tail(failure.log)
        services.reset()
        assert services.failure() is None
        assert query(services.environment["DATABASE_URL"], "SELECT 1") == [(1,)]
    assert folders() == set()


def test_a_service_that_is_not_installed_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "PROGRAMS", "nowhere")
    with Services(("postgres",), tmp_path) as services:
        services.reset()
        failure = services.failure()
        assert failure is not None
        assert "is not installed" in failure.reason


def test_a_service_that_does_not_start_is_a_failure_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres.SETTINGS, "shared_buffers", "plenty")
    with Services(("postgres",), tmp_path) as services:
        services.reset()
        failure = services.failure()
        assert failure is not None
        assert failure.reason == "the service postgres ended with status 1 while starting"
        assert 'invalid value for parameter "shared_buffers"' in tail(failure.log)


def test_an_external_server_that_went_away_is_reported(
    tmp_path: Path, one_valkey: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Services(("valkey",), tmp_path / "ours", external={"valkey": one_valkey}) as services:
        services.reset()
        with redis.Redis.from_url(one_valkey) as client:
            client.shutdown(nosave=True, now=True)
    assert "the service valkey could not be emptied" in capsys.readouterr().err


def test_without_the_service_every_trial_fails_and_the_next_scenario_goes_on(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://nobody:s3cret-word@127.0.0.1:{closed.getsockname()[1]}/none"
        options = ("--profile", "quick", "--run", "r", "--results", tmp_path)
        ran = bench("bench", "database", "--database-url", url, *options)
    assert ran.returncode == 1, ran.stderr
    for name in ("asyncpg_pool", "psycopg_in_async_def"):
        found = trial(tmp_path / "r", "database", name)
        assert found["status"] == "failed"
        assert "the service postgres could not be prepared" in found["reasons"][0]
    written = "".join(path.read_text(errors="replace") for path in (tmp_path / "r").rglob("*") if path.is_file())
    assert "s3cret-word" not in written
    assert "--database-url …" in json.loads((tmp_path / "r" / "run.json").read_text())["command"].replace("'", "")
    numbers = itertools.count()

    def measure() -> dict[str, Any]:
        name = f"trivial-{next(numbers)}"
        bench("bench", "trivial", "--variant", "plain_def", *SHORT, "--run", name, "--results", tmp_path)
        return trial(tmp_path / name, "trivial", "plain_def")

    measured = undisturbed(measure, lambda found: found["reasons"], "test_services")
    assert (measured["status"], measured["reasons"]) == ("ok", [])


def test_a_service_that_dies_under_load_fails_the_trial_with_its_log(tmp_path: Path) -> None:
    arguments = ("bench", "database", "--variant", "asyncpg_pool", "--rounds", "1", "--measure-s", "20")
    with Bench(*arguments, "--run", "r", "--results", tmp_path) as started:
        counts = tmp_path / "r" / "database" / "asyncpg_pool" / "users-16" / "1" / "counts.csv"
        started.wait_for(lambda: counts.is_file() and len(counts.read_text().splitlines()) > 1, "load")
        (server,) = (
            process
            for process in started.descendants()
            if lives(process) and process.name() == "postgres" and psutil.Process(process.ppid()).name() != "postgres"
        )
        server.kill()
        started.popen.communicate(timeout=60)
        assert started.popen.returncode == 1
        found = trial(tmp_path / "r", "database", "asyncpg_pool")
        assert found["status"] == "failed"
        assert "the service postgres ended" in found["reasons"][0]
        assert "database system is ready" in found["log_tail"]
        until(lambda: not started.left(), "no process is left")
    assert folders() == set()


@pytest.mark.parametrize("chosen", ["database asyncpg_pool", "jobs dramatiq", "cpu process_pool"])
def test_a_run_leaves_no_process_and_no_temporary_folder(tmp_path: Path, chosen: str) -> None:
    """The autouse fixture's folder is the temporary one of everything that is started here."""
    scenario, variant = chosen.split()
    place = Path(tempfile.gettempdir())
    numbers = itertools.count()

    def measure() -> tuple[int, dict[str, Any]]:
        name = f"run-{next(numbers)}"
        arguments = ("bench", scenario, "--variant", variant, *SHORT, "--run", name, "--results", tmp_path)
        with Bench(*arguments) as started:
            started.wait_for(lambda: any(place.iterdir()) and len(started.descendants()) > 2, "its servers")
            started.popen.communicate(timeout=90)
            until(lambda: not started.left(), "no process is left")
        assert list(place.iterdir()) == []
        log = trial_folder(tmp_path / name, scenario, variant) / "server.log"
        assert "Traceback" not in log.read_text()
        return started.popen.returncode, trial(tmp_path / name, scenario, variant)

    status, measured = undisturbed(measure, lambda found: found[1]["reasons"], "test_services")
    assert (status, measured["status"], measured["reasons"]) == (0, "ok", [])


HOLDS = """
import sys, time
from pathlib import Path
from bench.running.services import Services
services = Services(("postgres", "upstream", "valkey"), Path(sys.argv[1]))
services.reset()
print("failed" if services.failure() else "up", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_no_process_and_no_folder_outlives_the_harness(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        running = psutil.Process(holder.pid).children(recursive=True)
        assert len(running) > 8
        made = folders()
        assert len(made) == 2
        holder.send_signal(number)
        holder.wait()
    until(lambda: not any(lives(process) for process in running), "no process is left")
    until(lambda: not any(folder.exists() for folder in made), "no folder is left")
