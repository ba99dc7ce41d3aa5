"""Bounds against a table of known answers, and against each other."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model import UpperBound
from bench.model.bounds import (
    ANYIO_TOKENS,
    awaited,
    background_tasks,
    blocked_loop,
    blocked_workers,
    busy_workers,
    frozen_response_ms,
    gil_bound,
    gil_released,
    one_after_another,
    overlapped,
    process_pool,
    threadpool,
)

WAITS_S = st.floats(min_value=1e-4, max_value=100)
USERS = st.integers(min_value=1, max_value=10_000)
BOUNDS = st.one_of(
    WAITS_S.map(blocked_loop),
    WAITS_S.map(awaited),
    WAITS_S.map(gil_bound),
    st.lists(WAITS_S, min_size=1, max_size=4).map(lambda waits_s: one_after_another(*waits_s)),
    st.lists(WAITS_S, min_size=1, max_size=4).map(lambda waits_s: overlapped(*waits_s)),
    *(
        st.builds(bound, WAITS_S, st.integers(min_value=1, max_value=1000))
        for bound in (threadpool, background_tasks, blocked_workers, gil_released)
    ),
    st.builds(process_pool, WAITS_S, st.integers(1, 64), st.integers(1, 64)),
)


@pytest.mark.parametrize(
    ("bound", "users", "max_rps", "min_latency_s"),
    [
        pytest.param(blocked_loop(0.05), 32, 20, 1.6, id="blocked: 1/S and N S"),
        pytest.param(blocked_loop(0.05), 1, 20, 0.05, id="blocked, one user"),
        pytest.param(threadpool(0.05), 32, 640, 0.05, id="threads: more tokens than users"),
        pytest.param(threadpool(0.05), 40, 800, 0.05, id="threads: as many tokens as users"),
        pytest.param(threadpool(0.05), 100, 800, 0.125, id="threads: T/S and N S/T"),
        pytest.param(threadpool(0.05, tokens=4), 32, 80, 0.4, id="threads: a smaller pool"),
        pytest.param(awaited(0.05), 32, 640, 0.05, id="awaited: N/S"),
        pytest.param(awaited(0.05), 1000, 20_000, 0.05, id="awaited: only the users limit it"),
        pytest.param(one_after_another(0.02, 0.04), 30, 500, 0.06, id="two awaits in a row: their sum"),
        pytest.param(overlapped(0.02, 0.04), 30, 750, 0.04, id="two awaits at once: the longer one"),
        pytest.param(gil_bound(0.01), 8, 100, 0.08, id="CPU under the GIL: 1/c and N c"),
        pytest.param(gil_released(0.01, cores=2), 8, 200, 0.04, id="CPU without the GIL: cores/c"),
        pytest.param(gil_released(0.01, cores=4), 1, 100, 0.01, id="CPU without the GIL, one user"),
        pytest.param(process_pool(0.02, processes=2, cores=8), 8, 100, 0.08, id="processes: P/c and N c/P"),
        pytest.param(process_pool(0.02, processes=8, cores=2), 8, 100, 0.08, id="processes: no more than cores"),
        pytest.param(process_pool(0.02, processes=8, cores=8), 4, 200, 0.02, id="processes: no more than users"),
        pytest.param(blocked_workers(0.05, 2), 32, 40, 0.8, id="two workers, each blocked: W/S and N S/W"),
        pytest.param(blocked_workers(0.05, 1), 32, 20, 1.6, id="one worker: the blocked loop itself"),
        pytest.param(blocked_workers(0.05, 4), 3, 60, 0.05, id="workers: no more than users"),
        pytest.param(background_tasks(0.4), 1000, 100, 10, id="background tasks: done at T/S"),
    ],
)
def test_the_table_of_bounds(bound: UpperBound, users: int, max_rps: float, min_latency_s: float) -> None:
    assert bound.max_rps(users) == pytest.approx(max_rps)
    assert bound.min_latency_s(users) == pytest.approx(min_latency_s)


@pytest.mark.parametrize(
    ("bound", "rate_rps", "max_rps"),
    [
        (blocked_loop(0.05), 10, 10),
        (blocked_loop(0.05), 30, 20),
        (threadpool(0.05), 1000, 800),
        (awaited(0.05), 1000, 1000),
    ],
)
def test_the_arrival_rate_is_a_bound_too(bound: UpperBound, rate_rps: float, max_rps: float) -> None:
    assert bound.max_rps(rate_rps=rate_rps) == pytest.approx(max_rps)
    assert bound.min_latency_s() == pytest.approx(0.05)  # at an empty station


def test_the_threadpool_has_anyios_default() -> None:
    import anyio
    import anyio.to_thread

    async def tokens() -> float:
        return anyio.to_thread.current_default_thread_limiter().total_tokens

    assert anyio.run(tokens) == ANYIO_TOKENS


def test_a_station_without_limit_and_without_users_has_no_bound() -> None:
    assert awaited(0.05).max_rps() == math.inf


@given(BOUNDS, USERS)
def test_at_its_bounds_a_station_obeys_littles_law(bound: UpperBound, users: int) -> None:
    assert bound.max_rps(users) * bound.min_latency_s(users) == pytest.approx(users)


@given(BOUNDS, USERS, USERS)
def test_more_users_never_lower_throughput_nor_latency(bound: UpperBound, one: int, other: int) -> None:
    fewer, more = sorted((one, other))
    assert bound.max_rps(fewer) <= bound.max_rps(more)
    assert bound.min_latency_s(fewer) <= bound.min_latency_s(more)


def test_bounds_on_cpu_are_told_from_bounds_on_waiting() -> None:
    """CPU time depends on the machine, a clock does not."""
    computing = (gil_bound(0.01), gil_released(0.01, 2), process_pool(0.01, 2, 2))
    waiting = (one_after_another(0.1), overlapped(0.1), blocked_workers(0.1, 2), background_tasks(0.1))
    assert {bound.kind for bound in computing} == {"cpu"}
    assert {bound.kind for bound in waiting} == {"waiting"}


def test_a_formula_names_each_of_several_waits() -> None:
    assert one_after_another(0.02, 0.04).formula == "N/(S1 + S2)"
    assert overlapped(0.02, 0.04).formula == "N/max(S1, S2)"


@pytest.mark.parametrize(
    ("workers", "connections", "busy"),
    [(1, 1, 1), (1, 32, 1), (2, 1, 1), (2, 2, 1.5), (4, 4, 2.734375), (4, 0, 0), (4, 1000, 4)],
)
def test_busy_workers_with_connections_placed_at_random(workers: int, connections: int, busy: float) -> None:
    assert busy_workers(workers, connections) == pytest.approx(busy)


def test_busy_workers_agree_with_a_simulation() -> None:
    draw = random.Random(1)
    drawn = [len({draw.randrange(4) for _ in range(6)}) for _ in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(busy_workers(4, 6), rel=0.01)


@given(st.integers(1, 64), USERS)
def test_no_more_workers_are_busy_than_there_are(workers: int, connections: int) -> None:
    assert busy_workers(workers, connections) * (1 + 1e-9) >= 1
    assert busy_workers(workers, connections) <= min(workers, connections) * (1 + 1e-9)


@pytest.mark.parametrize("wait_s", [0.0, -0.05, math.nan, math.inf, -math.inf])
def test_a_service_time_is_a_positive_number(wait_s: float) -> None:
    with pytest.raises(ValueError, match="service_s must be a positive number"):
        blocked_loop(wait_s)


@pytest.mark.parametrize("tokens", [0, -1, 0.5, math.nan])
def test_a_station_has_at_least_one_place(tokens: float) -> None:
    with pytest.raises(ValueError, match="places must be at least 1"):
        UpperBound("?", 0.05, tokens)


@pytest.mark.parametrize(
    ("percentile", "freeze_s", "every_s", "response_ms"),
    [
        pytest.param(90, 1, 5, 500, id="a fifth meets the freeze, half of it waits longer"),
        pytest.param(99, 1, 5, 950, id="the slowest hundredth"),
        pytest.param(100, 1, 5, 1000, id="no request waits longer than the freeze"),
        pytest.param(80, 1, 5, 0.3, id="requests that do not meet it"),
        pytest.param(50, 1, 5, 0.3, id="the median does not show it"),
        pytest.param(50, 2, 2, 1000, id="always frozen"),
    ],
)
def test_the_share_of_arrivals_that_meet_a_freeze(
    percentile: float, freeze_s: float, every_s: float, response_ms: float
) -> None:
    assert frozen_response_ms(percentile, 0.3, freeze_s, every_s) == pytest.approx(response_ms)
