"""How hard the generator itself works: its CPU, how long it was kept waiting for a core, and whether it was stopped."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.5
"""Locust's own warning looks every 10 s, and its first reading is 0: too late for a trial of 3 s."""
SHORTEST_S = 0.2
"""A shorter sample says more about the clock's grain than about the generator. Shorter turns are added up."""


@dataclass(frozen=True)
class CpuSample:
    """One sample: cores used, and how long this process did not run at all."""

    cpu_cores: float
    stopped_s: float = 0.0
    """How much later than planned the sample was taken, or how long the machine slept meanwhile."""


@dataclass(frozen=True)
class _Reading:
    """The process's clocks. All in seconds."""

    wall_s: float
    cpu_s: float
    asleep_s: float
    """For how long the machine has been suspended since it was switched on."""


@dataclass
class _Usage:
    """What was used in one or more pieces of one target's turns."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    stopped_s: float = 0.0

    def add(self, before: _Reading, now: _Reading) -> None:
        length_s = now.wall_s - before.wall_s
        self.wall_s += length_s
        self.cpu_s += now.cpu_s - before.cpu_s
        stopped_s = max(0.0, length_s - SAMPLE_S) + max(0.0, now.asleep_s - before.asleep_s)
        self.stopped_s = max(self.stopped_s, stopped_s)

    def sample(self) -> CpuSample:
        return CpuSample(self.cpu_s / self.wall_s, self.stopped_s)


class GeneratorMonitor:
    """Samples this process during the turns of each target."""

    def __init__(self) -> None:
        self._usage: dict[str, _Usage] = {}
        self._last = _read()

    def sample(self, target: str) -> CpuSample | None:
        """Since the last call, in which ``target`` had its turn. None as long as that adds up to less than SHORTEST_S."""
        now = _read()
        usage = self._usage.setdefault(target, _Usage())
        usage.add(self._last, now)
        self._last = now
        return self._usage.pop(target).sample() if usage.wall_s >= SHORTEST_S else None

    def restart(self) -> None:
        """Forget what was since the last call."""
        self._last = _read()


def _read() -> _Reading:
    return _Reading(time.perf_counter(), time.process_time(), _asleep_s())


def waited_s() -> float | None:
    """For how long this process could run but had no core, since its start. None where the system does not tell."""
    # Second field of schedstat: nanoseconds spent runnable on a run queue (Linux, Documentation/scheduler).
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


def _asleep_s() -> float:
    """CLOCK_MONOTONIC stands still while the machine is suspended, CLOCK_BOOTTIME does not (clock_gettime(2))."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if boottime is None else time.clock_gettime(boottime) - time.clock_gettime(time.CLOCK_MONOTONIC)
