"""The statistics against tables, against scipy, and against answers known by hand."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis.intervals import (
    holm,
    log_interval,
    mean_interval,
    positive_mean_interval,
    t_probability,
)
from bench.analysis.survival import (
    Bounded,
    Floats,
    Latencies,
    add,
    latencies,
    maximum,
    mean,
    percentile,
    samples_needed,
    share_above,
    survival,
)
from bench.model.trimmed import trimmed_mean


def observed(
    finished: Mapping[float, int],
    censored: Mapping[float, int] | None = None,
    starved: Mapping[float, int] | None = None,
) -> Latencies:
    def columns(counts: Mapping[float, int] | None) -> tuple[Floats, Floats]:
        values = counts or {}
        return np.asarray(list(values), dtype=float), np.asarray(list(values.values()), dtype=float)

    return latencies(columns(finished), columns(censored), columns(starved))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], 7),
        ([1, 2, 3, 400], 101.5),  # too few to cut any
        ([900, 1, 2, 3, -900], 2),
        ([1, 2, 3, 4, 5, 6, 7, 8, 99], 5),  # 1.8 of each end is one
        ([3, 1, 2, 1000, 5, 4, 1000, 1000, -1000, 6], 170),  # more than a fifth are no outliers
    ],
)
def test_trimmed_mean(values: list[float], expected: float) -> None:
    assert trimmed_mean(values) == pytest.approx(expected)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_trimmed_mean_is_scipys_and_turns_its_sign_with_the_values(values: list[float]) -> None:
    assert trimmed_mean(values) == pytest.approx(stats.trim_mean(values, 0.2), abs=1e-6)
    assert trimmed_mean([-value for value in values]) == pytest.approx(-trimmed_mean(values), abs=1e-6)


def test_one_round_has_a_mean_and_no_interval() -> None:
    interval = mean_interval([20.0])
    assert interval is not None
    assert (interval.mean, interval.low, interval.high, interval.rounds) == (20.0, None, None, 1)


def test_no_round_has_no_mean() -> None:
    assert mean_interval([]) is None


def test_interval_of_the_mean_against_scipy() -> None:
    values = [586.0, 571.5, 590.2, 580.0, 577.7]
    expected = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    interval = mean_interval(values)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_interval_by_hand() -> None:
    """Of 1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.3027, half width 4.3027/sqrt(3)."""
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval is not None
    assert interval.low == pytest.approx(2 - 4.302653 / math.sqrt(3), rel=1e-6)


def test_log_interval_is_centred_on_the_pooled_percentile() -> None:
    interval = log_interval(50.0, [40.0, 50.0, 62.5])
    assert interval is not None
    low, high = interval
    assert math.sqrt(low * high) == pytest.approx(50.0)
    assert math.log(high / 50) == pytest.approx(4.302653 * math.log(1.25) / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize("values", [[], [50.0], [50.0, 0.0]])
def test_log_interval_is_not_faked(values: list[float]) -> None:
    assert log_interval(50.0, values) is None


@pytest.mark.parametrize("seed", range(20))
def test_survival_against_scipy(seed: int) -> None:
    """Random ties, finished and censored at the same values, against the library that METHOD names."""
    draws = np.random.default_rng(seed)
    finished = draws.integers(1, 30, size=draws.integers(1, 80)).astype(float)
    censored = draws.integers(1, 30, size=draws.integers(0, 80)).astype(float)
    ones = np.ones
    curve = survival(latencies((finished, ones(len(finished))), (censored, ones(len(censored)))))
    expected = stats.ecdf(stats.CensoredData(uncensored=finished, right=censored)).sf
    assert curve.alive == pytest.approx(expected.evaluate(curve.time_us), abs=1e-12)
    assert curve.total == len(finished) + len(censored)


def test_survival_by_hand() -> None:
    """Of 4 requests: one takes 1, one is given up at 2, one takes 3, one is given up at 4."""
    curve = survival(observed({1: 1, 3: 1}, {2: 1, 4: 1}))
    assert list(curve.time_us) == [1, 3]
    assert list(curve.alive) == pytest.approx([3 / 4, 3 / 8])
    assert curve.end_us == 4


def test_percentiles_of_complete_data_are_order_statistics() -> None:
    curve = survival(observed(dict.fromkeys(range(1, 1001), 1)))
    found = [percentile(curve, share) for share in (0.5, 0.9, 0.99)]
    assert found == [Bounded(500, False), Bounded(900, False), Bounded(990, False)]


def test_percentile_among_the_unanswered_is_a_lower_bound() -> None:
    curve = survival(observed({100: 40}, {900: 60}))
    assert percentile(curve, 0.3) == Bounded(100, at_least=False)
    assert percentile(curve, 0.5) == Bounded(900, at_least=True)


def test_dropping_the_unanswered_would_have_lied() -> None:
    """The median of the answered alone is 100; with the unanswered it is above 900."""
    assert percentile(survival(observed({100: 40})), 0.5) == Bounded(100, False)
    assert percentile(survival(observed({100: 40}, {900: 60})), 0.5) == Bounded(900, True)


def test_a_percentile_needs_requests_that_are_still_at_risk() -> None:
    """890 given up at 1 ms, 10 answered at 2 to 11 ms: beyond the median of the curve (6 ms) only five were watched."""
    curve = survival(observed(dict.fromkeys(range(2000, 12000, 1000), 1), {1000: 890}))
    assert percentile(curve, 0.5) == Bounded(3000, at_least=True)
    assert percentile(curve, 0.99) == Bounded(3000, at_least=True)


def test_a_few_requests_in_flight_at_the_end_make_no_bound() -> None:
    """19 health checks, one of them in flight at a turn's end: eight lie beyond the median, which is too few."""
    curve = survival(observed(dict.fromkeys(range(100, 118), 1), {90: 1}))
    assert percentile(curve, 0.5) == Bounded(108, at_least=False)
    assert percentile(survival(observed(dict.fromkeys(range(100, 117), 1), {90: 1})), 0.5) is None


def test_a_bound_is_the_largest_age_at_which_nine_were_watched() -> None:
    """64 health checks, one every 100 ms, none answered: only one was watched for 6.4 s."""
    curve = survival(observed({}, {100_000 * number: 1 for number in range(1, 65)}))
    assert percentile(curve, 0.5) == percentile(curve, 0.8) == Bounded(5_600_000, at_least=True)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=300), st.sampled_from([0.5, 0.9]))
def test_with_complete_data_the_rule_is_about_the_number_of_requests(values: list[int], share: float) -> None:
    found = percentile(survival(observed(Counter(map(float, values)))), share)
    if len(values) < samples_needed(share):
        assert found is None
    else:
        assert found == Bounded(sorted(values)[math.ceil(share * len(values) - 1e-9) - 1], at_least=False)


def test_starved_requests_are_in_the_maximum_and_above_a_limit_and_in_no_percentile() -> None:
    """What 32 users do whose loop serves 19 of them, 125 requests of 760 ms in 6.4 s, and 13 of them never."""
    fair = observed({760_000: 125}, {300_000: 19})
    starved = observed({760_000: 125}, {300_000: 19}, {8_700_000: 13})
    assert percentile(survival(starved), 0.5) == percentile(survival(fair), 0.5) == Bounded(760_000, at_least=False)
    assert maximum(fair) == Bounded(760_000, at_least=False)
    assert maximum(starved) == Bounded(8_700_000, at_least=True)
    assert share_above(fair, 1e6) == 0.0
    assert share_above(starved, 1e6) == pytest.approx(13 / (125 + 19 + 13))


def test_the_mean_is_the_area_under_the_curve() -> None:
    assert mean(survival(observed({1: 3, 5: 1}))) == Bounded(2, at_least=False)
    assert mean(survival(observed({10: 1}, {20: 1}))) == Bounded(15, at_least=True)
    assert mean(survival(observed({}))) is None


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=10))
def test_the_interval_of_a_positive_quantity_is_positive(values: list[float]) -> None:
    interval = positive_mean_interval(values)
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    assert 0 < interval.low <= interval.mean <= interval.high


def test_two_rounds_far_apart_have_no_negative_rate() -> None:
    """A blocked server's health checks, 0.02 and 3.4 a second: Student's t alone would begin at -19."""
    interval = positive_mean_interval([0.02, 3.4])
    assert interval is not None
    assert interval.low is not None
    assert interval.low > 0
    without_an_answer = positive_mean_interval([0.0, 3.4])
    assert without_an_answer is not None
    assert (without_an_answer.mean, without_an_answer.low) == (1.7, None)


def test_nothing_answered() -> None:
    nothing = observed({}, {5: 10, 8: 54})
    assert percentile(survival(nothing), 0.5) == Bounded(8, at_least=True)
    assert maximum(nothing) == Bounded(8, at_least=True)
    assert share_above(nothing, 3) == 1.0


@pytest.mark.parametrize(("share", "needed"), [(0.5, 18), (0.9, 90), (0.99, 900), (0.999, 9000)])
def test_ten_sample_rule(share: float, needed: int) -> None:
    assert samples_needed(share) == needed
    assert percentile(survival(observed({1: needed - 1})), share) is None
    assert percentile(survival(observed({1: needed})), share) == Bounded(1, False)


@pytest.mark.parametrize(
    ("finished", "censored", "expected"),
    [
        ({5: 1, 9: 1}, {}, Bounded(9, False)),
        ({5: 1, 9: 1}, {7: 1}, Bounded(9, False)),
        ({5: 1}, {7: 1}, Bounded(7, True)),
        ({7: 1}, {7: 1}, Bounded(7, True)),
        ({}, {}, None),
    ],
)
def test_maximum(finished: dict[float, int], censored: dict[float, int], expected: Bounded | None) -> None:
    assert maximum(observed(finished, censored)) == expected


@pytest.mark.parametrize(
    ("finished", "censored", "expected"),
    [
        ({1: 3, 20: 1}, {}, 0.25),
        ({1: 2}, {20: 2}, 0.5),
        ({1: 4}, {}, 0.0),
        ({1: 1}, {5: 3}, None),
        ({}, {}, None),
        # The one given up at 5 tells nothing about 10: of the others two in four are above it.
        ({8: 2, 20: 2}, {5: 1}, 0.5),
    ],
)
def test_share_above(finished: dict[float, int], censored: dict[float, int], expected: float | None) -> None:
    found = share_above(observed(finished, censored), 10)
    assert found == (None if expected is None else pytest.approx(expected))


def test_adding_histograms_is_pooling_and_not_averaging() -> None:
    """p50 of the sum is 1; the average of the two medians would be 50.5."""
    total = add([observed({1: 60}), observed({100: 40}, {3: 2})])
    assert (total.finished, total.censored) == (100, 2)
    assert percentile(survival(total), 0.5) == Bounded(1, False)


def test_sum_of_nothing_is_empty() -> None:
    assert add([]).total == 0
    assert maximum(add([])) is None
    assert percentile(survival(add([])), 0.5) is None


ROUNDS = st.lists(st.floats(-2, 2), min_size=2, max_size=12)


def test_probability_against_scipy() -> None:
    values = [0.031, -0.012, 0.044, 0.027, 0.009]
    for truth in (-0.05, 0.0, 0.02, 0.1):
        assert t_probability(values, truth, truth) == pytest.approx(stats.ttest_1samp(values, truth).pvalue)


def test_probability_of_a_range_is_that_of_its_nearer_end() -> None:
    values = [0.10, 0.12, 0.11]
    assert t_probability(values, -0.05, 0.05) == pytest.approx(stats.ttest_1samp(values, 0.05).pvalue)
    assert t_probability(values, 0.0, 0.2) == 1.0


def test_probability_without_spread_is_a_certainty() -> None:
    assert t_probability([0.1, 0.1], 0, 0) == 0.0
    assert t_probability([0.1, 0.1], 0.1, 0.1) == 1.0


def test_one_value_proves_nothing() -> None:
    assert t_probability([0.1], 0, 0) is None


@given(ROUNDS, st.floats(-2, 2), st.floats(0, 1))
def test_probability_is_below_five_per_cent_where_the_interval_misses(
    values: list[float], low: float, width: float
) -> None:
    interval, p = mean_interval(values), t_probability(values, low, low + width)
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    assert p is not None
    gap = max(low - interval.high, interval.low - (low + width))
    if abs(gap) > 1e-6:  # at the very edge rounding decides
        assert (p < 0.05) == (gap > 0)


def test_holm_by_hand() -> None:
    """Of 4: the smallest times 4, the next times 3 ...; 0.04 x 2 = 0.08 lifts 0.05 x 1 to 0.08."""
    assert holm([0.04, 0.01, 0.05, 0.015]) == pytest.approx([0.08, 0.04, 0.08, 0.045])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12), st.randoms(use_true_random=False))
def test_holm_keeps_the_order_and_never_helps(probabilities: list[float], draw: random.Random) -> None:
    adjusted = holm(probabilities)
    assert all(p <= q <= 1 for p, q in zip(probabilities, adjusted, strict=True))
    pairs = sorted(zip(probabilities, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)
    shuffled = draw.sample(probabilities, len(probabilities))
    assert sorted(holm(shuffled)) == sorted(adjusted)
    if len(probabilities) == 1:
        assert adjusted == probabilities


def test_the_interval_covers_as_often_as_it_says() -> None:
    """5 rounds of normal noise: 95 % of 2,000 seeded intervals hold the truth, give or take four of their errors."""
    draws = np.random.default_rng(1).normal(0.0, 0.03, (2000, 5))
    intervals = [mean_interval(list(row)) for row in draws]
    covered = sum(i.low < 0 < i.high for i in intervals if i and i.low is not None and i.high is not None)
    assert abs(covered / 2000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)
