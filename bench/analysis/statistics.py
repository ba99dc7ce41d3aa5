"""The statistics, as pure functions over numbers: no files, no names of scenarios.

Latencies are integer microseconds with counts, as histograms keep them. A request that was never answered is not
dropped: its age is a *right-censored* observation, "it takes longer than this". Percentiles are therefore read from
the Kaplan-Meier curve, which for complete data is the ordinary empirical distribution.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95

SAMPLES_BEYOND = 9
"""Observations that must lie beyond a percentile before it is called a number. Fewer, and the percentile is decided by
a handful of requests: its own 95 % interval would span several percentiles. A convention, not a law: about ten, and two
seconds of ten health checks each hold 19 or 20."""

ROUNDING = 1e-9
"""Slack when a survival probability is compared with 1 - q: both come from products of floating point numbers."""


@dataclass(frozen=True)
class ConfidenceInterval:
    """The mean over ``rounds`` values, with its 95 % interval. ``low`` and ``high`` are None for one round."""

    mean: float
    low: float | None
    high: float | None
    rounds: int


@dataclass(frozen=True)
class Bounded:
    """A value, or where ``at_least`` a lower bound: the truth lies above it, nobody waited long enough to know."""

    value: float
    at_least: bool


@dataclass(frozen=True)
class Latencies:
    """A histogram of finished latencies and one of unanswered requests' ages; values in us, ascending and unique."""

    finished_us: Floats
    finished_n: Floats
    censored_us: Floats
    censored_n: Floats

    @property
    def finished(self) -> int:
        """How many requests were answered."""
        return int(self.finished_n.sum())

    @property
    def censored(self) -> int:
        """How many were not."""
        return int(self.censored_n.sum())

    @property
    def total(self) -> int:
        """How many were observed in all."""
        return self.finished + self.censored


@dataclass(frozen=True)
class Survival:
    """The Kaplan-Meier curve: ``alive[i]`` is the share of requests that take longer than ``time_us[i]``.

    ``time_us`` holds only the times at which a request finished, ascending; before the first the share is 1.
    After ``end_us``, the longest observation of either kind, nothing is known.
    """

    time_us: Floats
    alive: Floats
    total: int
    end_us: float


def t_quantile(probability: float, degrees: int) -> float:
    """Student's t quantile. scipy.special alone, as scipy.stats costs the user a second of import."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> ConfidenceInterval | None:
    """Mean of one value a round and its Student-t interval, mean ± t·s/√n; None without values.

    One round has no spread to tell from: its interval is None, never faked.
    """
    n = len(values)
    if n == 0:
        return None
    mean = math.fsum(values) / n
    if n == 1:
        return ConfidenceInterval(mean, None, None, 1)
    half = half_width(values, confidence)
    return ConfidenceInterval(mean, mean - half, mean + half, n)


TRIMMED_SHARE = 0.2
"""Cut from each end before the turns of a round are averaged. A noisy neighbour that slows one turn down to a quarter
weighs no more than any other turn: identical variants differed by 3.8 % a round in place of 5.1 %."""


def trimmed_mean(values: Sequence[float], share: float = TRIMMED_SHARE) -> float:
    """Mean of at least one value without the smallest and the largest ``share`` of them (rounded down) each.

    Of fewer than five values nothing is cut. Source: Tukey and McLaughlin, Sankhya A 25 (1963) 331-352.
    """
    cut = int(share * len(values))
    kept = sorted(values)[cut : len(values) - cut]
    return math.fsum(kept) / len(kept)


def half_width(values: Sequence[float], confidence: float = CONFIDENCE) -> float:
    """Half the width of the Student-t interval of the mean of at least two ``values``."""
    n = len(values)
    spread = float(np.std(np.asarray(values, dtype=float), ddof=1))
    return t_quantile(0.5 + confidence / 2, n - 1) * spread / math.sqrt(n)


def log_interval(pooled: float, values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """ConfidenceInterval around a ``pooled`` percentile from each round's own: pooled · exp(± t·s/√n), s of ln(values).

    Percentiles are never averaged, so the centre is the percentile of the summed histogram; the rounds only say how
    far it may be off. On the log scale because latencies multiply: the interval can never reach below zero.
    None with fewer than two rounds, or where a value is not positive.
    """
    if len(values) < 2 or min(values) <= 0 or pooled <= 0:
        return None
    factor = math.exp(half_width([math.log(value) for value in values], confidence))
    return pooled / factor, pooled * factor


def t_probability(values: Sequence[float], low: float, high: float) -> float | None:
    """p of Student's t test that the mean of at least two ``values`` lies within [low, high], against both sides.

    The probability, were the truth at the nearer end, of a mean at least as far from it on either side; 1 for a mean
    within. With ``low == high`` it is the ordinary two-sided test. p < 0.05 exactly where the 95 % interval of
    ``mean_interval`` and [low, high] have no number in common. None with fewer than two values.
    """
    from scipy.special import stdtr

    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    beyond = max(low - mean, mean - high, 0.0)
    error = float(np.std(np.asarray(values, dtype=float), ddof=1)) / math.sqrt(n)
    if error == 0:
        return 0.0 if beyond > ROUNDING else 1.0
    return min(1.0, 2 * float(stdtr(n - 1, -beyond / error)))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Adjust the p of a family of tests, in their order: below 0.05 means significant with 5 % for the whole family.

    The k-th smallest of m is multiplied by m - k + 1, and none may come out below a smaller one's. Source: Holm, "A
    Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    adjusted = [0.0] * len(probabilities)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(probabilities)), key=lambda i: probabilities[i])):
        largest = max(largest, min(1.0, (len(probabilities) - rank) * probabilities[place]))
        adjusted[place] = largest
    return adjusted


def histogram(values_us: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Sum the counts of equal values: ascending unique values and their counts. Adding histograms is joining them."""
    if len(values_us) == 0:
        return np.empty(0), np.empty(0)
    unique, where = np.unique(values_us, return_inverse=True)
    return unique.astype(float), np.bincount(where, weights=counts).astype(float)


def latencies(finished_us: Floats, finished_n: Floats, censored_us: Floats, censored_n: Floats) -> Latencies:
    """Put together values and counts in any order, with repetitions."""
    return Latencies(*histogram(finished_us, finished_n), *histogram(censored_us, censored_n))


def add(parts: Iterable[Latencies]) -> Latencies:
    """Add histograms, of rounds for example. The sum of none is empty."""
    listed = list(parts) or [Latencies(*(np.empty(0),) * 4)]
    return latencies(
        np.concatenate([part.finished_us for part in listed]),
        np.concatenate([part.finished_n for part in listed]),
        np.concatenate([part.censored_us for part in listed]),
        np.concatenate([part.censored_n for part in listed]),
    )


def survival(observed: Latencies) -> Survival:
    """The Kaplan-Meier estimate from counts: S(t) = product over t_i <= t of (1 - finished_i / at risk_i).

    A request censored at the very time when another finished was still at risk then (the usual convention).
    Source: Kaplan and Meier, Journal of the American Statistical Association 53 (1958) 457-481. It assumes that
    requests cut off by the end of a turn are like the others, which holds in a steady state.
    """
    if observed.total == 0:
        return Survival(np.empty(0), np.empty(0), 0, 0.0)
    finished_before = np.cumsum(observed.finished_n) - observed.finished_n
    censored_so_far = np.concatenate(([0.0], np.cumsum(observed.censored_n)))
    censored_before = censored_so_far[np.searchsorted(observed.censored_us, observed.finished_us, side="left")]
    at_risk = observed.total - finished_before - censored_before
    alive = np.cumprod(1 - observed.finished_n / at_risk).astype(np.float64)
    end_us = max(float(values[-1]) for values in (observed.finished_us, observed.censored_us) if len(values))
    return Survival(observed.finished_us, alive, observed.total, end_us)


def samples_needed(share: float) -> int:
    """Observations that the percentile ``share`` (0.99 for p99) needs beyond which SAMPLES_BEYOND lie: 900 for p99."""
    return math.ceil(SAMPLES_BEYOND / (1 - share) - ROUNDING)


def percentile(curve: Survival, share: float) -> Bounded | None:
    """The smallest latency in us within which ``share`` of the requests are answered.

    A lower bound where the curve never comes down that far: it is above the longest observation. None where fewer
    than about ten observations lie beyond it (samples_needed).
    """
    if curve.total < samples_needed(share):
        return None
    reached = np.flatnonzero(curve.alive <= 1 - share + ROUNDING)
    if len(reached) == 0:
        return Bounded(curve.end_us, at_least=True)
    return Bounded(float(curve.time_us[reached[0]]), at_least=False)


def maximum(observed: Latencies) -> Bounded | None:
    """The longest latency in us; a lower bound where an unanswered request is older than every answered one."""
    if observed.total == 0:
        return None
    finished_us = float(observed.finished_us[-1]) if observed.finished else -1.0
    censored_us = float(observed.censored_us[-1]) if observed.censored else -1.0
    return Bounded(max(finished_us, censored_us), at_least=censored_us >= finished_us)


def share_above(curve: Survival, limit_us: float) -> float | None:
    """The share of requests that take longer than ``limit_us``; None where nothing was observed for that long.

    An unanswered request that is older than the limit counts as above it; a younger one tells nothing either way.
    """
    if curve.total == 0:
        return None
    passed = int(np.searchsorted(curve.time_us, limit_us, side="right"))
    alive = float(curve.alive[passed - 1]) if passed else 1.0
    if alive > ROUNDING and curve.end_us <= limit_us:
        return None
    return alive if alive > ROUNDING else 0.0


@dataclass(frozen=True)
class Spread:
    """A standard deviation about a known mean, with its 95 % interval; None for fewer than two values."""

    value: float
    low: float | None
    high: float | None
    n: int


def spread_about_zero(values: Sequence[float], confidence: float = CONFIDENCE) -> Spread | None:
    """Standard deviation of normal ``values`` whose true mean is 0, as the log ratio of two identical variants is.

    n·s²/σ² is chi-square with n degrees of freedom, not n - 1: no mean is estimated.
    """
    from scipy.special import chdtri

    n = len(values)
    if n == 0:
        return None
    value = math.sqrt(math.fsum(value * value for value in values) / n)
    if n == 1:
        return Spread(value, None, None, 1)
    tail = (1 - confidence) / 2
    low, high = (value * math.sqrt(n / float(chdtri(n, at))) for at in (tail, 1 - tail))
    return Spread(value, low, high, n)


def spread_ratio(one: Spread, other: Spread, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """95 % interval of the ratio of two standard deviations, by the F distribution; None where one has one value."""
    from scipy.special import fdtri

    if one.n < 2 or other.n < 2 or other.value == 0:
        return None
    ratio, tail = one.value / other.value, (1 - confidence) / 2
    low, high = (ratio / math.sqrt(float(fdtri(one.n, other.n, at))) for at in (1 - tail, tail))
    return low, high
