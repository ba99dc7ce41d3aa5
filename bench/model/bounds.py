"""Closed-form ceilings: what queueing theory says a concurrency pattern can reach at most.

Every pattern here is one station: ``servers`` identical places, each holding a request for ``service_s`` seconds.
A blocked event loop is a station with one place, a threadpool has as many as it has tokens, awaiting has no limit.
With N users in a closed loop without think time, the asymptotic operational bounds are

    throughput <= min(N, servers) / service_s
    latency    >= max(service_s, N * service_s / servers)

Source: Denning and Buzen, "The Operational Analysis of Queueing Network Models", ACM Computing Surveys 10(3), 1978,
section 6 (asymptotic bounds); Little's law N = X * R links the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ANYIO_TOKENS = 40
"""Threads that FastAPI's threadpool runs at once: anyio's default CapacityLimiter, one for every event loop."""


@dataclass(frozen=True)
class UpperBound:
    """One station: ``servers`` places (``math.inf`` for no limit), each taking ``service_s`` seconds a request.

    ``kind`` says what is spent there. A bound on *waiting* comes from a clock and cannot be beaten: a measurement
    above it is wrong. A bound on *cpu* is worth less: its c was read on one machine, and drifts with any machine's
    speed by tens of percent. It says how long a turn has to be, and is drawn for the order of magnitude; no verdict
    rests on it.
    """

    formula: str
    service_s: float
    servers: float
    kind: Literal["waiting", "cpu"] = "waiting"

    def __post_init__(self) -> None:
        if not (self.service_s > 0 and math.isfinite(self.service_s)):
            raise ValueError(f"service_s must be a positive number of seconds, not {self.service_s}")
        if not self.servers >= 1:
            raise ValueError(f"servers must be at least 1, not {self.servers}")

    def ceiling_rps(self, users: int | None = None, rate_rps: float | None = None) -> float:
        """Requests per second at most, for ``users`` in a closed loop, or for arrivals at ``rate_rps``."""
        places = self.servers if users is None else min(users, self.servers)
        most_rps = places / self.service_s
        return most_rps if rate_rps is None else min(rate_rps, most_rps)

    def latency_s(self, users: int | None = None) -> float:
        """Seconds that a request takes at least, in the steady state; without users, an empty station's."""
        if users is None:
            return self.service_s
        return max(self.service_s, users * self.service_s / self.servers)


def blocked_loop(wait_s: float) -> UpperBound:
    """A blocking call inside ``async def``: the loop's one thread is held, so requests pass one at a time."""
    return UpperBound("1/S", wait_s, 1)


def awaited(wait_s: float) -> UpperBound:
    """An awaited wait: every request in flight waits at the same time."""
    return UpperBound("N/S", wait_s, math.inf)


def one_after_another(*waits_s: float) -> UpperBound:
    """Several awaits in a row: their waits add up, and still every request in flight waits at the same time."""
    return UpperBound(f"N/({' + '.join(_symbols(waits_s))})", math.fsum(waits_s), math.inf)


def overlapped(*waits_s: float) -> UpperBound:
    """Several awaits at once (``gather``, ``TaskGroup``): a request takes as long as the longest of them."""
    return UpperBound(f"N/max({', '.join(_symbols(waits_s))})", max(waits_s), math.inf)


def threadpool(wait_s: float, tokens: int = ANYIO_TOKENS) -> UpperBound:
    """A blocking call on a worker thread, in plain ``def`` or ``run_in_threadpool``: as many at once as tokens.

    A synchronous dependency takes a token as well, whatever the endpoint is. Source of the number: anyio's
    documentation, "Working with threads" (the default limiter has 40 tokens, one limiter for every event loop).
    """
    return UpperBound(f"min(N, {tokens})/S", wait_s, tokens)


def background_tasks(wait_s: float, tokens: int = ANYIO_TOKENS) -> UpperBound:
    """Synchronous functions in ``BackgroundTasks``: accepted at once, but *done* at the threadpool's rate.

    The law is that of the work, not of the accepting: what arrives faster than T/S stays behind as backlog.
    """
    return UpperBound(f"T/S, T = {tokens}", wait_s, tokens)


def blocked_workers(wait_s: float, workers: int) -> UpperBound:
    """``workers`` processes, each with a blocked loop: so many requests at once, if each has a connection to serve.

    A keep-alive connection stays with the worker that accepted it, so this bound is only reached where no worker stands
    idle; ``busy_workers`` says how many to expect.
    """
    return UpperBound("W/S", wait_s, workers)


def busy_workers(workers: int, connections: int) -> float:
    """Workers expected to have any of ``connections`` that were placed at random: W(1 - (1 - 1/W)^N).

    The mean number of occupied boxes; source: Feller, "An Introduction to Probability Theory and Its Applications",
    volume 1, 3rd edition, section IX.2 (a sum of indicators).

        busy_workers(4, 4)     # 2.73: one of four workers stands idle, and some of another
        busy_workers(4, 32)    # 4.00
    """
    return float(workers * (1 - (1 - 1 / workers) ** connections))


def gil_bound(cpu_s: float) -> UpperBound:
    """Python code that computes, in ``async def`` or in threads: the GIL lets one of them at a time, so 1/c.

    Source: Beazley, "Understanding the Python GIL", PyCon 2010. Handing the GIL about costs more still.
    """
    return UpperBound("1/c", cpu_s, 1, "cpu")


def gil_released(cpu_s: float, cores: int) -> UpperBound:
    """C code in threads that lets the GIL go while it computes: at most one request a core; less what holds it.

    By Amdahl's law the share of c spent with the GIL held bounds it further, and that share is not known beforehand.
    """
    return UpperBound("min(N, cores)/c", cpu_s, cores, "cpu")


def process_pool(cpu_s: float, processes: int, cores: int) -> UpperBound:
    """Computing in a pool of ``processes``, each with a GIL of its own: as many at once as there are cores for."""
    return UpperBound(f"min(N, {processes}, cores)/c", cpu_s, min(processes, cores), "cpu")


def _symbols(waits_s: tuple[float, ...]) -> list[str]:
    return [f"S{number}" for number, _ in enumerate(waits_s, start=1)]


def frozen_response_ms(percentile: float, base_ms: float, freeze_s: float, every_s: float) -> float:
    """Response time within which a server answers ``percentile`` % if it stands still ``freeze_s`` in ``every_s``.

    Arrivals are even, so the share freeze_s / every_s of them meets the freeze, and each waits for what is left of it:
    evenly between nothing and the whole freeze. The others take ``base_ms``. What the server needs to work off its
    queue afterwards is left out.

        frozen_response_ms(90, 0.3, freeze_s=1, every_s=5)    # 500: half of the fifth that meets the freeze waits on
    """
    beyond = (1 - percentile / 100) / (freeze_s / every_s)
    return base_ms if beyond >= 1 else max(base_ms, (1 - beyond) * freeze_s * 1000)
