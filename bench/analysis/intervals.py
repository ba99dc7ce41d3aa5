"""Confidence intervals and tests over the values of a run's rounds, as pure functions over numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95

ROUNDING = 1e-9
"""Slack for comparisons of products of floating point numbers."""


@dataclass(frozen=True)
class ConfidenceInterval:
    """The mean over ``rounds`` values, with its 95 % interval. ``low`` and ``high`` are None for one round."""

    mean: float
    low: float | None
    high: float | None
    rounds: int


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


def positive_mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> ConfidenceInterval | None:
    """Mean of one positive value a round, with an interval on the log scale: mean · exp(± t·s/√n), s of ln(values).

    Such an interval is positive, as rates and times are. Without ends where a round's value is not positive.
    """
    plain = mean_interval(values, confidence)
    if plain is None:
        return None
    ends = log_interval(plain.mean, values, confidence) or (None, None)
    return ConfidenceInterval(plain.mean, ends[0], ends[1], plain.rounds)


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


def angle(share: float) -> float:
    """The angle of a share from 0 to 1, in radians: asin √share, whose spread hardly depends on the share.

    Source: Anscombe, "The transformation of Poisson, binomial and negative-binomial data", Biometrika 35 (1948) 246-254.
    """
    return math.asin(math.sqrt(share))


def share_of_angle(radians: float) -> float:
    """The share that has this angle; 0 or 1 beyond the ends."""
    return math.sin(min(max(radians, 0.0), math.pi / 2)) ** 2


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
