"""The two load models: a closed-model user, who waits for each answer, and an open-model generator, which does not.

Both run in hub callbacks. Both move from server to server: ``begin`` starts sending to a target, ``end`` stops and
records unanswered requests as unfinished. Answers that come before the next ``begin`` count as completed late.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar

from gevent import get_hub

from bench.load.connection import Connection, ConnectionOwner
from bench.load.endpoint_recorder import SAMPLE_ERROR_CHARS, EndpointRecorder
from bench.load.request import Request, Target
from bench.load.timers import timer

logger = logging.getLogger(__name__)

RETRY_S = 0.1
"""Pause after a failed connection: without it a server that refuses connections would get them in a busy loop."""

NO_REQUEST = "USER requests"
"""The endpoint of an exception in a user's own iterator of requests. It counts as a request that failed for "other"."""

RequestSource = Request | Callable[[], Iterable[Request]]


@dataclass(frozen=True)
class UserConfig:
    """How a user behaves, as its class declares it."""

    request: RequestSource
    expected_statuses: frozenset[int]
    timeout_s: float
    think_time_s: float = 0.0
    max_connections: int = 1
    records_sequence: bool = False
    """Open model: record the order of the outcomes, too."""


class _RequestSequence:
    """The requests of one user, encoded for the current target."""

    def __init__(self, source: RequestSource) -> None:
        self._endless = source if isinstance(source, Request) else None
        self._requests: Iterator[Request] = iter(()) if isinstance(source, Request) else iter(source())
        self._recorder_of: Callable[[str], EndpointRecorder] = lambda _: EndpointRecorder("", 0.0)
        self._authority = ""
        self._ready: tuple[bytes, bool, EndpointRecorder] | None = None
        self._logged = False

    def aim(self, target: Target, recorder_of: Callable[[str], EndpointRecorder]) -> None:
        self._authority = target.authority
        self._recorder_of = recorder_of
        self._ready = self._prepare(self._endless) if self._endless else None

    def next(self) -> tuple[bytes, bool, EndpointRecorder] | None:
        """Encoded request, whether it may be repeated, and its recorder. None when there are no more."""
        if self._ready is not None:
            return self._ready
        request = next(self._requests, None)
        return None if request is None else self._prepare(request)

    def failed_to_make(self, intended_s: float) -> None:
        """Record the exception that is being handled: the user's own iterator raised it in place of a request."""
        detail = traceback.format_exc(limit=-3)
        if not self._logged:
            self._logged = True
            logger.error("A user's iterator of requests failed: %s", detail)
        recorder = self._recorder_of(NO_REQUEST)
        recorder.started += 1
        now_s = perf_counter()
        recorder.failed(intended_s, now_s, now_s, "other", detail[-SAMPLE_ERROR_CHARS:])

    def _prepare(self, request: Request) -> tuple[bytes, bool, EndpointRecorder]:
        recorder = self._recorder_of(" ".join(request.label))
        return request.encode(self._authority), request.repeatable, recorder


class ClosedModelUser:
    """Sends a request, waits for the answer, thinks, sends the next. Keeps one connection to every target it has seen."""

    def __init__(self, config: UserConfig) -> None:
        self._config = config
        self._expected = config.expected_statuses
        self._think_s = config.think_time_s
        self._requests = _RequestSequence(config.request)
        self._connections: dict[Target, Connection] = {}
        self._connection: Connection | None = None
        self._running = False
        self._pause: Any = None

    def begin(self, target: Target, recorder_of: Callable[[str], EndpointRecorder], delay_s: float = 0.0) -> None:
        """Start sending to ``target`` after ``delay_s``."""
        if target not in self._connections:
            self._connections[target] = Connection(target.address, self)
        self._connection = self._connections[target]
        self._requests.aim(target, recorder_of)
        self._running = True
        self._after(delay_s)

    def measure(self, now_s: float) -> None:
        """The warm-up is over. Changes nothing for a closed-model user."""

    def end(self, end_s: float) -> None:
        """Stop sending, and record an unanswered request as unfinished."""
        self._running = False
        self._cancel_pause()
        connection = self._connection
        if connection is not None and connection.in_flight:
            connection.context.unfinished(connection.intended_s, connection.sent_s, end_s)

    @property
    def in_flight(self) -> int:
        """Requests unanswered now: 0 or 1."""
        return int(self._connection is not None and self._connection.in_flight)

    def abandon(self) -> None:
        """Close connections with unanswered requests."""
        if self._connection is not None and self._connection.in_flight:
            self._connection.close()

    def close(self) -> None:
        """Close all connections. Unanswered requests are recorded as unfinished."""
        if self._running:
            self.end(perf_counter())
        for connection in self._connections.values():
            connection.close()

    def expire(self, now_s: float) -> None:
        """Fail a request that is older than the timeout."""
        connection = self._connection
        if connection is None or not connection.in_flight or now_s - connection.sent_s < self._config.timeout_s:
            return
        connection.close()
        self.failed(connection, "timeout", f"no answer within {self._config.timeout_s:g} s", now_s)

    # ConnectionOwner of the connection

    def answered(self, connection: Connection, status: int, done_s: float) -> None:
        recorder: EndpointRecorder = connection.context
        if not self._running:
            recorder.counts["completed_late"] += 1
            return
        sent_s = connection.sent_s
        if status in self._expected:
            if sent_s >= recorder.part_start_s:
                recorder.add_service(int((done_s - sent_s) * 1e6))
            else:
                recorder.straddling(sent_s, sent_s, done_s)
        else:
            recorder.failed(sent_s, sent_s, done_s, "status", f"status {status}", status)
        if self._think_s:
            self._after(self._think_s)
        else:
            self._send_next()

    def failed(self, connection: Connection, cause: str, detail: str, done_s: float) -> None:
        if not self._running:
            return
        connection.context.failed(connection.sent_s, connection.sent_s, done_s, cause, detail)
        self._after(max(RETRY_S, self._think_s))

    def reconnected(self, connection: Connection) -> None:
        connection.context.counts["reconnects"] += 1

    def crashed(self, connection: Connection, detail: str) -> None:
        logger.error("The load generator's own code failed: %s", detail)
        connection.context.sample(detail)
        if self._running:
            self._after(RETRY_S)

    # Steps

    def _send_next(self) -> None:
        try:
            following = self._requests.next()
        except Exception:  # raised by the user's own iterator of requests
            self._requests.failed_to_make(perf_counter())
            self._after(max(RETRY_S, self._think_s))
            return
        if following is None:
            self._running = False
            return
        payload, repeatable, recorder = following
        connection = self._connection
        assert connection is not None
        connection.context = recorder
        recorder.started += 1
        connection.request(payload, repeatable)

    def _after(self, delay_s: float) -> None:
        self._cancel_pause()
        self._pause = get_hub().loop.timer(delay_s)
        self._pause.start(self._resume, update=True)

    def _resume(self) -> None:
        self._cancel_pause()
        if self._running:
            self._send_next()

    def _cancel_pause(self) -> None:
        if self._pause is not None:
            self._pause.stop()
            self._pause.close()
            self._pause = None


class PooledConnection(Connection):
    """A connection that knows its target."""

    __slots__ = ("target",)

    def __init__(self, target: Target, owner: ConnectionOwner) -> None:
        super().__init__(target.address, owner)
        self.target = target


@dataclass
class _PausedSchedule:
    """The arrival schedule of one target's warm-ups, or of its measured parts.

    It pauses while another one runs, and continues with the arrival that was next. So the measured seconds have the
    right number of arrivals, however often they were interrupted.
    """

    arrivals_s: Iterator[float]
    next_s: float
    elapsed_s: float = 0.0


class OpenModelGenerator:
    """Sends each request at its intended time, on a free or a new connection. It waits for no answer; late ones go at once.

    Where ``max_connections`` requests are in flight, the arrival is dropped and counted: without a limit an overloaded
    server would make the pool, and the generator's own lag, grow without end.
    """

    connection_type: ClassVar[type[PooledConnection]] = PooledConnection

    def __init__(self, config: UserConfig, schedule: Callable[[int, int, int], Iterator[float]]) -> None:
        """``schedule(n, part, parts)`` gives the arrivals of the n-th schedule, or of one part of them."""
        self._config = config
        self._expected = config.expected_statuses
        self._requests = _RequestSequence(config.request)
        self._arrivals = schedule
        self._free: dict[Target, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._target: Target | None = None
        self._running = False
        self._schedules: dict[tuple[Target, bool, int, int], _PausedSchedule] = {}
        self._schedule = _PausedSchedule(iter(()), math.inf)
        self._origin_s = 0.0
        self._exhausted = False
        self.part, self.parts = 0, 1
        self._timer = timer(get_hub().loop, self._on_time)

    def begin(self, target: Target, recorder_of: Callable[[str], EndpointRecorder], delay_s: float = 0.0) -> None:
        """Continue the warm-up schedule of ``target``, or start it, ``delay_s`` from now.

        A schedule of ten arrivals a second has ten in a second of its target's turns, however short each turn is.
        """
        self._target = target
        self._free.setdefault(target, [])
        self._requests.aim(target, recorder_of)
        self._running = True
        self._continue(target, False, perf_counter() + delay_s)

    def measure(self, now_s: float) -> None:
        """The warm-up is over: continue the schedule of the measured parts."""
        if self._running and self._target is not None:
            self._pause_schedule(now_s)
            self._continue(self._target, True, now_s)

    def end(self, end_s: float) -> None:
        """Stop sending. Arrivals before ``end_s`` are still sent; unanswered requests are recorded as unfinished."""
        if self._running:
            self._pause_schedule(end_s)
        self._running = False
        for connection in self._busy:
            connection.context.unfinished(connection.intended_s, connection.sent_s, end_s)
            self._note(connection.context, connection, end_s)

    def _note(self, recorder: EndpointRecorder, connection: Connection, until_s: float) -> None:
        if self._config.records_sequence:
            recorder.sequence.append((connection.intended_s, until_s - connection.intended_s))

    @property
    def in_flight(self) -> int:
        """Requests unanswered now."""
        return len(self._busy)

    def abandon(self) -> None:
        """Close connections with unanswered requests."""
        for connection in self._busy:
            connection.close()
            self._give_back(connection)
        self._busy.clear()

    def close(self) -> None:
        """Close all connections. Unanswered requests are recorded as unfinished."""
        if self._running:
            self._exhausted = True  # what is due now is not sent any more
            self.end(perf_counter())
        self._timer.close()
        self.abandon()
        for connections in self._free.values():
            for connection in connections:
                connection.close()

    def expire(self, now_s: float) -> None:
        """Fail requests that are older than the timeout."""
        for connection in [c for c in self._busy if now_s - c.sent_s >= self._config.timeout_s]:
            connection.close()
            self.failed(connection, "timeout", f"no answer within {self._config.timeout_s:g} s", now_s)

    # ConnectionOwner of the connections

    def answered(self, connection: Connection, status: int, done_s: float) -> None:
        self._busy.discard(connection)
        self._give_back(connection)
        recorder: EndpointRecorder = connection.context
        if not self._running:
            recorder.counts["completed_late"] += 1
        elif status in self._expected:
            recorder.scheduled(connection.intended_s, connection.sent_s, done_s)
            self._note(recorder, connection, done_s)
        else:
            recorder.failed(connection.intended_s, connection.sent_s, done_s, "status", f"status {status}", status)
            self._note(recorder, connection, math.inf)

    def failed(self, connection: Connection, cause: str, detail: str, done_s: float) -> None:
        self._busy.discard(connection)
        self._give_back(connection)
        if self._running:
            connection.context.failed(connection.intended_s, connection.sent_s, done_s, cause, detail)
            self._note(connection.context, connection, math.inf)

    def reconnected(self, connection: Connection) -> None:
        connection.context.counts["reconnects"] += 1

    def crashed(self, connection: Connection, detail: str) -> None:
        logger.error("The load generator's own code failed: %s", detail)
        connection.context.sample(detail)

    # Steps

    def _continue(self, target: Target, measured: bool, from_s: float) -> None:
        key = (target, measured, self.part, self.parts)
        if key not in self._schedules:
            arrivals_s = self._arrivals(len(self._schedules), self.part, self.parts)
            self._schedules[key] = _PausedSchedule(arrivals_s, next(arrivals_s, math.inf))
        self._schedule = self._schedules[key]
        self._origin_s = from_s - self._schedule.elapsed_s
        self._set_timer()

    def _pause_schedule(self, at_s: float) -> None:
        self._send_due(at_s)
        self._schedule.elapsed_s = at_s - self._origin_s

    def _on_time(self) -> None:
        if not self._running:
            return
        self._send_due(perf_counter())
        self._set_timer()

    def _set_timer(self) -> None:
        if not self._exhausted and self._next_s < math.inf:
            self._timer.set(self._next_s)

    @property
    def _next_s(self) -> float:
        return self._origin_s + self._schedule.next_s

    def _send_due(self, now_s: float) -> None:
        while not self._exhausted and self._next_s <= now_s:
            self._send(self._next_s)
            self._schedule.next_s = next(self._schedule.arrivals_s, math.inf)

    def _send(self, intended_s: float) -> None:
        try:
            following = self._requests.next()
        except Exception:  # raised by the user's own iterator of requests
            self._requests.failed_to_make(intended_s)
            return
        if following is None:
            self._exhausted = True
            return
        payload, repeatable, recorder = following
        connection = self._take()
        if connection is None:
            recorder.counts["dropped"] += 1
            return
        recorder.started += 1
        connection.context = recorder
        self._busy.add(connection)
        connection.request(payload, repeatable, intended_s)

    def _take(self) -> Connection | None:
        assert self._target is not None
        free = self._free[self._target]
        if free:
            return free.pop()
        if len(self._busy) >= self._config.max_connections:
            return None
        return self.connection_type(self._target, self)

    def _give_back(self, connection: Connection) -> None:
        assert isinstance(connection, PooledConnection)
        self._free[connection.target].append(connection)


VirtualUser = ClosedModelUser | OpenModelGenerator
