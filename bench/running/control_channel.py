"""The harness's end of its one connection to Locust: a socket pair that only Locust inherits.

    with ControlChannel() as channel:
        locust = start_program(Program([..., "--control-fd", str(channel.fd)], ..., pass_fds=(channel.fd,)))
        channel.handed_over()
        channel.send(RunTurns(...))
        message = channel.receive(timeout_s=1.0)

Messages are JSON lines (bench/results/control_messages.py). Nothing listens, so no other process can connect.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from bench.results.control_messages import (
    MAX_LINE_BYTES,
    BadMessage,
    LoadFailed,
    ToHarness,
    ToLocust,
    decode,
    encode,
)

READ_BYTES = 65_536


class ControlChannel:
    """Sends messages to Locust and receives its answers. ``send`` may be called from any thread, ``receive`` from one."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._received = b""
        self._ended = False
        self._sending = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def fd(self) -> int:
        """Number of the descriptor that Locust inherits."""
        return self._theirs.fileno()

    @property
    def ended(self) -> bool:
        """Whether Locust has closed its end and every message was received."""
        return self._ended

    def handed_over(self) -> None:
        """Close our copy of Locust's end, once Locust has started. From then on its end closes when Locust ends."""
        self._theirs.close()

    def send(self, message: ToLocust) -> None:
        """Send a message. Does nothing when Locust has ended."""
        with self._sending, suppress(OSError):
            self._ours.sendall(encode(message))

    def receive(self, timeout_s: float) -> ToHarness | None:
        """The next message, or None when none arrives within ``timeout_s``.

        A line that is no message for the harness is a LoadFailed that says so.
        """
        deadline_s = time.monotonic() + timeout_s
        while b"\n" not in self._received:
            left_s = max(0.0, deadline_s - time.monotonic())
            if self._ended or not select.select([self._ours], [], [], left_s)[0]:
                return None
            self._read()
        line, _, self._received = self._received.partition(b"\n")
        try:
            message = decode(line)
        except BadMessage as error:
            return LoadFailed(f"Locust sent a message that cannot be read: {error}")
        if isinstance(message, ToHarness):
            return message
        return LoadFailed(f"Locust sent {message.kind}, which is not for the harness")

    def close(self) -> None:
        """Close both ends. Idempotent."""
        self._ours.close()
        self._theirs.close()

    def _read(self) -> None:
        try:
            part = self._ours.recv(READ_BYTES)
        except OSError:
            part = b""
        self._ended = not part or len(self._received) > MAX_LINE_BYTES
        self._received += part
