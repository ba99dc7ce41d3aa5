"""A conductor whose turn somebody watches: its users come one by one, and it ends when it is told to."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from gevent.event import Event

from bench.load.coordinator import Coordinator, LoadPlan

PEOPLED_WITHIN_S = 600.0
"""Longer than any load lasts."""


class InteractiveCoordinator(Coordinator):
    """Measures from the moment at which all users are there and warm, until the turn is over or ``stop`` was called."""

    def __init__(self, runner: Any) -> None:
        super().__init__(runner)
        self._spawned = Event()
        self._stopped = Event()
        self.phase = ""
        self._measured_since_s: float | None = None
        runner.environment.events.spawning_complete.add_listener(lambda **_: self._spawned.set())

    def prepare(self) -> None:
        """Before each start: forget who was there."""
        self._joined.clear()
        self._finished.clear()
        self._received.clear()
        self._edges.clear()
        self._quiet.clear()
        self._spawned.clear()
        self._stopped.clear()
        self.phase = "starting users"
        self._measured_since_s = None

    def stop(self) -> None:
        """End the turn under way; before its beginning, there will be none."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether it was told to end."""
        return bool(self._stopped.is_set())

    @property
    def measured_s(self) -> float:
        """How long it has been measured, until now; 0 while nothing is."""
        return 0.0 if self._measured_since_s is None else perf_counter() - self._measured_since_s

    def conduct(self, lineup: LoadPlan) -> dict[str, Any]:
        facts = super().conduct(lineup)
        self.phase = "stopping"
        return facts

    def peopled(self, start_s: float) -> float:
        until_s = start_s + PEOPLED_WITHIN_S
        while not self._spawned.is_set() and not self.stopped and perf_counter() < until_s:
            self._spawned.wait(0.05)
        self.phase = "warming up"
        return perf_counter()

    def pause_until(self, moment_s: float) -> None:
        self._stopped.wait(max(0.0, moment_s - perf_counter()))
        if self.phase == "warming up" and not self.stopped:
            self.phase = "measuring"
            self._measured_since_s = perf_counter()
