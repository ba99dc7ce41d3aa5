"""Locust's end of its one connection to the harness (bench/running/control_channel.py): messages as JSON lines.

Locust inherits the descriptor and gets its number by ``--control-fd``. Only the process that leads the load speaks
here: the master, or the only process.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

from gevent import socket as gevent_socket
from gevent.lock import RLock

from bench.results.control_messages import (
    ToHarness,
    ToLocust,
    decode,
    encode,
)


class HarnessChannel:
    """Iterate over it for the harness's messages; a greenlet that waits here blocks no other."""

    def __init__(self, fd: int) -> None:
        self._socket = gevent_socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)
        self._socket.set_inheritable(False)  # no program that Locust starts may keep the connection open
        self._lines = self._socket.makefile("rb")
        self._sending = RLock()

    def __iter__(self) -> Iterator[ToLocust]:
        """Messages until the harness closes its end. BadMessage, or ValueError, for one that is not for Locust."""
        for line in self._lines:
            message = decode(line)
            if not isinstance(message, ToLocust):
                raise ValueError(f"the harness sent {message.kind}, which is not for Locust")
            yield message

    def next(self) -> ToLocust:
        """The next message. EOFError when the harness has closed its end."""
        for message in self:
            return message
        raise EOFError("the harness has closed the control channel")

    def send(self, message: ToHarness) -> None:
        """Send a message. Does nothing when the harness has closed its end."""
        with self._sending, suppress(OSError):
            self._socket.sendall(encode(message))

    def close(self) -> None:
        """Close this end. Idempotent."""
        self._lines.close()
        self._socket.close()
