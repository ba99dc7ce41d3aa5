"""A coordinator whose turn somebody watches: users start one by one, and the turn ends when somebody stops it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from gevent.event import Event

from bench.load.coordinator import Coordinator
from bench.results.control_messages import PlannedTurn, RunTurns
from bench.results.schema import TrialFacts

MAX_SPAWN_S = 600.0
"""Longer than any load lasts."""


class InteractiveCoordinator(Coordinator):
    """Measures from the moment when all users have started and are warm, until the duration is over or ``stop``."""

    def __init__(self, runner: Any) -> None:
        super().__init__(runner)
        self._spawned = Event()
        self._stopped = Event()
        self._duration_s = 0.0
        self._measured_since_s: float | None = None
        self.phase = ""
        runner.environment.events.spawning_complete.add_listener(lambda **_: self._spawned.set())

    def prepare(self, duration_s: float) -> None:
        """Before each start: forget the agents of the last measurement."""
        self._users.clear()
        self._sent.clear()
        self._received.clear()
        self._done.clear()
        self._drained.clear()
        self._spawned.clear()
        self._stopped.clear()
        self._duration_s = duration_s
        self._measured_since_s = None
        self.phase = "starting users"

    def stop(self) -> None:
        """End the turn. Before its start, there will be none."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return bool(self._stopped.is_set())

    @property
    def measured_s(self) -> float:
        """Seconds that have been measured so far."""
        return 0.0 if self._measured_since_s is None else perf_counter() - self._measured_since_s

    def run_turns(self, plan: RunTurns) -> dict[str, TrialFacts]:
        facts = super().run_turns(plan)
        self.phase = "stopping"
        return facts

    def all_users_since(self, start_s: float) -> float:
        until_s = start_s + MAX_SPAWN_S
        while not self._spawned.is_set() and not self.stopped and perf_counter() < until_s:
            self._spawned.wait(0.05)
        self.phase = "warming up"
        return perf_counter()

    def measured_length_s(self, turn: PlannedTurn) -> float:
        return self._duration_s

    def pause_until(self, moment_s: float) -> None:
        self._stopped.wait(max(0.0, moment_s - perf_counter()))
        if self.phase == "warming up" and not self.stopped:
            self.phase = "measuring"
            self._measured_since_s = perf_counter()
