"""Splits the cores of this machine between the load generator and the servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Cores of the load generator and of the servers. Where the two overlap, they share cores."""

    generator: tuple[int, ...]
    server: tuple[int, ...]

    @property
    def shared(self) -> bool:
        """Whether the load generator has no core of its own. A result must say so."""
        return bool(set(self.generator) & set(self.server))


def cores_for(parallel: bool, available: Iterable[int] | None = None) -> Cores | None:
    """Split the cores that this process may use, or ``available``. None where processes cannot be pinned (macOS).

    The generator gets the last core alone, the servers get the others, so that the generator does not slow down the
    server it measures. They share a single core. ``parallel`` is for scenarios about parallelism: of two cores, the
    servers get both, since parallelism needs two.

        cores_for(False, (0, 1, 2, 3))  ->  generator (3,), server (0, 1, 2)
        cores_for(True, (0, 1))         ->  generator (1,), server (0, 1)
    """
    if available is None:
        if sys.platform != "linux":
            return None
        available = os.sched_getaffinity(0)
    cores = tuple(sorted(available))
    if len(cores) == 1 or (parallel and len(cores) == 2):
        return Cores(cores[-1:], cores)
    return Cores(cores[-1:], cores[:-1])
