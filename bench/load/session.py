"""The load of one Locust process: its users, and the recorders of the target whose turn it is.

Without turns (somebody runs a locustfile by hand) there is one target, ``--host``, and one endless turn. In both cases
Locust's own statistics are fed from the same intervals, so its tables and its web UI are live.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import gevent
from gevent.queue import Queue

from bench.load.arrival_schedule import staggered
from bench.load.endpoint_recorder import EndpointRecorder, IntervalStats, RawInterval, fold
from bench.load.generator_monitor import SAMPLE_S, CpuSample, GeneratorMonitor
from bench.load.locust_stats import feed
from bench.load.messages import IntervalReport
from bench.load.ordinary_requests import OrdinaryRequests
from bench.load.request import Target
from bench.load.virtual_users import OpenModelGenerator, VirtualUser
from bench.results.schema import INTERVAL_S

TICK_S = 0.02
"""How often intervals and timeouts are checked."""
INTERVAL_SPACING_S = INTERVAL_S - 2 * TICK_S
"""Intervals end at multiples of this from the start of a turn's warm-up or measured part, in every process alike. A
late check must not make one longer than the second that the file format promises."""


@dataclass(frozen=True)
class _CutInterval:
    """An interval that has ended, not folded yet."""

    turn: int
    number: int
    target: str
    measured: bool
    start_s: float
    end_s: float
    recorded: list[RawInterval] = field(default_factory=list)


class LoadSession:
    """Moves the users of this process together from target to target. Every method runs in one gevent hub."""

    def __init__(self, environment: Any, ordinary: OrdinaryRequests | None = None) -> None:
        self._environment = environment
        self._ordinary = ordinary or OrdinaryRequests()
        self._users: dict[VirtualUser, str] = {}
        self._target: Target | None = None
        self._recorders: dict[str, EndpointRecorder] = {}
        self._turn = 0
        self._measured = False
        self._number = 0
        self._interval_start_s = 0.0
        self._part_start_s = 0.0
        self._running = False
        self._late_joiners = random.Random(0)
        self._stagger_s = 0.0
        self._cut: Queue[_CutInterval | None] = Queue()
        self._monitor = GeneratorMonitor()
        self.on_interval: Callable[[IntervalReport], None] | None = None
        self.on_cpu: Callable[[str, CpuSample], None] | None = None
        self.on_schedules: Callable[[], None] | None = None
        """Called when an open-model generator joins or leaves, where several processes share its schedule."""
        self._ticking = gevent.spawn(self._tick)
        self._folding = gevent.spawn(self._fold_intervals)

    @property
    def user_counts(self) -> Counter[str]:
        """Number of virtual users of each user class. An open-model generator counts as one."""
        return Counter(self._users.values())

    def has_all(self, user_class: str, users: int) -> bool:
        """Whether all ``users`` of a class have joined. An open-model generator stands for all of its class."""
        joined = [user for user, name in self._users.items() if name == user_class]
        return len(joined) == users or any(isinstance(user, OpenModelGenerator) for user in joined)

    def join(self, user: VirtualUser, user_class: str) -> None:
        """Add a user. Where the load runs already it starts at once, or within the turn's stagger."""
        self._users[user] = user_class
        if self.on_schedules is not None and isinstance(user, OpenModelGenerator):
            self.on_schedules()  # it starts with its share of the schedule
        elif self._running and self._target is not None:
            user.begin(self._target, self.recorder, self._late_joiners.uniform(0.0, self._stagger_s))

    def leave(self, user: VirtualUser) -> None:
        """Remove a user and close its connections."""
        self._users.pop(user, None)
        user.close()
        if self.on_schedules is not None and isinstance(user, OpenModelGenerator):
            self.on_schedules()

    def share(self, shares: Mapping[str, tuple[int, int]]) -> None:
        """Set which part of how many this process follows of each user class's schedule. Running ones start anew."""
        for user, user_class in self._users.items():
            if not isinstance(user, OpenModelGenerator) or user_class not in shares:
                continue
            user.part, user.parts = shares[user_class]
            if self._running and self._target is not None:
                user.begin(self._target, self.recorder)

    def recorder(self, endpoint: str) -> EndpointRecorder:
        """The recorder of requests to ``endpoint`` of the current target."""
        recorder = self._recorders.get(endpoint)
        if recorder is None:
            recorder = self._recorders[endpoint] = EndpointRecorder(endpoint, self._part_start_s)
        return recorder

    def begin(self, turn: int, target: Target, stagger_s: float = 0.0, seed: int = 0) -> float:
        """Start a turn's warm-up on ``target``: every user, each at its own offset within ``stagger_s``."""
        now_s = perf_counter()
        self._turn, self._target = turn, target
        self._number = 0
        self._measured = False
        self._interval_start_s = self._part_start_s = now_s
        self._recorders = {}
        self._running = True
        self._late_joiners, self._stagger_s = random.Random(seed), stagger_s
        self._monitor.restart()
        offsets = staggered(len(self._users), stagger_s, seed) if stagger_s else [0.0] * len(self._users)
        for user, offset_s in zip(self._users, offsets, strict=True):
            user.begin(target, self.recorder, offset_s)
        return now_s

    def measure(self) -> float:
        """End the warm-up: requests that begin from now on count. Returns the moment."""
        now_s = self._cut_interval()
        self._measured = True
        self._number = 0
        self._part_start_s = now_s
        for recorder in self._recorders.values():
            recorder.part_start_s = now_s
        for user in self._users:
            user.measure(now_s)
        return now_s

    def end(self) -> float:
        """End the turn: nothing more is sent, and unanswered requests are recorded as unfinished. Returns the moment."""
        end_s = perf_counter()
        self._running = False
        for user in self._users:
            user.end(end_s)
        self._ordinary.end_turn(end_s, self.recorder)
        self._sample_cpu()
        return end_s

    @property
    def drained(self) -> bool:
        """Whether every request of the turn was answered."""
        return self._ordinary.drained and not any(user.in_flight for user in self._users)

    def close_turn(self, end_s: float) -> None:
        """Close connections with unanswered requests, and cut the turn's last interval."""
        for user in self._users:
            user.abandon()
        self._cut_interval(end_s)

    def finish(self) -> None:
        """Wait until every interval was reported, also those of a turn that has not ended."""
        if self._running:
            self._running = False
            self._cut_interval()
        self._cut.put(None)
        self._folding.join()
        self._ticking.kill()

    def record(self, endpoint: str, latency_s: float, cause: str, detail: str, status: int) -> None:
        """Record a request of an ordinary Locust user that has just ended. An empty ``cause`` is success."""
        if not self._running:
            return
        recorder = self.recorder(endpoint)
        done_s = perf_counter()
        begun_s = done_s - latency_s
        recorder.started += 1
        if cause:
            recorder.failed(begun_s, begun_s, done_s, cause, detail, status)
        elif begun_s < recorder.part_start_s:
            recorder.straddling(begun_s, begun_s, done_s)
        else:
            recorder.add_service(max(1, int(latency_s * 1e6)))

    # Intervals

    def _cut_interval(self, end_s: float | None = None) -> float:
        now_s = perf_counter() if end_s is None else end_s
        if self._target is None:
            return now_s
        recorded = [recorder.take() for recorder in self._recorders.values()]
        start_s = self._interval_start_s
        self._cut.put(
            _CutInterval(self._turn, self._number, self._target.name, self._measured, start_s, now_s, recorded)
        )
        self._number += 1
        self._interval_start_s = now_s
        return now_s

    def _tick(self) -> None:
        sampled_s = 0.0
        while True:
            gevent.sleep(TICK_S)
            now_s = perf_counter()
            for user in self._users:
                user.expire(now_s)
            if not self._running:
                continue
            if int((now_s - self._part_start_s) / INTERVAL_SPACING_S) > self._number:
                self._cut_interval()
            if now_s - sampled_s >= SAMPLE_S:
                self._sample_cpu()
                sampled_s = now_s

    def _sample_cpu(self) -> None:
        if self._target is None:
            return
        sample = self._monitor.sample(self._target.name)
        if sample is not None and self.on_cpu is not None:
            self.on_cpu(self._target.name, sample)

    def _fold_intervals(self) -> None:
        for cut in self._intervals():
            rows = []
            for raw in cut.recorded:
                row = self._fold(raw)
                rows.append(row)
                feed(self._environment.stats, row, cut.end_s - cut.start_s)
            if self.on_interval is not None:
                times = (cut.start_s, cut.end_s)
                self.on_interval(IntervalReport(cut.turn, cut.number, cut.target, cut.measured, *times, tuple(rows)))

    def _intervals(self) -> Iterable[_CutInterval]:
        while (cut := self._cut.get()) is not None:
            yield cut

    def _fold(self, raw: RawInterval) -> IntervalStats:
        for row in fold(raw):
            if row is not None:
                return row
            gevent.sleep(0)  # let the hub answer sockets and timers between two slices
        raise AssertionError("fold always ends with a row")


def turn_seed(seed: int, turn: int) -> int:
    """The seed of one turn's start offsets."""
    return random.Random(f"{seed}/{turn}").getrandbits(32)
