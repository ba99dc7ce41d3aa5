"""One keep-alive HTTP/1.1 connection driven by hub callbacks: no greenlet switch from an answer to the next request.

At most one request is in flight. A request on a connection that the server had already closed (end of file or a reset
before the first byte of an answer, on a connection that has served before) is sent once more on a new connection if
its method is safe to repeat, and counted as a reconnect. Browsers and Go's client do the same (RFC 9110, section 9.2.2).

An answer must have a Content-Length, chunks, or a status without a body. An answer that ends with the connection
(as in HTTP/1.0) counts as closed, since it looks the same as one that was cut short.
"""

from __future__ import annotations

import errno
import socket as socket_names
import traceback
from time import perf_counter
from typing import Any, Protocol

import httptools
from gevent import get_hub, monkey

READ, WRITE = 1, 2
_RECEIVE_BYTES = 65536
_socket = monkey.get_original("socket", "socket")

_CAUSE_OF_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.ETIMEDOUT: "timeout",
}


class ConnectionOwner(Protocol):
    """Receives the outcome of each request. Called from hub callbacks, so it must not block."""

    def answered(self, connection: Connection, status: int, done_s: float) -> None:
        """The whole answer has come."""

    def failed(self, connection: Connection, cause: str, detail: str, done_s: float) -> None:
        """No whole answer will come; ``cause`` is one of CAUSES."""

    def reconnected(self, connection: Connection) -> None:
        """The server had closed the connection between requests; a new one is being made."""

    def crashed(self, connection: Connection, detail: str) -> None:
        """The owner's own code raised an exception; nothing is in flight."""


class Connection:
    """A connection to ``address`` (host, port), opened with the first request and again whenever it is needed."""

    __slots__ = (
        "_address",
        "_answer_begun",
        "_began",
        "_complete",
        "_had_closed",
        "_keep_alive",
        "_loop",
        "_owner",
        "_parser",
        "_payload",
        "_reader",
        "_recv",
        "_repeatable",
        "_rest",
        "_send",
        "_served",
        "_sock",
        "_status",
        "_writer",
        "context",
        "in_flight",
        "intended_s",
        "sent_s",
    )

    def __init__(self, address: tuple[str, int], owner: ConnectionOwner) -> None:
        self._address = address
        self._owner = owner
        self._loop = get_hub().loop
        self._sock: Any = None
        self._reader: Any = None
        self._writer: Any = None
        self._parser: Any = None
        self._payload = b""
        self._rest = b""
        self._repeatable = False
        self._served = 0
        self._had_closed = False
        self._keep_alive = False
        self._answer_begun = False
        self._began = 0
        self._complete = 0
        self._status = 0
        self.in_flight = False
        self.intended_s = 0.0
        self.sent_s = 0.0
        self.context: Any = None
        """For the owner: what the request in flight is about."""

    def request(self, payload: bytes, repeatable: bool, intended_s: float | None = None) -> None:
        """Send ``payload``, a whole HTTP request. ``intended_s`` is its intended start, by default now.

        Never raises: the owner gets every failure, perhaps before this returns.
        """
        self.sent_s = perf_counter()
        self.intended_s = self.sent_s if intended_s is None else intended_s
        self.in_flight = True
        self._payload = payload
        self._repeatable = repeatable
        try:
            if self._sock is not None:
                self._transmit(payload)
                return
            if self._had_closed:
                self._had_closed = False
                self._owner.reconnected(self)
            self._connect()
        except Exception:
            self._crashed()

    def close(self) -> None:
        """Close the connection, whatever is in flight. The next request opens it again."""
        self.in_flight = False
        self._disconnect()

    # Called by httptools

    def on_message_begin(self) -> None:
        self._began += 1

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer (100, 103): the answer itself is still to come
            self._began -= 1
            return
        self._complete += 1
        if self._complete == 1:
            self._status = status
            self._keep_alive = self._parser.should_keep_alive()  # the parser forgets it with the next call

    # Hub callbacks

    def _readable(self) -> None:
        try:
            try:
                data = self._recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._lost(_cause(error), str(error))
                return
            now_s = perf_counter()
            if not data:
                self._lost("closed", "closed before the answer was whole")
                return
            if not self.in_flight:
                self._disconnect()  # bytes without a request: this connection cannot be trusted any more
                self._had_closed = True
                return
            self._answer_begun = True
            clean = True
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                if not self._complete:
                    self._fail("malformed", f"{type(error).__name__}: {error}")
                    return
                clean = False
            if self._complete:
                self._finish(now_s, clean)
        except Exception:  # gevent would silently end this watcher, while its user still counts as running
            self._crashed()

    def _finish(self, now_s: float, clean: bool) -> None:
        # Leftovers after the answer, or an answer that overtook its request, would be taken for the next one's.
        if clean and self._complete == self._began == 1 and self._writer is None and self._keep_alive:
            self._served += 1
            self._complete = self._began = 0
            self._answer_begun = False
        else:
            self._disconnect()
            self._had_closed = True
        self.in_flight = False
        self._owner.answered(self, self._status, now_s)

    def _connected(self) -> None:
        try:
            self._stop_writer()
            if error := self._sock.getsockopt(socket_names.SOL_SOCKET, socket_names.SO_ERROR):
                self._fail(_CAUSE_OF_ERRNO.get(error, "other"), errno.errorcode.get(error, str(error)))
                return
            self._reader = self._loop.io(self._sock.fileno(), READ)
            self._reader.start(self._readable)
            self._transmit(self._payload)
        except Exception:
            self._crashed()

    def _writable(self) -> None:
        try:
            self._stop_writer()
            self._transmit(self._rest)
        except Exception:
            self._crashed()

    # Steps

    def _connect(self) -> None:
        try:
            sock = _socket(socket_names.AF_INET6 if ":" in self._address[0] else socket_names.AF_INET)
        except OSError as error:  # no more open files
            self._fail(_cause(error), str(error))
            return
        sock.setblocking(False)
        sock.setsockopt(socket_names.IPPROTO_TCP, socket_names.TCP_NODELAY, 1)
        self._sock = sock
        self._recv = sock.recv
        self._send = sock.send
        self._parser = httptools.HttpResponseParser(self)
        self._began = self._complete = self._served = 0
        self._answer_begun = False
        try:
            code = sock.connect_ex(self._address)
        except OSError as error:  # a name that cannot be resolved
            self._fail(_cause(error), str(error))
            return
        if code not in (0, errno.EINPROGRESS):
            self._fail(_CAUSE_OF_ERRNO.get(code, "other"), errno.errorcode.get(code, str(code)))
            return
        self._writer = self._loop.io(sock.fileno(), WRITE)
        self._writer.start(self._connected)

    def _transmit(self, data: bytes) -> None:
        try:
            count = self._send(data)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._lost(_cause(error), str(error))
            return
        if count < len(data):
            self._rest = data[count:]
            self._writer = self._loop.io(self._sock.fileno(), WRITE)
            self._writer.start(self._writable)

    def _lost(self, cause: str, detail: str) -> None:
        if not self.in_flight:
            self._disconnect()
            self._had_closed = True
            return
        if self._served and self._repeatable and not self._answer_begun and cause in ("closed", "reset"):
            self._disconnect()
            self._owner.reconnected(self)
            self._connect()
            return
        self._fail(cause, detail)

    def _fail(self, cause: str, detail: str) -> None:
        self.close()
        self._owner.failed(self, cause, detail, perf_counter())

    def _crashed(self) -> None:
        detail = traceback.format_exc(limit=-3)
        in_flight = self.in_flight
        self.close()
        if in_flight:
            self._owner.failed(self, "other", detail, perf_counter())
        else:
            self._owner.crashed(self, detail)

    def _stop_writer(self) -> None:
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
            self._writer = None

    def _disconnect(self) -> None:
        self._stop_writer()
        if self._reader is not None:
            self._reader.stop()
            self._reader.close()
            self._reader = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._rest = b""
        self._complete = self._began = 0
        self._answer_begun = False


def _cause(error: OSError) -> str:
    return _CAUSE_OF_ERRNO.get(error.errno or 0, "other")
