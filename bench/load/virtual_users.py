"""Who asks: a closed loop (a user who waits for the answer) and an open pool (arrivals that wait for nobody).

Both live in hub callbacks. Both can be moved from server to server: ``begin`` starts the traffic on a target, ``end``
stops it and books what is still unanswered, and until the next ``begin`` late answers only count as drained.
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
from bench.load.timers import alarm

logger = logging.getLogger(__name__)

RETRY_S = 0.1
"""Pause after a connection failed, so that a server that refuses is not hammered in a busy loop."""

UNMADE = "USER requests"
"""Where an exception of a user's own iterator is counted, as a request failed for "other": it has no endpoint."""

RequestSource = Request | Callable[[], Iterable[Request]]


@dataclass(frozen=True)
class UserConfig:
    """How a user behaves, as its class declares it."""

    request: RequestSource
    expected_statuses: frozenset[int]
    timeout_s: float
    think_time_s: float = 0.0
    max_connections: int = 1


class _Script:
    """The requests of one player, ready for the wire of the current target."""

    def __init__(self, source: RequestSource) -> None:
        self._endless = source if isinstance(source, Request) else None
        self._requests: Iterator[Request] = iter(()) if isinstance(source, Request) else iter(source())
        self._channel_of: Callable[[str], EndpointRecorder] = lambda _: EndpointRecorder("", 0.0)
        self._authority = ""
        self._ready: tuple[bytes, bool, EndpointRecorder] | None = None
        self._told = False

    def aim(self, target: Target, channel_of: Callable[[str], EndpointRecorder]) -> None:
        self._authority = target.authority
        self._channel_of = channel_of
        self._ready = self._prepare(self._endless) if self._endless else None

    def next(self) -> tuple[bytes, bool, EndpointRecorder] | None:
        """Payload, whether it may be repeated, and where it is counted; None when there are no more."""
        if self._ready is not None:
            return self._ready
        request = next(self._requests, None)
        return None if request is None else self._prepare(request)

    def unmade(self, intended_s: float) -> None:
        """Count the exception being handled, which the user's own iterator raised instead of making a request."""
        detail = traceback.format_exc(limit=-3)
        if not self._told:
            self._told = True
            logger.error("A user's requests could not be made: %s", detail)
        channel = self._channel_of(UNMADE)
        channel.started += 1
        now_s = perf_counter()
        channel.failed(intended_s, now_s, now_s, "other", detail[-SAMPLE_ERROR_CHARS:])

    def _prepare(self, request: Request) -> tuple[bytes, bool, EndpointRecorder]:
        channel = self._channel_of(" ".join(request.label))
        return request.encode(self._authority), request.repeatable, channel


class ClosedModelUser:
    """Asks, waits for the answer, thinks, asks again; keeps one connection to every target it has seen."""

    def __init__(self, conduct: UserConfig) -> None:
        self._conduct = conduct
        self._expected = conduct.expected_statuses
        self._think_s = conduct.think_time_s
        self._script = _Script(conduct.request)
        self._connections: dict[Target, Connection] = {}
        self._connection: Connection | None = None
        self._running = False
        self._pause: Any = None

    def begin(self, target: Target, channel_of: Callable[[str], EndpointRecorder], delay_s: float = 0.0) -> None:
        """Start asking ``target`` after ``delay_s``."""
        if target not in self._connections:
            self._connections[target] = Connection(target.address, self)
        self._connection = self._connections[target]
        self._script.aim(target, channel_of)
        self._running = True
        self._after(delay_s)

    def measure(self, now_s: float) -> None:
        """The warm-up is over, which changes nothing for a user who loops."""

    def end(self, end_s: float) -> None:
        """Stop asking; book the unanswered request, if there is one."""
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
        """Hang up on what is still unanswered."""
        if self._connection is not None and self._connection.in_flight:
            self._connection.close()

    def close(self) -> None:
        """Hang up on everybody; what is unanswered is booked as unfinished."""
        if self._running:
            self.end(perf_counter())
        for connection in self._connections.values():
            connection.close()

    def expire(self, now_s: float) -> None:
        """Give up a request that is older than the timeout."""
        connection = self._connection
        if connection is None or not connection.in_flight or now_s - connection.sent_s < self._conduct.timeout_s:
            return
        connection.close()
        self.failed(connection, "timeout", f"no answer within {self._conduct.timeout_s:g} s", now_s)

    # ConnectionOwner of the connection

    def answered(self, connection: Connection, status: int, done_s: float) -> None:
        channel: EndpointRecorder = connection.context
        if not self._running:
            channel.counts["completed_late"] += 1
            return
        sent_s = connection.sent_s
        if status in self._expected:
            if sent_s >= channel.part_start_s:
                channel.add_service(int((done_s - sent_s) * 1e6))
            else:
                channel.carried(sent_s, sent_s, done_s)
        else:
            channel.failed(sent_s, sent_s, done_s, "status", f"status {status}", status)
        if self._think_s:
            self._after(self._think_s)
        else:
            self._ask()

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

    def _ask(self) -> None:
        try:
            following = self._script.next()
        except Exception:  # raised by the user's own iterator of requests
            self._script.unmade(perf_counter())
            self._after(max(RETRY_S, self._think_s))
            return
        if following is None:
            self._running = False
            return
        payload, repeatable, channel = following
        connection = self._connection
        assert connection is not None
        connection.context = channel
        channel.started += 1
        connection.request(payload, repeatable)

    def _after(self, delay_s: float) -> None:
        self._cancel_pause()
        self._pause = get_hub().loop.timer(delay_s)
        self._pause.start(self._resume, update=True)

    def _resume(self) -> None:
        self._cancel_pause()
        if self._running:
            self._ask()

    def _cancel_pause(self) -> None:
        if self._pause is not None:
            self._pause.stop()
            self._pause.close()
            self._pause = None


class PooledConnection(Connection):
    """A connection that knows which server it leads to."""

    __slots__ = ("target",)

    def __init__(self, target: Target, owner: ConnectionOwner) -> None:
        super().__init__(target.address, owner)
        self.target = target


@dataclass
class _Programme:
    """The timetable of one target's warm-up, or of what is measured there.

    While another is played it stands still: what was next stays next. So the seconds that count have as many arrivals
    as they should, whatever was cut off.
    """

    dues_s: Iterator[float]
    next_s: float
    played_s: float = 0.0


class OpenModelGenerator:
    """Sends each request when it is due, on a connection that is free or new: late ones at once, none after another.

    Where ``max_connections`` are all in flight, the arrival is dropped and counted: a cap keeps an overloaded server
    from growing the pool, and its own lag, without end.
    """

    connection_type: ClassVar[type[PooledConnection]] = PooledConnection

    def __init__(self, conduct: UserConfig, timetable: Callable[[int, int, int], Iterator[float]]) -> None:
        """``timetable(n, part, parts)`` gives the arrivals of the n-th programme, or of one part of them."""
        self._conduct = conduct
        self._expected = conduct.expected_statuses
        self._script = _Script(conduct.request)
        self._timetable = timetable
        self._free: dict[Target, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._target: Target | None = None
        self._running = False
        self._programmes: dict[tuple[Target, bool, int, int], _Programme] = {}
        self._programme = _Programme(iter(()), math.inf)
        self._origin_s = 0.0
        self._exhausted = False
        self.part, self.parts = 0, 1
        self._alarm = alarm(get_hub().loop, self._ring)

    def begin(self, target: Target, channel_of: Callable[[str], EndpointRecorder], delay_s: float = 0.0) -> None:
        """Go on with the warm-up's timetable of ``target`` where it broke off, or from its zero, ``delay_s`` from now.

        A timetable of ten arrivals a second has ten in a second of its target's turns, however short each of them is.
        """
        self._target = target
        self._free.setdefault(target, [])
        self._script.aim(target, channel_of)
        self._running = True
        self._play(target, False, perf_counter() + delay_s)

    def measure(self, now_s: float) -> None:
        """The warm-up is over: go on with the timetable of what is measured."""
        if self._running and self._target is not None:
            self._break_off(now_s)
            self._play(self._target, True, now_s)

    def end(self, end_s: float) -> None:
        """Stop sending; book what is unanswered, and what was due before ``end_s`` and has not been sent yet."""
        if self._running:
            self._break_off(end_s)
        self._running = False
        for connection in self._busy:
            connection.context.unfinished(connection.intended_s, connection.sent_s, end_s)

    @property
    def in_flight(self) -> int:
        """Requests unanswered now."""
        return len(self._busy)

    def abandon(self) -> None:
        """Hang up on what is still unanswered."""
        for connection in self._busy:
            connection.close()
            self._give_back(connection)
        self._busy.clear()

    def close(self) -> None:
        """Hang up on everybody; what is unanswered is booked as unfinished."""
        if self._running:
            self._exhausted = True  # what is due now is not sent any more: nobody would wait for the answer
            self.end(perf_counter())
        self._alarm.close()
        self.abandon()
        for connections in self._free.values():
            for connection in connections:
                connection.close()

    def expire(self, now_s: float) -> None:
        """Give up requests that are older than the timeout."""
        for connection in [c for c in self._busy if now_s - c.sent_s >= self._conduct.timeout_s]:
            connection.close()
            self.failed(connection, "timeout", f"no answer within {self._conduct.timeout_s:g} s", now_s)

    # ConnectionOwner of the connections

    def answered(self, connection: Connection, status: int, done_s: float) -> None:
        self._busy.discard(connection)
        self._give_back(connection)
        channel: EndpointRecorder = connection.context
        if not self._running:
            channel.counts["completed_late"] += 1
        elif status in self._expected:
            channel.timetabled(connection.intended_s, connection.sent_s, done_s)
        else:
            channel.failed(connection.intended_s, connection.sent_s, done_s, "status", f"status {status}", status)

    def failed(self, connection: Connection, cause: str, detail: str, done_s: float) -> None:
        self._busy.discard(connection)
        self._give_back(connection)
        if self._running:
            connection.context.failed(connection.intended_s, connection.sent_s, done_s, cause, detail)

    def reconnected(self, connection: Connection) -> None:
        connection.context.counts["reconnects"] += 1

    def crashed(self, connection: Connection, detail: str) -> None:
        logger.error("The load generator's own code failed: %s", detail)
        connection.context.sample(detail)

    # Steps

    def _play(self, target: Target, measured: bool, from_s: float) -> None:
        key = (target, measured, self.part, self.parts)
        if key not in self._programmes:
            dues_s = self._timetable(len(self._programmes), self.part, self.parts)
            self._programmes[key] = _Programme(dues_s, next(dues_s, math.inf))
        self._programme = self._programmes[key]
        self._origin_s = from_s - self._programme.played_s
        self._set_alarm()

    def _break_off(self, at_s: float) -> None:
        self._send_due(at_s)
        self._programme.played_s = at_s - self._origin_s

    def _ring(self) -> None:
        if not self._running:
            return
        self._send_due(perf_counter())
        self._set_alarm()

    def _set_alarm(self) -> None:
        if not self._exhausted and self._next_s < math.inf:
            self._alarm.set(self._next_s)

    @property
    def _next_s(self) -> float:
        return self._origin_s + self._programme.next_s

    def _send_due(self, now_s: float) -> None:
        while not self._exhausted and self._next_s <= now_s:
            self._send(self._next_s)
            self._programme.next_s = next(self._programme.dues_s, math.inf)

    def _send(self, intended_s: float) -> None:
        try:
            following = self._script.next()
        except Exception:  # raised by the user's own iterator of requests
            self._script.unmade(intended_s)
            return
        if following is None:
            self._exhausted = True
            return
        payload, repeatable, channel = following
        connection = self._take()
        if connection is None:
            channel.counts["dropped"] += 1
            return
        channel.started += 1
        connection.context = channel
        self._busy.add(connection)
        connection.request(payload, repeatable, intended_s)

    def _take(self) -> Connection | None:
        assert self._target is not None
        free = self._free[self._target]
        if free:
            return free.pop()
        if len(self._busy) >= self._conduct.max_connections:
            return None
        return self.connection_type(self._target, self)

    def _give_back(self, connection: Connection) -> None:
        assert isinstance(connection, PooledConnection)
        self._free[connection.target].append(connection)


VirtualUser = ClosedModelUser | OpenModelGenerator
