"""The harness's end of the line to Locust: JSON, one message a line, over loopback (desk.py has the conversation).

    with HarnessChannel({"choices": ...}) as line:
        start(locust, env={**environment, **line.address})
        message = line.next(timeout_s=1.0)
        line.say(event="load", ...)

Whoever connects must say the token first, which only Locust's environment holds.
"""

from __future__ import annotations

import hmac
import json
import queue
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

ADDRESS = "BENCH_WEB_LINE"
TOKEN_WITHIN_S = 5.0
GONE_WITHIN_S = 2.0
"""Not every system wakes a thread that waits for a connection; it is a daemon, and ends with the process."""


class HarnessChannel:
    """Listens from a thread of its own; ``heard`` is called there with each message before it is queued."""

    def __init__(self, greeting: Mapping[str, Any], heard: Callable[[dict[str, Any]], None]) -> None:
        self._greeting = greeting
        self._heard = heard
        self._token = secrets.token_urlsafe(32)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._peer: socket.socket | None = None
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, name="line", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in (self._listening, self._peer):
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        self._thread.join(GONE_WITHIN_S)

    @property
    def address(self) -> dict[str, str]:
        """The environment variable from which Locust knows where to connect, and with which token."""
        return {ADDRESS: f"{self._listening.getsockname()[1]}:{self._token}"}

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message, or None when there is none within ``timeout_s``."""
        try:
            return self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def say(self, **message: Any) -> None:
        """Send a message; to nobody where Locust is not (any more) there."""
        if self._peer is not None:
            with suppress(OSError):
                self._peer.sendall(_encoded(message))

    def _listen(self) -> None:
        with suppress(OSError):  # closed under our hands: the end
            while True:
                peer, _ = self._listening.accept()
                self._converse(peer)

    def _converse(self, peer: socket.socket) -> None:
        with peer, peer.makefile("r", encoding="utf-8", errors="replace") as lines:
            peer.settimeout(TOKEN_WITHIN_S)
            if not hmac.compare_digest(lines.readline(200).strip().encode(), self._token.encode()):
                return
            peer.settimeout(None)
            peer.sendall(_encoded(self._greeting))
            self._peer = peer
            for line in lines:
                message = json.loads(line)
                self._heard(message)
                self._messages.put(message)


def _encoded(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, allow_nan=False).encode() + b"\n"
