"""Locust's end of the line to the harness (bench/web/line.py): JSON, one message a line, over loopback."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

ADDRESS = "BENCH_WEB_LINE"
"""``port:token``, in the environment: a command line can be read by everybody."""


class LocustChannel:
    """Connects and says the token; ``greeting`` is what the harness answers."""

    def __init__(self) -> None:
        port, _, token = os.environ.pop(ADDRESS).partition(":")
        self._socket = socket.create_connection(("127.0.0.1", int(port)))
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._socket.sendall(f"{token}\n".encode())
        self.greeting: dict[str, Any] = json.loads(self._lines.readline())

    def say(self, **message: Any) -> None:
        """Send a message."""
        self._socket.sendall(json.dumps(message, allow_nan=False).encode() + b"\n")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What the harness says, until it has gone."""
        for line in self._lines:
            yield json.loads(line)

    def close(self) -> None:
        """Hang up, in this process alone."""
        self._lines.close()
        self._socket.close()
