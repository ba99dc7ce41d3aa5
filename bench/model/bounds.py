"""Throughput bounds: what a concurrency pattern can reach at most, by queueing theory.

Every pattern here is one station: ``places`` identical servers in the sense of queueing theory, each of which holds one
request for ``service_s`` seconds. A blocked event loop is a station with one place, a threadpool has one place for each
token, and awaiting has no limit. With N users in a closed loop without think time, the asymptotic operational bounds are

    throughput <= min(N, places) / service_s
    latency    >= max(service_s, N * service_s / places)

Source: Denning and Buzen, "The Operational Analysis of Queueing Network Models", ACM Computing Surveys 10(3), 1978,
section 6 (asymptotic bounds). Little's law, N = X * R, links the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ANYIO_TOKENS = 40
"""Threads that FastAPI's threadpool runs at once: anyio's default CapacityLimiter, one for each event loop."""


@dataclass(frozen=True)
class UpperBound:
    """One station with ``places`` (``math.inf``: no limit), each of which takes ``service_s`` seconds for a request.

    ``kind`` says what takes that time. A bound on *waiting* comes from a clock and cannot be exceeded: a higher
    measurement is wrong. A bound on *cpu* is a rough figure: its service time was read on one machine, and speeds of
    machines differ by tens of percent. It sets the length of a turn and is drawn for orientation. It never invalidates
    a trial.
    """

    formula: str
    service_s: float
    places: float
    kind: Literal["waiting", "cpu"] = "waiting"

    def __post_init__(self) -> None:
        if not (self.service_s > 0 and math.isfinite(self.service_s)):
            raise ValueError(f"service_s must be a positive number of seconds, not {self.service_s}")
        if not self.places >= 1:
            raise ValueError(f"places must be at least 1, not {self.places}")

    def max_rps(self, users: int | None = None, rate_rps: float | None = None) -> float:
        """Requests a second at most, with ``users`` in a closed loop or with arrivals at ``rate_rps``."""
        places = self.places if users is None else min(users, self.places)
        station_rps = places / self.service_s
        return station_rps if rate_rps is None else min(rate_rps, station_rps)

    def min_latency_s(self, users: int | None = None) -> float:
        """Seconds that a request takes at least, in the steady state. Without users: at an empty station."""
        if users is None:
            return self.service_s
        return max(self.service_s, users * self.service_s / self.places)


def blocked_loop(wait_s: float) -> UpperBound:
    """A blocking call inside ``async def``: it holds the loop's only thread, so requests pass one at a time."""
    return UpperBound("1/S", wait_s, 1)


def awaited(wait_s: float) -> UpperBound:
    """An awaited wait: all requests in flight wait at the same time."""
    return UpperBound("N/S", wait_s, math.inf)


def one_after_another(*waits_s: float) -> UpperBound:
    """Several awaits in a row: their times add up, and all requests in flight wait at the same time."""
    return UpperBound(f"N/({' + '.join(_symbols(waits_s))})", math.fsum(waits_s), math.inf)


def overlapped(*waits_s: float) -> UpperBound:
    """Several awaits at once (``gather``, ``TaskGroup``): a request takes as long as the longest of them."""
    return UpperBound(f"N/max({', '.join(_symbols(waits_s))})", max(waits_s), math.inf)


def threadpool(wait_s: float, tokens: int = ANYIO_TOKENS) -> UpperBound:
    """A blocking call on a worker thread, in plain ``def`` or ``run_in_threadpool``: one request for each token.

    A synchronous dependency takes a token, too, whatever the endpoint is. Source of the number: anyio's documentation,
    "Working with threads" (the default limiter has 40 tokens, one limiter for each event loop).
    """
    return UpperBound(f"min(N, {tokens})/S", wait_s, tokens)


def background_tasks(wait_s: float, tokens: int = ANYIO_TOKENS) -> UpperBound:
    """Synchronous functions in ``BackgroundTasks``: accepted at once, *done* at the threadpool's rate.

    The bound is on the work, not on its acceptance. Arrivals beyond T/S pile up as a backlog.
    """
    return UpperBound(f"T/S, T = {tokens}", wait_s, tokens)


def blocked_workers(wait_s: float, workers: int) -> UpperBound:
    """``workers`` processes, each with a blocked loop: one request for each worker that has a connection.

    A keep-alive connection stays with the worker that accepted it, so some workers may have none. ``busy_workers`` says
    how many to expect.
    """
    return UpperBound("W/S", wait_s, workers)


def busy_workers(workers: int, connections: int) -> float:
    """Expected number of workers with at least one of ``connections``, placed at random: W(1 - (1 - 1/W)^N).

    This is the mean number of occupied boxes. Source: Feller, "An Introduction to Probability Theory and Its
    Applications", volume 1, 3rd edition, section IX.2 (a sum of indicators).

        busy_workers(4, 4)     # 2.73: on average more than one of four workers is idle
        busy_workers(4, 32)    # 4.00
    """
    return float(workers * (1 - (1 - 1 / workers) ** connections))


def gil_bound(cpu_s: float) -> UpperBound:
    """Python code that computes, in ``async def`` or in threads: the GIL allows one thread at a time, so 1/c.

    Source: Beazley, "Understanding the Python GIL", PyCon 2010. Switching between threads costs more time still.
    """
    return UpperBound("1/c", cpu_s, 1, "cpu")


def gil_released(cpu_s: float, cores: int) -> UpperBound:
    """C code in threads that releases the GIL while it computes: at most one request for each core.

    By Amdahl's law, the share of c spent with the GIL held lowers the bound. That share is not known beforehand.
    """
    return UpperBound("min(N, cores)/c", cpu_s, cores, "cpu")


def process_pool(cpu_s: float, processes: int, cores: int) -> UpperBound:
    """A pool of ``processes``, each with its own GIL: as many requests at once as there are cores for them."""
    return UpperBound(f"min(N, {processes}, cores)/c", cpu_s, min(processes, cores), "cpu")


def _symbols(waits_s: tuple[float, ...]) -> list[str]:
    return [f"S{number}" for number, _ in enumerate(waits_s, start=1)]


def frozen_response_ms(percentile: float, base_ms: float, freeze_s: float, every_s: float) -> float:
    """The percentile of response times, in ms, of a server that stops for ``freeze_s`` in every ``every_s`` seconds.

    Arrivals are even, so a share of freeze_s / every_s meets the freeze. Each of these waits for the rest of it, which
    is uniform between nothing and the whole freeze. The others take ``base_ms``. The time that the server needs to work
    off its queue is left out.

        frozen_response_ms(90, 0.3, freeze_s=1, every_s=5)    # 500: a fifth meets the freeze, half of it waits longer
    """
    beyond = (1 - percentile / 100) / (freeze_s / every_s)
    return base_ms if beyond >= 1 else max(base_ms, (1 - beyond) * freeze_s * 1000)
