"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path

MIN_PORT = 15_000
"""Lowest port that is offered. Databases and development servers use ports below it."""

EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

DEFAULT_EPHEMERAL_RANGE = (32_768, 65_535)
"""Used where that file does not exist. It covers the defaults of Linux and of macOS (49152 to 65535)."""

MAX_TRIES = 200
"""How many ports are tried. Rarely is more than one in a hundred in use."""


class PortAllocator:
    """Gives each port out once in this process, since a server binds its port only later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: set[int] = set()
        self._random = random.SystemRandom()  # not seeded: two runs with the same seed may run at the same time

    def take(self, candidates: range) -> int | None:
        """A port of ``candidates`` that can be bound, or None."""
        with self._lock:
            for _ in range(MAX_TRIES if candidates else 0):
                port = self._random.choice(candidates)
                if port not in self._given and _can_bind(port):
                    self._given.add(port)
                    return port
        return None


_allocator = PortAllocator()


def free_port() -> int:
    """A free TCP port on the loopback interface.

    It lies outside the kernel's ephemeral range, since an outgoing connection could take a port of that range before
    the server binds it, and a load test makes many connections. Only where no port outside is free does the kernel
    choose one inside.
    """
    first, last = ephemeral_range()
    for candidates in (range(MIN_PORT, first), range(max(last + 1, MIN_PORT), 65_536)):
        if (port := _allocator.take(candidates)) is not None:
            return port
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def ephemeral_range() -> tuple[int, int]:
    """First and last port that the kernel gives to outgoing connections."""
    try:
        first, last = EPHEMERAL_RANGE.read_text().split()
        return int(first), int(last)
    except (OSError, ValueError):
        return DEFAULT_EPHEMERAL_RANGE


def _can_bind(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
