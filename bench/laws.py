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
class Law:
    """One station: ``servers`` places (``math.inf`` for no limit), each taking ``service_s`` seconds a request.

    ``kind`` says what is spent there. A bound on *waiting* comes from a clock and cannot be beaten: a measurement
    above it is wrong. A bound on *cpu* drifts with the machine's speed, so it is drawn but never used as a verdict.
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


def blocked_loop(wait_s: float) -> Law:
    """A blocking call inside ``async def``: the loop's one thread is held, so requests pass one at a time."""
    return Law("1/S", wait_s, 1)


def awaited(wait_s: float) -> Law:
    """An awaited wait: every request in flight waits at the same time."""
    return Law("N/S", wait_s, math.inf)


def threadpool(wait_s: float, tokens: int = ANYIO_TOKENS) -> Law:
    """A blocking call on a worker thread, in plain ``def`` or ``run_in_threadpool``: as many at once as tokens."""
    return Law(f"min(N, {tokens})/S", wait_s, tokens)


def frozen_response_ms(percentile: float, base_ms: float, freeze_s: float, every_s: float) -> float:
    """Response time that ``percentile`` % keep to, of a server that stands still for ``freeze_s`` in every ``every_s``.

    Arrivals are even, so the share freeze_s / every_s of them meets the freeze, and each waits for what is left of it:
    evenly between nothing and the whole freeze. The others take ``base_ms``. What the server needs to work off its
    queue afterwards is left out.

        frozen_response_ms(90, 0.3, freeze_s=1, every_s=5)    # 500: a fifth meets the freeze, half of it waits longer
    """
    beyond = (1 - percentile / 100) / (freeze_s / every_s)
    return base_ms if beyond >= 1 else max(base_ms, (1 - beyond) * freeze_s * 1000)
