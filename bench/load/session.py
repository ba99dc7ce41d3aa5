"""Where the traffic of one Locust process happens: its players, and the channels of the target whose turn it is.

Without a lineup (somebody runs a locustfile by hand) there is one target, ``--host``, and one endless turn. Either way
Locust's own statistics are fed from the same intervals, so its tables and its web UI are live.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Any

import gevent
from gevent.queue import Queue

from bench.load.arrival_schedule import staggered
from bench.load.endpoint_recorder import EndpointRecorder, IntervalStats, RawInterval, fold
from bench.load.generator_monitor import SAMPLE_S, CpuSample, GeneratorMonitor
from bench.load.locust_stats import feed
from bench.load.request import Target
from bench.load.trial_recorder import IntervalReport
from bench.load.virtual_users import OpenModelGenerator, VirtualUser
from bench.results.schema import INTERVAL_S

TICK_S = 0.02
"""How often it is looked whether an interval is due, or a request too old."""
SPACING_S = INTERVAL_S - 2 * TICK_S
"""Intervals are cut at multiples of this from the start of a turn's warm-up or measured part, in every generator alike;
a late look must not make one longer than the contract's second."""


class LoadSession:
    """The players of this process, moved together from target to target; every method runs in one gevent hub."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._players: dict[VirtualUser, str] = {}
        self._target: Target | None = None
        self._channels: dict[str, EndpointRecorder] = {}
        self._turn = 0
        self._measured = False
        self._number = 0
        self._interval_start_s = 0.0
        self._part_start_s = 0.0
        self._running = False
        self._late = random.Random(0)
        self._stagger_s = 0.0
        self._jobs: Queue[tuple[IntervalReport, list[RawInterval]] | None] = Queue()
        self._gauge = GeneratorMonitor()
        self.on_interval: Callable[[IntervalReport], None] | None = None
        self.on_load: Callable[[str, CpuSample], None] | None = None
        self.on_pools: Callable[[], None] | None = None
        """Called when a pool comes or goes, where several processes share its timetable."""
        self._greenlets = [gevent.spawn(self._tick), gevent.spawn(self._scribe)]

    @property
    def players(self) -> Counter[str]:
        """How many players of each user class have joined."""
        return Counter(self._players.values())

    def complete(self, user_class: str, users: int) -> bool:
        """Whether all ``users`` of a class have joined; a pool is one player for all of them."""
        players = [player for player, name in self._players.items() if name == user_class]
        return len(players) == users or any(isinstance(player, OpenModelGenerator) for player in players)

    def join(self, player: VirtualUser, user_class: str) -> None:
        """A user has come; where traffic runs already, it starts at once, or within the turn's stagger."""
        self._players[player] = user_class
        if self.on_pools is not None and isinstance(player, OpenModelGenerator):
            self.on_pools()  # it starts when it is told its share of the timetable
        elif self._running and self._target is not None:
            player.begin(self._target, self.channel, self._late.uniform(0.0, self._stagger_s))

    def leave(self, player: VirtualUser) -> None:
        """A user has gone, and its connections with it."""
        self._players.pop(player, None)
        player.close()
        if self.on_pools is not None and isinstance(player, OpenModelGenerator):
            self.on_pools()

    def share(self, shares: Mapping[str, tuple[int, int]]) -> None:
        """Which part of how many this process plays of each user class's timetable; a running one starts anew."""
        for player, user_class in self._players.items():
            if not isinstance(player, OpenModelGenerator) or user_class not in shares:
                continue
            player.part, player.parts = shares[user_class]
            if self._running and self._target is not None:
                player.begin(self._target, self.channel)

    def channel(self, endpoint: str) -> EndpointRecorder:
        """Where requests to ``endpoint`` of the current target are counted."""
        channel = self._channels.get(endpoint)
        if channel is None:
            channel = self._channels[endpoint] = EndpointRecorder(endpoint, self._part_start_s)
        return channel

    def begin(self, turn: int, target: Target, stagger_s: float = 0.0, seed: int = 0) -> float:
        """Start a turn's warm-up on ``target``: every player, each at its own offset within ``stagger_s``."""
        now_s = perf_counter()
        self._turn, self._target = turn, target
        self._number = 0
        self._measured = False
        self._interval_start_s = self._part_start_s = now_s
        self._channels = {}
        self._running = True
        self._late, self._stagger_s = random.Random(seed), stagger_s
        self._gauge.restart()
        offsets = staggered(len(self._players), stagger_s, seed) if stagger_s else [0.0] * len(self._players)
        for player, offset_s in zip(self._players, offsets, strict=True):
            player.begin(target, self.channel, offset_s)
        return now_s

    def measure(self) -> float:
        """The warm-up is over: what begins from now on counts."""
        now_s = self._close_interval()
        self._measured = True
        self._number = 0
        self._part_start_s = now_s
        for channel in self._channels.values():
            channel.part_start_s = now_s
        for player in self._players:
            player.measure(now_s)
        return now_s

    def end(self) -> float:
        """The turn is over: nothing more is sent, and what is unanswered is booked as unfinished."""
        end_s = perf_counter()
        self._running = False
        for player in self._players:
            player.end(end_s)
        self._sample()
        return end_s

    @property
    def quiet(self) -> bool:
        """Whether every request of the turn has come back."""
        return not any(player.in_flight for player in self._players)

    def close_turn(self, end_s: float) -> None:
        """Hang up on what has not come back, and book the turn's last interval."""
        for player in self._players:
            player.abandon()
        self._close_interval(end_s)

    def finish(self) -> None:
        """Wait until every interval has been handed over, a turn's that was not ended included."""
        if self._running:
            self._running = False
            self._close_interval()
        self._jobs.put(None)
        self._greenlets[1].join()
        self._greenlets[0].kill()

    def record(self, endpoint: str, latency_s: float, cause: str, detail: str, status: int) -> None:
        """Count a request of an ordinary Locust user, which has just ended; an empty ``cause`` is success."""
        if not self._running:
            return
        channel = self.channel(endpoint)
        done_s = perf_counter()
        begun_s = done_s - latency_s
        channel.started += 1
        if cause:
            channel.failed(begun_s, begun_s, done_s, cause, detail, status)
        elif begun_s < channel.part_start_s:
            channel.carried(begun_s, begun_s, done_s)
        else:
            channel.add_service(max(1, int(latency_s * 1e6)))

    # Intervals

    def _close_interval(self, end_s: float | None = None) -> float:
        now_s = perf_counter() if end_s is None else end_s
        if self._target is None:
            return now_s
        taken = [channel.take() for channel in self._channels.values()]
        interval = IntervalReport(
            self._turn, self._number, self._target.name, self._measured, self._interval_start_s, now_s, []
        )
        self._jobs.put((interval, taken))
        self._number += 1
        self._interval_start_s = now_s
        return now_s

    def _tick(self) -> None:
        sampled_s = 0.0
        while True:
            gevent.sleep(TICK_S)
            now_s = perf_counter()
            for player in self._players:
                player.expire(now_s)
            if not self._running:
                continue
            if int((now_s - self._part_start_s) / SPACING_S) > self._number:
                self._close_interval()
            if now_s - sampled_s >= SAMPLE_S:
                self._sample()
                sampled_s = now_s

    def _sample(self) -> None:
        load = self._gauge.sample()
        if load is not None and self._target is not None and self.on_load is not None:
            self.on_load(self._target.name, load)

    def _scribe(self) -> None:
        for interval, taken in self._jobs_until_end():
            for raw in taken:
                row = self._fold(raw)
                interval.rows.append(row)
                feed(self._environment.stats, row, interval.end_s - interval.start_s)
            if self.on_interval is not None:
                self.on_interval(interval)

    def _jobs_until_end(self) -> Iterable[tuple[IntervalReport, list[RawInterval]]]:
        while (job := self._jobs.get()) is not None:
            yield job

    def _fold(self, taken: RawInterval) -> IntervalStats:
        for row in fold(taken):
            if row is not None:
                return row
            gevent.sleep(0)  # let the hub answer sockets and timers between two slices
        raise AssertionError("fold always ends with a row")


def turn_seed(seed: int, turn: int) -> int:
    """The seed of one turn's start offsets."""
    return random.Random(f"{seed}/{turn}").getrandbits(32)
