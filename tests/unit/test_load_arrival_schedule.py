"""Timetables are arithmetic: checked by properties and by known values, without a clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_world import nothing_falls_into_the_hub  # noqa: F401

from bench.load.arrival_schedule import arrivals, constant, poisson, staggered

rates = st.floats(0.01, 100_000)
seeds = st.integers(0, 2**32)
parts = st.integers(1, 8)


@pytest.mark.parametrize(
    ("timetable", "due_s"),
    [
        (constant(10), [0.0, 0.1, 0.2, 0.3]),
        (constant(0.5), [0.0, 2.0, 4.0, 6.0]),
        (constant(10, part=0, parts=3), [0.0, 0.3, 0.6, 0.9]),
        (constant(10, part=2, parts=3), [0.2, 0.5, 0.8, 1.1]),
    ],
)
def test_constant(timetable: Iterator[float], due_s: list[float]) -> None:
    assert list(islice(timetable, 4)) == pytest.approx(due_s)


@given(rates, st.integers(1, 10_000_000))
def test_constant_does_not_drift(rate_rps: float, k: int) -> None:
    """The k-th arrival is k / rate and not the sum of k rounded gaps."""
    assert next(constant(rate_rps, part=k, parts=k + 1)) == k / rate_rps


@given(rates, parts)
def test_the_parts_of_a_constant_timetable_interleave_to_the_whole(rate_rps: float, parts: int) -> None:
    split = merge(*(constant(rate_rps, part, parts) for part in range(parts)))
    assert list(islice(split, 100)) == list(islice(constant(rate_rps), 100))


@given(st.sampled_from(["constant", "poisson"]), rates, seeds, parts)
def test_no_arrival_is_due_before_the_one_before(process: str, rate_rps: float, seed: int, parts: int) -> None:
    for part in range(parts):
        due = list(islice(arrivals(process, rate_rps, seed, part, parts), 200))  # type: ignore[arg-type]
        assert due[0] >= 0
        assert all(a <= b for a, b in pairwise(due))


@given(rates, seeds, parts)
def test_a_seed_gives_the_same_arrivals_again_and_another_seed_others(rate_rps: float, seed: int, parts: int) -> None:
    once, again, other = (list(islice(poisson(rate_rps, s, 0, parts), 20)) for s in (seed, seed, seed + 1))
    assert once == again
    assert once != other


@given(seeds, st.integers(2, 8))
def test_parts_of_a_poisson_timetable_are_streams_of_their_own(seed: int, parts: int) -> None:
    streams = {tuple(islice(poisson(100, seed, part, parts), 5)) for part in range(parts)}
    assert len(streams) == parts


@settings(max_examples=30, deadline=None)
@given(rates, seeds, parts)
def test_poisson_has_the_rates_mean_and_spread(rate_rps: float, seed: int, parts: int) -> None:
    """Gaps of the superposed parts: mean and standard deviation are 1 / rate, within six standard errors."""
    count = 4000
    split = merge(*(poisson(rate_rps, seed, part, parts) for part in range(parts)))
    due = [0.0, *islice(split, count)]
    gaps = [(b - a) * rate_rps for a, b in pairwise(due)]
    mean = sum(gaps) / count
    variance = sum((gap - mean) ** 2 for gap in gaps) / count
    assert mean == pytest.approx(1, abs=6 / math.sqrt(count))
    assert variance == pytest.approx(1, abs=6 * math.sqrt(8 / count))  # the 4th central moment of Exp(1) is 9
    within_a_mean = sum(gap < 1 for gap in gaps) / count
    assert within_a_mean == pytest.approx(1 - math.exp(-1), abs=6 * 0.5 / math.sqrt(count))


@pytest.mark.parametrize(
    "make",
    [
        lambda: arrivals("uniform", 1, 0),  # type: ignore[arg-type]
        lambda: constant(0),
        lambda: constant(-1),
        lambda: constant(math.inf),
        lambda: constant(math.nan),
        lambda: constant(1, part=1, parts=1),
        lambda: poisson(0, 1),
        lambda: poisson(1, 1, part=-1, parts=2),
        lambda: arrivals("poisson", 1, 1, 0, 0),
    ],
)
def test_what_is_no_timetable_is_refused_at_once(make: Callable[[], object]) -> None:
    """Not with the first arrival, when users are running already."""
    with pytest.raises(ValueError, match=r"arrival|part"):
        make()


# Starting apart


@given(st.integers(1, 200), st.floats(1e-3, 100), seeds)
def test_staggered_users_take_one_slot_each(users: int, over_s: float, seed: int) -> None:
    offsets = staggered(users, over_s, seed)
    slot_s = over_s / users
    assert len(offsets) == users
    for slot, offset_s in enumerate(sorted(offsets)):
        assert slot * slot_s * (1 - 1e-9) <= offset_s <= (slot + 1) * slot_s * (1 + 1e-9)
    assert offsets == staggered(users, over_s, seed)


def test_the_slots_are_dealt_at_random() -> None:
    """The same user is not always the first, and a turn's offsets are not those of the turn before."""
    orders = {tuple(sorted(range(8), key=staggered(8, 1.0, seed).__getitem__)) for seed in range(50)}
    assert len(orders) > 45


WARM_UP_S = 0.1
"""Thrown away of every turn but a variant's first."""


def measured_rps(offsets_s: list[float], latency_s: float, turn_s: float) -> float:
    """Simulated: users who ask again as soon as they are answered; answers per second after the turn's warm-up."""
    answered = 0
    for offset_s in offsets_s:
        last = math.floor((turn_s - offset_s) / latency_s + 1e-9)
        warm = math.floor((WARM_UP_S - offset_s) / latency_s + 1e-9)
        answered += max(0, last) - max(0, warm)
    return answered / (turn_s - WARM_UP_S)


@pytest.mark.parametrize(
    ("latency_ms", "turn_s", "in_step_error"),
    [
        (54, 0.487, +0.116),  # 8 bursts of 32 answers fall into 0.387 s, where 7.17 belong
        (54, 0.485, -0.018),  # 2 ms less, and it is 7 bursts
        (54, 0.5, +0.080),
        (62, 0.5, +0.085),  # slower than predicted
        (56, 0.5, -0.020),
        (52, 0.5, +0.040),
    ],
)
def test_starting_apart_removes_the_error_of_marching_in_step(
    latency_ms: float, turn_s: float, in_step_error: float
) -> None:
    """32 users on an endpoint predicted to take 54 ms; the truth is users / latency."""
    truth_rps = 32 / latency_ms * 1000
    in_step = measured_rps([0.0] * 32, latency_ms / 1000, turn_s) / truth_rps - 1
    assert in_step == pytest.approx(in_step_error, abs=0.001)
    for seed in range(20):
        apart = measured_rps(staggered(32, 0.054, seed), latency_ms / 1000, turn_s) / truth_rps - 1
        assert abs(apart) < 0.02, "within one answer of 32 users, even where the prediction is off"
        if latency_ms == 54:
            assert abs(apart) < 0.01
