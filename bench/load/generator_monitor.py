"""How hard the generator itself works: its CPU, and how long it was kept waiting for one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.5
"""Locust's own warning looks every 10 s, and its first reading is 0: too late for a trial of 3 s."""
SHORTEST_S = 0.2
"""A shorter sample says more about the clock's grain than about the generator."""


@dataclass(frozen=True)
class CpuSample:
    """One sample: cores used, and the share of the time that this process was runnable but had no core."""

    cpu_cores: float
    waiting_share: float | None


class GeneratorMonitor:
    """Samples this process between two calls."""

    _wall_s: float
    _cpu_s: float
    _waited_s: float | None

    def __init__(self) -> None:
        self.restart()

    def sample(self) -> CpuSample | None:
        """Since the last call; None where that is too short ago to say anything."""
        wall_s, cpu_s, waited_s = time.perf_counter(), time.process_time(), _waited_s()
        length_s = wall_s - self._wall_s
        if length_s < SHORTEST_S:
            return None
        waiting = None
        if waited_s is not None and self._waited_s is not None:
            waiting = (waited_s - self._waited_s) / length_s
        load = CpuSample((cpu_s - self._cpu_s) / length_s, waiting)
        self._wall_s, self._cpu_s, self._waited_s = wall_s, cpu_s, waited_s
        return load

    def restart(self) -> None:
        """Forget what was before now."""
        self._wall_s = time.perf_counter()
        self._cpu_s = time.process_time()
        self._waited_s = _waited_s()


def _waited_s() -> float | None:
    # Second field of schedstat: nanoseconds spent runnable on a run queue (Linux, Documentation/scheduler).
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None
