"""When requests are due: arithmetic without clocks, in seconds from a start that the caller chooses."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate, count, repeat
from typing import Literal

ArrivalProcess = Literal["constant", "poisson"]


def constant(rate_rps: float, part: int = 0, parts: int = 1) -> Iterator[float]:
    """Arrivals at equal distances: k / rate. Of ``parts`` generators, each takes every parts-th arrival.

    >>> [round(t, 2) for t, _ in zip(constant(10), range(3))]
    [0.0, 0.1, 0.2]
    """
    _check(rate_rps, part, parts)
    return (k / rate_rps for k in count(part, parts))


def poisson(rate_rps: float, seed: int, part: int = 0, parts: int = 1) -> Iterator[float]:
    """A Poisson process: independent exponential gaps with mean 1 / rate.

    Of ``parts`` generators each draws an independent stream of rate / parts; their superposition is again a Poisson
    process of the whole rate (Kingman, *Poisson Processes*, 1993, section 2.2).
    """
    _check(rate_rps, part, parts)
    gaps = random.Random(f"{seed}/{part}/{parts}")
    mean_rps = rate_rps / parts
    return accumulate(gaps.expovariate(mean_rps) for _ in repeat(None))


def arrivals(process: ArrivalProcess, rate_rps: float, seed: int, part: int = 0, parts: int = 1) -> Iterator[float]:
    """The schedule of a process by its name. ValueError for a name, rate or part that is not allowed."""
    if process == "constant":
        return constant(rate_rps, part, parts)
    if process == "poisson":
        return poisson(rate_rps, seed, part, parts)
    raise ValueError(f"arrivals are 'constant' or 'poisson', not {process!r}")


def staggered(users: int, over_s: float, seed: int) -> list[float]:
    """Start offsets of ``users``, spread over ``over_s``: one at random in each of as many equal slots.

    Users who start together on an endpoint of near-constant latency answer in bursts, which the edges of a turn then
    cut unevenly; the slots keep the phases apart and the randomness keeps them from locking to the turns.
    """
    draw = random.Random(seed)
    slots = list(range(users))
    draw.shuffle(slots)
    return [(slot + draw.random()) * over_s / users for slot in slots]


def _check(rate_rps: float, part: int, parts: int) -> None:
    if not 0 < rate_rps < float("inf"):
        raise ValueError(f"an arrival rate must be a positive number of requests per second, not {rate_rps}")
    if not 0 <= part < parts:
        raise ValueError(f"part must be from 0 to {parts - 1}, not {part}")
