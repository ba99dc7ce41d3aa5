"""Latency distributions with unanswered requests, as pure functions over numbers.

Latencies are integer microseconds with counts, as histograms keep them. A request that was not answered when its turn
ended is a *right-censored* observation: it takes longer than its age. Percentiles are read from the Kaplan-Meier curve,
which for complete data is the ordinary empirical distribution.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SAMPLES_BEYOND = 9
"""Observations that must lie beyond a percentile before it is called a number. Fewer, and the percentile is decided by
a handful of requests: its own 95 % interval would span several percentiles. A convention, not a law: about ten."""

ROUNDING = 1e-9
"""Slack when a survival probability is compared with 1 - q: both come from products of floating point numbers."""


@dataclass(frozen=True)
class Bounded:
    """A value, or where ``at_least`` a lower bound: the truth lies above it."""

    value: float
    at_least: bool


@dataclass(frozen=True)
class Latencies:
    """Observed latencies of one endpoint: values in us, ascending and unique, each with its count.

    ``finished``: answered requests that began in a measured part.
    ``censored``: ages of requests that began in a measured part and were not answered by its end.
    ``starved``: ages of requests that began *before* a measured part and were not answered by its end. They are no part
    of the distribution (see ``survival``), but of maxima and of shares above a limit.
    """

    finished_us: Floats
    finished_n: Floats
    censored_us: Floats
    censored_n: Floats
    starved_us: Floats
    starved_n: Floats

    @property
    def finished(self) -> int:
        """Number of answered requests."""
        return int(self.finished_n.sum())

    @property
    def censored(self) -> int:
        """Number of censored requests."""
        return int(self.censored_n.sum())

    @property
    def starved(self) -> int:
        """Number of starved requests."""
        return int(self.starved_n.sum())

    @property
    def total(self) -> int:
        """Number of requests that began in a measured part."""
        return self.finished + self.censored


@dataclass(frozen=True)
class Survival:
    """The Kaplan-Meier curve: ``alive[i]`` is the share of requests that take longer than ``time_us[i]``.

    ``time_us`` holds only the times at which a request finished, ascending; before the first the share is 1.
    ``at_risk[i]`` requests were known to take at least ``time_us[i]``; ``censored[i]`` were censored before. After ``end_us``, the longest observation of
    either kind, nothing is known. ``watched_us`` is the largest age at which SAMPLES_BEYOND requests were still at risk
    (0 where there never were so many).
    """

    time_us: Floats
    alive: Floats
    at_risk: Floats
    censored: Floats
    total: int
    end_us: float
    watched_us: float


def histogram(values_us: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Sum the counts of equal values: ascending unique values and their counts."""
    if len(values_us) == 0:
        return np.empty(0), np.empty(0)
    unique, where = np.unique(values_us, return_inverse=True)
    return unique.astype(float), np.bincount(where, weights=counts).astype(float)


NOTHING: tuple[Floats, Floats] = (np.empty(0), np.empty(0))


def latencies(
    finished: tuple[Floats, Floats],
    censored: tuple[Floats, Floats] = NOTHING,
    starved: tuple[Floats, Floats] = NOTHING,
) -> Latencies:
    """From (values in us, counts) in any order, with repetitions."""
    return Latencies(*histogram(*finished), *histogram(*censored), *histogram(*starved))


def add(parts: Iterable[Latencies]) -> Latencies:
    """Add histograms, of rounds for example. The sum of none is empty."""
    listed = list(parts)
    if not listed:
        return latencies(NOTHING)

    def joined(values: str, counts: str) -> tuple[Floats, Floats]:
        columns = ([getattr(part, name) for part in listed] for name in (values, counts))
        joined_values, joined_counts = (np.concatenate(column) for column in columns)
        return joined_values, joined_counts

    return latencies(
        joined("finished_us", "finished_n"), joined("censored_us", "censored_n"), joined("starved_us", "starved_n")
    )


def survival(observed: Latencies) -> Survival:
    """The Kaplan-Meier estimate from counts: S(t) = product over t_i <= t of (1 - finished_i / at risk_i).

    A request censored at the very time when another finished was still at risk then (the usual convention).
    Source: Kaplan and Meier, Journal of the American Statistical Association 53 (1958) 457-481.

    It assumes that a request that is cut off by the end of a turn would have gone on like the others of its age.
    Starved requests are left out, since that is not true of them: no other request of their age was watched. Entering
    them late (left truncation) does not help either, as no request is at risk at the ages at which they could enter.
    """
    if observed.total == 0:
        return Survival(*(np.empty(0),) * 4, 0, 0.0, 0.0)
    finished_before = np.cumsum(observed.finished_n) - observed.finished_n
    censored_so_far = np.concatenate(([0.0], np.cumsum(observed.censored_n)))
    censored_before = censored_so_far[np.searchsorted(observed.censored_us, observed.finished_us, side="left")]
    at_risk = observed.total - finished_before - censored_before
    alive = np.cumprod(1 - observed.finished_n / at_risk).astype(np.float64)
    end_us = max(float(values[-1]) for values in (observed.finished_us, observed.censored_us) if len(values))
    watched_us = _watched_us(observed)
    return Survival(
        observed.finished_us,
        alive,
        at_risk.astype(np.float64),
        censored_before.astype(np.float64),
        observed.total,
        end_us,
        watched_us,
    )


def _watched_us(observed: Latencies) -> float:
    """The SAMPLES_BEYOND-th largest observation of either kind."""
    values = np.concatenate((observed.finished_us, observed.censored_us))
    counts = np.concatenate((observed.finished_n, observed.censored_n))
    order = np.argsort(values)[::-1]
    enough = np.flatnonzero(np.cumsum(counts[order]) >= SAMPLES_BEYOND)
    return float(values[order][enough[0]]) if len(enough) else 0.0


def samples_needed(share: float) -> int:
    """Observations that the percentile ``share`` (0.99 for p99) needs beyond which SAMPLES_BEYOND lie: 900 for p99."""
    return math.ceil(SAMPLES_BEYOND / (1 - share) - ROUNDING)


def percentile(curve: Survival, share: float) -> Bounded | None:
    """The smallest latency in us within which ``share`` of the requests are answered.

    A number where SAMPLES_BEYOND requests beyond it were still at risk there. Where there are fewer since most requests
    were not answered, a lower bound: the largest age at which so many were at risk. None where there are simply too few
    observations (samples_needed).
    """
    if curve.total < samples_needed(share):
        return None
    reached = np.flatnonzero(curve.alive <= 1 - share + ROUNDING)
    if len(reached) == 0:
        return Bounded(curve.watched_us, at_least=True)
    first = int(reached[0])
    value_us = float(curve.time_us[first])
    if _beyond(curve, first, share) < SAMPLES_BEYOND:
        mostly_censored = curve.censored[first] > curve.total / 2
        return Bounded(min(curve.watched_us, value_us), at_least=True) if mostly_censored else None
    return Bounded(value_us, at_least=False)


def _beyond(curve: Survival, place: int, share: float) -> float:
    """Requests at risk that lie beyond the percentile. Of equal values, those that it does not need count as beyond."""
    before = float(curve.alive[place - 1]) if place else 1.0
    at_risk = float(curve.at_risk[place])
    needed = math.ceil(at_risk * (before - (1 - share)) / before - ROUNDING * at_risk)
    return at_risk - max(needed, 1)


def mean(curve: Survival) -> Bounded | None:
    """Mean latency in us: the area under the curve. A lower bound where the curve does not come down to 0."""
    if curve.total == 0:
        return None
    steps_us = np.diff(np.concatenate(([0.0], curve.time_us, [curve.end_us])))
    levels = np.concatenate(([1.0], curve.alive))
    rest = float(curve.alive[-1]) if len(curve.alive) else 1.0
    return Bounded(float(np.sum(steps_us * levels)), at_least=rest > ROUNDING)


def maximum(observed: Latencies) -> Bounded | None:
    """The longest latency in us. A lower bound where an unanswered request is older than every answered one."""
    if observed.total + observed.starved == 0:
        return None
    finished_us = float(observed.finished_us[-1]) if observed.finished else -1.0
    unanswered = (observed.censored_us, observed.starved_us)
    unanswered_us = max((float(ages_us[-1]) for ages_us in unanswered if len(ages_us)), default=-1.0)
    return Bounded(max(finished_us, unanswered_us), at_least=unanswered_us >= finished_us)


def share_above(observed: Latencies, limit_us: float) -> float | None:
    """The share of requests that take longer than ``limit_us``; None where nothing was observed for that long.

    An unanswered request that is older than the limit counts as above it; a younger one says nothing either way.
    Starved requests that are older than the limit count as above it, too.
    """
    curve = survival(observed)
    starved = float(observed.starved_n[observed.starved_us > limit_us].sum())
    if curve.total == 0:
        return 1.0 if starved else None
    passed = int(np.searchsorted(curve.time_us, limit_us, side="right"))
    alive = float(curve.alive[passed - 1]) if passed else 1.0
    if alive > ROUNDING and curve.end_us <= limit_us:
        return None
    above = alive * curve.total if alive > ROUNDING else 0.0
    return (above + starved) / (curve.total + starved)
