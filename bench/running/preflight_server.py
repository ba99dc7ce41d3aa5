"""A server of an app that is tried before the measurement, one request at a time.

    with AppServer(setup, on_notice) as server:
        outcome = server.tried(request)      # Answered, Endless, Blocked or Refused

A request that blocks the server is a finding, and the next request gets a server that answers: a new one. Blocked and
slow are told apart by the probe. Of a blocked server it names the line that held the event loop; an endpoint that only
takes long leaves the loop free.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

import httpx

from bench.model import READY_PATH
from bench.model.errors import UsageError
from bench.model.requests import CodeLine, SampleRequest
from bench.results.schema import HeldLineRecord
from bench.running.log_tail import last_exception
from bench.running.processes import Process, StartError
from bench.running.redaction import Redactor
from bench.running.serving import ServedApp, start_server, wait_until_served

ANSWER_WITHIN_S = 10.0
"""An answer that takes longer is not waited for. It is a stream, a long poll, or a server that is blocked."""
FREE_WITHIN_S = 1.0
"""A server whose event loop is free answers another request within this time."""
ENDS_WITHIN_S = 0.5
"""After a connection that broke, for its server to be gone."""
RECOVERS_WITHIN_S = 30.0
"""How long a server that runs already, and cannot be replaced, may stay blocked."""
DOCUMENT_WITHIN_S = 120.0
"""The first OpenAPI document of a large app takes seconds."""
MIN_HELD_SHARE = 0.5
"""Of the time that an answer took, for the line that held the event loop to be its cause."""
MIN_BLOCKED_S = 2.0
"""One request that holds the event loop for longer answers too few requests to be measured under load."""
TRIES = 3
"""Requests to each operation. The first one also pays for lazy imports and connections, so it does not count."""
MAX_BURST = 100
"""Threads that send at once, and connections of the client."""
MAX_CONTENT_BYTES = 1_000_000
"""Of an answer that is kept, to find values in it."""
SUCCESS = range(200, 400)
"""Statuses that count as an answer."""


@dataclass(frozen=True)
class Answered:
    """Answered well, every time."""

    alone_s: float
    """Median answer time of one request at a time, the first left out."""
    content: bytes = b""
    """The last answer's body, as far as MAX_CONTENT_BYTES."""
    headers: tuple[tuple[str, str], ...] = ()
    """The last answer's headers, names in lower case."""
    first_s: float = 0.0
    """How long the first of several took, which also pays for lazy imports and connections."""


@dataclass(frozen=True)
class Endless:
    """The answer had not ended after ANSWER_WITHIN_S, while the server answered others."""

    waited_s: float
    first_byte_s: float | None
    """When the answer began; None where nothing came."""


@dataclass(frozen=True)
class Blocked:
    """The server answered nobody, or not for MIN_BLOCKED_S."""

    blocked_s: float
    by: CodeLine | None
    at_least: bool
    """Whether it was still blocked at the end."""


@dataclass(frozen=True)
class Refused:
    """No good answer."""

    reason: str
    status: int | None = None
    """None where there was no answer at all."""
    answered_before: bool = False
    """Whether an earlier one of the same requests was answered well."""


Outcome = Answered | Endless | Blocked | Refused


@dataclass(frozen=True)
class ServerSetup:
    """How a server of the app is started."""

    app: ServedApp
    environment: Mapping[str, str]
    folder: Path
    """Temporary; the probe writes into folders in it."""
    cores: tuple[int, ...] | None
    redact: Redactor


@dataclass(frozen=True)
class RunningServer:
    """A server that runs already. It is neither started nor stopped."""

    url: str


class AppServer:
    """The app's server, which is replaced when it does not answer any more. A context manager."""

    def __init__(self, setup: ServerSetup | RunningServer, on_notice: Callable[[str], None]) -> None:
        self._setup = setup
        self._on_notice = on_notice
        self._started = 0
        self._process: Process | None = None
        self._probe_folder: Path | None = None
        self.url = ""
        self.client: httpx.Client
        self.ready_s = 0.0
        """Seconds from its first start to its first answer."""
        self._first: tuple[Path, float] | None = None
        """The first server's folder, and when it answered first, on the probe's clock."""

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def document(self, path: str) -> Mapping[str, Any]:
        """The OpenAPI document at ``path``. UsageError where there is none."""
        self._on_notice("reading the OpenAPI document")
        try:
            answer = self.client.get(path, timeout=DOCUMENT_WITHIN_S)
        except httpx.TimeoutException:
            raise UsageError(
                f"the app's OpenAPI document at {path} did not come within {DOCUMENT_WITHIN_S:g} s"
            ) from None
        except httpx.HTTPError as error:
            raise UsageError(f"the app's OpenAPI document at {path} cannot be read: {_one_line(error)}") from None
        try:
            document = answer.json() if answer.status_code == httpx.codes.OK else None
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise UsageError(
                f"the app has no OpenAPI document at {path} (status {answer.status_code}): "
                "name its path with --openapi, or name the endpoints with --path"
            )
        return document

    def tried(self, request: SampleRequest) -> Outcome:
        """What comes of sending ``request`` TRIES times. Afterwards the server answers, or UsageError says that it does not."""
        times: list[float] = []
        sent = _Sent(0.0)
        for number in range(TRIES):
            begun_s = time.perf_counter()
            sent = self._send(request)
            if isinstance(sent.failure, Refused):
                return Refused(sent.failure.reason, sent.failure.status, bool(times))
            outcome = self._blocked_or_endless(sent, begun_s)
            if outcome is not None and (number or sent.failure):  # the first may be slow for lazy imports
                return outcome
            times.append(sent.took_s)
        # A background task, or a thread that keeps the interpreter lock, blocks the server after its request was answered.
        begun_s = time.perf_counter() - sent.took_s
        if not self._is_free(ANSWER_WITHIN_S):
            return self._blocked(begun_s, at_least=True)
        return Answered(median(times[1:]), sent.content, sent.headers, times[0])

    def sent_once(self, request: SampleRequest) -> Answered | Refused:
        """What comes of sending ``request`` once."""
        return send_once(self.client, request)

    def answers(self, path: str) -> bool:
        """Whether a GET of ``path`` is answered well."""
        return isinstance(self.tried(SampleRequest(path, "GET", path)), Answered)

    def burst_s(self, request: SampleRequest, users: int) -> float:
        """Seconds until the last of ``users`` requests that were sent at once is answered or given up."""
        start_s = time.perf_counter()
        with ThreadPoolExecutor(min(users, MAX_BURST)) as pool:
            list(pool.map(self._send, [request] * users))
        return time.perf_counter() - start_s

    def held_at_start(self) -> tuple[HeldLineRecord, ...]:
        """The lines of the app that held the event loop before the first server's first answer, the longest first.

        To be asked a moment later: the probe writes ten times a second.
        """
        return tuple(_held_lines(self._first[0], until_s=self._first[1])) if self._first else ()

    def held_lines(self, from_s: float) -> Iterator[HeldLineRecord]:
        """The lines of the app that held the event loop since ``from_s``, the longest first."""
        return _held_lines(self._probe_folder, from_s) if self._probe_folder else iter(())

    # Whether the server is blocked

    def _blocked_or_endless(self, sent: _Sent, begun_s: float) -> Blocked | Endless | None:
        if isinstance(sent.failure, Endless):
            if not self._is_free(FREE_WITHIN_S):
                return self._blocked(begun_s, at_least=True)
            line = self._holder(begun_s, sent.took_s)
            return sent.failure if line is None else Blocked(sent.took_s, line, at_least=False)
        if sent.took_s >= MIN_BLOCKED_S and (line := self._holder(begun_s, sent.took_s)) is not None:
            return Blocked(sent.took_s, line, at_least=False)
        return None

    def _blocked(self, begun_s: float, at_least: bool) -> Blocked:
        """The outcome of a request that blocks the server. The next one gets a server that answers."""
        blocked_s = time.perf_counter() - begun_s
        line = self._holder(begun_s, blocked_s)
        self._renew()
        return Blocked(blocked_s, line, at_least)

    def _holder(self, begun_s: float, waited_s: float) -> CodeLine | None:
        """The line that held the event loop for most of the time since ``begun_s``; None where none did."""
        longest = next(self.held_lines(begun_s), None)
        if longest is None or longest.stalled_s < MIN_HELD_SHARE * waited_s:
            return None
        return CodeLine(longest.file, longest.line, longest.function, longest.callee)

    def _is_free(self, within_s: float) -> bool:
        """Whether the server answers a request that costs nothing. Any answer will do."""
        try:
            self.client.get(READY_PATH, timeout=within_s)
        except httpx.TimeoutException:
            return False
        except httpx.HTTPError:
            return not self._has_ended()
        return True

    def _renew(self) -> None:
        """Replace the server. One that cannot be replaced is waited for: UsageError when it stays blocked."""
        if isinstance(self._setup, ServerSetup):
            self._on_notice("the server is blocked; another one is started")
            self._stop()
            self._start()
        elif not self._is_free(RECOVERS_WITHIN_S):
            raise UsageError(f"{self.url} does not answer any more: it was still blocked after {RECOVERS_WITHIN_S:g} s")

    # The server

    def _start(self) -> None:
        if isinstance(self._setup, RunningServer):
            self.url = self._setup.url
            self.client = client(self.url)
            return
        setup = self._setup
        self._started += 1
        folder = setup.folder / f"server-{self._started}"
        folder.mkdir()
        begun_s = time.perf_counter()
        try:
            server = start_server(setup.app, folder, folder, setup.environment, setup.cores)
        except StartError as error:
            raise UsageError(str(error)) from None
        assert server.process is not None
        self._on_notice(f"starting {setup.app.target}")
        try:
            reason = wait_until_served([server], READY_PATH).get(setup.app.name)
        except BaseException:  # Ctrl-C
            server.process.stop()
            raise
        if reason:
            server.process.stop()
            raise UsageError(f"{setup.app.target} {reason}: {setup.redact(last_exception(server.log))}")
        self._process, self._probe_folder, self.url = server.process, folder, server.url
        self.client = client(self.url)
        if self._first is None:
            ready_at_s = time.perf_counter()
            self._first, self.ready_s = (folder, ready_at_s), ready_at_s - begun_s

    def _stop(self) -> None:
        self.client.close()
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _send(self, request: SampleRequest) -> _Sent:
        """Send it once. A server that ends over it is replaced."""
        sent = _sent(self.client, request)
        if isinstance(sent.failure, Refused) and sent.failure.status is None and self._has_ended(ENDS_WITHIN_S):
            self._renew()
            return replace(sent, failure=Refused("the server ended while it answered"))
        return sent

    def _has_ended(self, within_s: float = 0.0) -> bool:
        return self._process is not None and self._process.wait(within_s) is not None


@dataclass(frozen=True)
class _Sent:
    """One request, and its answer."""

    took_s: float
    failure: Refused | Endless | None = None
    content: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def _held_lines(folder: Path, from_s: float = 0.0, until_s: float = math.inf) -> Iterator[HeldLineRecord]:
    """The lines of the app that held the event loop between two moments, by the probe's files, the longest first."""
    held: dict[CodeLine, float] = {}
    for path in folder.glob("stalls-*.csv"):
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["kind"] == "loop" and row["file"] and row["samples"] and from_s <= float(row["at_s"]) <= until_s:
                    line = CodeLine(row["file"], int(row["line"]), row["function"], row["callee"] or "")
                    held[line] = held.get(line, 0.0) + float(row["stalled_ms"]) / 1000
    for line, stalled_s in sorted(held.items(), key=lambda item: -item[1]):
        yield HeldLineRecord(line.file, line.line, line.function, line.callee, stalled_s)


def send_once(http: httpx.Client, request: SampleRequest) -> Answered | Refused:
    """What comes of sending ``request`` once."""
    sent = _sent(http, request)
    if isinstance(sent.failure, Refused):
        return sent.failure
    if sent.failure is not None:
        return Refused(f"no answer within {ANSWER_WITHIN_S:g} s")
    return Answered(sent.took_s, sent.content, sent.headers)


def _sent(http: httpx.Client, request: SampleRequest) -> _Sent:
    start_s = time.perf_counter()
    first_byte_s: float | None = None
    content = bytearray()
    try:
        with http.stream(
            request.method, request.path, headers=list(request.headers), content=request.body or None
        ) as answer:
            if answer.status_code not in SUCCESS:
                reason = f"answered with status {answer.status_code}"
                return _Sent(time.perf_counter() - start_s, Refused(reason, answer.status_code))
            first_byte_s = time.perf_counter() - start_s
            for part in answer.iter_bytes():
                content += part[: MAX_CONTENT_BYTES - len(content)]
                if (waited_s := time.perf_counter() - start_s) > ANSWER_WITHIN_S:
                    return _Sent(waited_s, Endless(waited_s, first_byte_s))
    except httpx.TimeoutException:
        waited_s = time.perf_counter() - start_s
        return _Sent(waited_s, Endless(waited_s, first_byte_s))
    except httpx.HTTPError as error:
        return _Sent(time.perf_counter() - start_s, Refused(f"no answer: {_one_line(error)}"))
    headers = tuple((name.lower(), value) for name, value in answer.headers.multi_items())
    return _Sent(time.perf_counter() - start_s, None, bytes(content), headers)


def client(url: str) -> httpx.Client:
    """A client that reaches one server and no other: no proxy, no redirect.

    Each request has a connection of its own. After an error a server closes the one that it came on, and the next request
    on it would be reset, through no fault of its endpoint.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=url, timeout=ANSWER_WITHIN_S, trust_env=False, follow_redirects=False, limits=limits)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
