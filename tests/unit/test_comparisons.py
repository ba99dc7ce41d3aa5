"""Comparisons, claims and noise of runs whose every answer is known: rates go in, verdicts come out."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
from scipy import stats
from synthetic import ENDPOINT, HEALTH, Histogram

from bench.analysis.analyse import Analysis, analyse
from bench.analysis.claims import to_csv
from bench.analysis.comparisons import Compared, verdict_of
from bench.analysis.rounds import per_round, rotation_rates
from bench.analysis.run_reader import read_run
from bench.model import Claim, Comparison

TURN_S = 10.0
"""Long, so that rates are whole numbers of requests."""

Rates = Mapping[str, Sequence[Sequence[float]]]
"""{variant: for each round, the requests/s of its turns}."""


def rated_run(
    run: Path,
    rates: Rates,
    claims: Sequence[Claim] = (),
    *,
    roles: Mapping[str, str] | None = None,
    twins: Mapping[str, str] | None = None,
    groups: Mapping[str, str] | None = None,
    health: Mapping[str, Sequence[dict[int, int]]] | None = None,
    statuses: Mapping[tuple[str, int], str] | None = None,
) -> Analysis:
    """Analyse a run with these rates. ``health``: the probes' latencies in us of each round, < 0 where unanswered."""
    rounds = len(next(iter(rates.values())))
    ways = [synthetic.Way(name, (roles or {}).get(name, "fix"), f"way {name}", None) for name in rates]
    declared = synthetic.scenario(ways, rounds=rounds, claims=[asdict(claim) for claim in claims])
    for variant in declared["variants"]:
        variant["control_of"] = (twins or {}).get(variant["name"], "")
    synthetic.write_run(run, {"blocking": declared})
    for name, each in rates.items():
        for number, turns in enumerate(each, start=1):
            more: dict[str, Any] = {"group": (groups or {}).get(name, "together")}
            status = (statuses or {}).get((name, number), "ok")
            if status != "ok":
                more |= {"status": status, "reasons": ["it went wrong"]}
            probes = health[name][number - 1] if health else {}
            _write_trial(run, name, number, turns, probes, **more)
    read = read_run(run)
    return analyse(read, read.scenarios[0])


def _write_trial(
    run: Path, name: str, number: int, rates: Sequence[float], probes: dict[int, int], **more: Any
) -> None:
    """One turn of warm-up, then one for each of ``rates``."""
    starts = [100 + 2 * TURN_S * place for place in range(len(rates) + 1)]
    turns = [synthetic.turn(starts[0], starts[0] + TURN_S, starts[0] + TURN_S, 0)]
    turns += [synthetic.turn(at, at, at + TURN_S, place) for place, at in enumerate(starts[1:], start=1)]
    counts = [
        {
            "start_s": at,
            "end_s": at + TURN_S,
            "endpoint": ENDPOINT,
            "measured": int(at > 100),
            "finished": rate * TURN_S if at > 100 else 7,
        }
        for at, rate in zip(starts, [0, *rates], strict=True)
    ]
    answered = {us: n for us, n in probes.items() if us > 0}
    waiting = {-us: n for us, n in probes.items() if us < 0}
    histograms = [Histogram(ENDPOINT, "service", starts[1], 1, {1000: 20})]
    histograms += [
        Histogram(HEALTH, kind, starts[1], 1, values)
        for kind, values in (("response", answered), ("unfinished", waiting))
        if values
    ]
    synthetic.write_trial(run, "blocking", name, number, histograms=histograms, counts=counts, turns=turns, **more)


def steady(*rates: float) -> list[list[float]]:
    """One turn a round."""
    return [[rate] for rate in rates]


def claim(metric: str, relation: Any, other: str | float, factor: float = 1.0, endpoint: str = "") -> Claim:
    """About the variant ``a``."""
    return Claim("said", "It is so.", (Comparison(metric, "a", relation, other, factor, endpoint),))


def of(analysis: Analysis, variant: str) -> Compared:
    row = analysis.comparisons.with_baseline(variant)
    assert row is not None
    return row


# Ratios


def test_rates_of_every_turn(tmp_path: Path) -> None:
    analysis = rated_run(tmp_path, {"a": [[100, 110], [90, 95]]})
    assert rotation_rates(analysis.tables, ENDPOINT) == {("a", 1): {1: 100, 2: 110}, ("a", 2): {1: 90, 2: 95}}


def test_a_round_is_the_mean_over_its_turns_of_the_log_ratio(tmp_path: Path) -> None:
    """The machine doubles its speed between turns; of each pair of turns the ratio is 2 all the same."""
    analysis = rated_run(tmp_path, {"base": [[100, 200], [50, 400]], "a": [[200, 400], [100, 800]]})
    row = of(analysis, "a")
    assert (row.ratio, row.rounds, row.verdict) == (pytest.approx(2), 2, "faster")
    assert row.ci_low == pytest.approx(2)


def test_a_turn_that_the_machine_spoilt_does_not_count(tmp_path: Path) -> None:
    """One turn in five at a quarter of its speed, in each round of another variant."""
    fine, spoilt = [100.0, 110, 90, 100, 120], [100.0, 110, 90, 25, 120]
    analysis = rated_run(tmp_path, {"base": [fine, spoilt], "a": [spoilt, fine]})
    row = of(analysis, "a")
    assert (row.ratio, row.verdict) == (pytest.approx(1), "equivalent")


def test_variants_of_different_groups_are_compared_by_the_rounds_own_rates(tmp_path: Path) -> None:
    """(200 + 600) / (100 + 200) and not the mean of 2 and 3."""
    rates = {"base": [[100, 200]] * 2, "a": [[200, 600]] * 2}
    analysis = rated_run(tmp_path, rates, groups={"a": "alone"})
    assert of(analysis, "a").ratio == pytest.approx(800 / 300)


def test_a_turn_without_any_answer_leaves_the_rounds_own_rates(tmp_path: Path) -> None:
    analysis = rated_run(tmp_path, {"base": [[100, 200]] * 2, "a": [[0, 600]] * 2})
    assert of(analysis, "a").ratio == pytest.approx(2)


def test_interval_against_scipy(tmp_path: Path) -> None:
    base, other = (100, 104, 98, 101, 97), (90, 95, 86, 93, 88)
    row = of(rated_run(tmp_path, {"base": steady(*base), "a": steady(*other)}), "a")
    logs = np.log(np.array(other) / np.array(base))
    for confidence, low, high in ((0.95, row.ci_low, row.ci_high), (0.9, row.tost_low, row.tost_high)):
        expected = stats.t.interval(confidence, 4, loc=logs.mean(), scale=stats.sem(logs))
        assert (low, high) == pytest.approx(np.exp(expected))
    assert row.p == pytest.approx(stats.ttest_1samp(logs, 0).pvalue)


# Verdicts


def test_verdicts_in_their_order(tmp_path: Path) -> None:
    """1 % slower for certain is equivalent all the same; 50 % slower is slower; wide noise is inconclusive."""
    rates = {
        "base": steady(1000, 1001, 999, 1000, 1000),
        "a": steady(990, 991, 989, 990, 990),
        "half": steady(500, 510, 490, 505, 495),
        "noisy": steady(700, 1400, 900, 1100, 1000),
    }
    analysis = rated_run(tmp_path, rates)
    assert {name: of(analysis, name).verdict for name in ("a", "half", "noisy")} == {
        "a": "equivalent",
        "half": "slower",
        "noisy": "inconclusive",
    }
    assert of(analysis, "a").p_holm == pytest.approx(2 * of(analysis, "a").p)  # type: ignore[operator]
    assert analysis.comparisons.with_baseline("base") is None


def test_swapped_the_verdict_is_the_mirror_image() -> None:
    draw = np.random.default_rng(3)
    mirrored = {"faster": "slower", "slower": "faster"}
    for mean in (0.0, 0.03, 0.05, 0.1):
        for logs in draw.normal(mean, 0.03, (50, 5)):
            verdict = verdict_of(list(logs))
            assert verdict_of(list(-logs)) == mirrored.get(verdict, verdict)


def test_false_alarms_and_findings_are_as_often_as_they_should_be() -> None:
    """Noise of 3 % a round, as measured. Of identical pairs at most 5 % may be called different."""
    draw = np.random.default_rng(2)

    def share(mean: float, rounds: int, *verdicts: str) -> float:
        found = [verdict_of(list(logs)) for logs in draw.normal(mean, 0.03, (1000, rounds))]
        return sum(verdict in verdicts for verdict in found) / len(found)

    assert share(0.0, 5, "faster", "slower") < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 1000)
    assert share(math.log(0.9), 5, "slower") > 0.9
    assert share(math.log(0.95), 12, "slower") > 0.9
    assert share(math.log(1.05), 12, "equivalent") < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 1000)


def test_one_round_has_no_interval_and_no_verdict(tmp_path: Path) -> None:
    row = of(rated_run(tmp_path, {"base": steady(100), "a": steady(10)}), "a")
    assert (row.ratio, row.ci_low, row.p, row.verdict) == (pytest.approx(0.1), None, None, "")


def test_baseline_is_the_first_fix_that_is_declared(tmp_path: Path) -> None:
    roles = {"trap": "trap", "first": "fix", "second": "fix"}
    analysis = rated_run(tmp_path, {name: steady(1, 1) for name in roles}, roles=roles)
    assert analysis.scenario.baseline == "first"


def test_what_is_no_evidence_is_said_by_name(tmp_path: Path) -> None:
    statuses = {("a", 1): "invalid", ("a", 2): "invalid"}
    row = of(rated_run(tmp_path, {"base": steady(5, 5), "a": steady(5, 5)}, statuses=statuses), "a")
    assert (row.ratio, row.verdict, row.reason) == (None, "", "a is invalid: it went wrong")


def test_rounds_without_both_are_left_out(tmp_path: Path) -> None:
    rates = {"base": steady(100, 100, 100), "a": steady(50, 50, 1)}
    row = of(rated_run(tmp_path, rates, statuses={("a", 3): "invalid"}), "a")
    assert (row.ratio, row.rounds) == (pytest.approx(0.5), 2)


# Claims


@pytest.mark.parametrize(
    ("rate", "relation", "factor", "verdict"),
    [
        (500, "above", 4, "confirmed"),
        (500, "above", 6, "refuted"),
        (500, "above", 5, "inconclusive"),
        (20, "below", 0.5, "confirmed"),
        (20, "below", 0.1, "refuted"),
        (100, "equivalent", 1, "confirmed"),
        (104, "equivalent", 1, "inconclusive"),
        (110, "equivalent", 1, "refuted"),
        (200, "equivalent", 2, "confirmed"),
    ],
)
def test_a_claim_on_throughput(tmp_path: Path, rate: int, relation: str, factor: float, verdict: str) -> None:
    """Noise of about 1 %: beyond it a claim is confirmed or refuted, within it neither."""
    base = (100, 101, 99, 100, 100)
    rates = {"b": steady(*base), "a": steady(*(rate * (1 + n / 100) for n in (1, -1, 0, 1, -1)))}
    (found,) = rated_run(tmp_path, rates, [claim("throughput_rps", relation, "b", factor)]).claims
    assert found.verdict == verdict, found.evidence
    assert f"way a {rate}" in found.evidence
    assert "way b 100 requests/s" in found.evidence
    assert "% interval" in found.evidence


def test_a_claim_with_a_number(tmp_path: Path) -> None:
    rates = {"a": steady(100, 101, 99)}
    (found,) = rated_run(tmp_path, rates, [claim("throughput_rps", "below", 50, 1.5)]).claims
    assert found.verdict == "refuted"
    assert "95 % interval 97.5 to 103" in found.evidence
    assert "claimed to be below 75.0" in found.evidence


def test_one_comparison_refutes_a_claim(tmp_path: Path) -> None:
    two = Claim(
        "two",
        "Both.",
        (
            Comparison("throughput_rps", "a", "above", "b", 5),
            Comparison("throughput_rps", "a", "below", "b", 5),
        ),
        guide=True,
        question="Which driver?",
    )
    (found,) = rated_run(tmp_path, {"b": steady(10, 10, 10), "a": steady(100, 101, 99)}, [two]).claims
    assert (found.verdict, found.guide, found.question, found.name) == ("refuted", True, "Which driver?", "two")
    assert "below 5 times" in found.evidence
    assert "above" not in found.evidence


SILENT = [{-6_000_000: 30}] * 3
"""Nobody was answered for 6 s."""


@pytest.mark.parametrize(
    ("of_a", "of_b", "relation", "other", "verdict"),
    [
        (SILENT, SILENT, "above", 1000, "confirmed"),
        (SILENT, SILENT, "below", 1000, "refuted"),
        (SILENT, SILENT, "above", 7000, "inconclusive"),
        (SILENT, SILENT, "below", 7000, "inconclusive"),
        (SILENT, [{1000: 30}] * 3, "above", "b", "confirmed"),
        ([{1000: 30}] * 3, SILENT, "below", "b", "confirmed"),
        ([{1000: 30}] * 3, SILENT, "above", "b", "refuted"),
        (SILENT, SILENT, "above", "b", "inconclusive"),
        (SILENT, SILENT, "equivalent", "b", "inconclusive"),
        ([{-6_000_000: 30}, {7_000_000: 30}, {8_000_000: 30}], SILENT, "above", 1000, "confirmed"),
    ],
)
def test_what_nobody_answered_is_a_bound(
    tmp_path: Path, of_a: Any, of_b: Any, relation: str, other: str | float, verdict: str
) -> None:
    rates = {"b": steady(1, 1, 1), "a": steady(1, 1, 1)}
    wanted = claim("latency_p50_ms", relation, other, endpoint=HEALTH)
    (found,) = rated_run(tmp_path, rates, [wanted], health={"a": of_a, "b": of_b}).claims
    assert found.verdict == verdict, found.evidence
    if of_a is SILENT:
        assert "more than 6.0 s" in found.evidence


def test_too_few_requests_for_a_percentile_are_said(tmp_path: Path) -> None:
    wanted = claim("latency_p90_ms", "below", 10, endpoint=HEALTH)
    (found,) = rated_run(tmp_path, {"a": steady(1, 1)}, [wanted], health={"a": [{1000: 89}] * 2}).claims
    assert found.verdict == "inconclusive"
    assert "too few requests to GET /health in a round" in found.evidence


@pytest.mark.parametrize(
    ("rate", "factor", "verdict"),
    [(1000, 4, "confirmed"), (1000, 6, "inconclusive"), (1000, 21, "refuted"), (1000, 19, "inconclusive")],
)
def test_one_round_decides_what_is_beyond_a_factor_of_two(
    tmp_path: Path, rate: int, factor: float, verdict: str
) -> None:
    rates = {"b": steady(100), "a": steady(rate)}
    (found,) = rated_run(tmp_path, rates, [claim("throughput_rps", "above", "b", factor)]).claims
    assert found.verdict == verdict
    assert "one round, no interval" in found.evidence


def test_one_round_of_a_handful_of_requests_decides_nothing(tmp_path: Path) -> None:
    rates = {"b": steady(0.9), "a": steady(1000)}
    (found,) = rated_run(tmp_path, rates, [claim("throughput_rps", "above", "b", 4)]).claims
    assert found.verdict == "inconclusive"
    assert "9 requests of b are too few" in found.evidence


def test_a_claim_on_what_was_not_measured_is_inconclusive(tmp_path: Path) -> None:
    (found,) = rated_run(tmp_path, {"a": steady(1, 1)}, [claim("throughput_rps", "above", "gone")]).claims
    assert (found.verdict, found.evidence) == ("inconclusive", "gone was not measured.")


def test_a_hypothesis_stated_twice_is_tested_once(tmp_path: Path) -> None:
    claims = [replace(claim("throughput_rps", "above", "b"), name=name) for name in ("one", "two")]
    analysis = rated_run(tmp_path, {"b": steady(100, 103, 98), "a": steady(120, 118, 125)}, claims)
    assert len(analysis.comparisons.rows) == 3
    assert {row.p_holm for row in analysis.comparisons.rows} == {of(analysis, "a").p}


def test_claims_csv_can_be_read_back(tmp_path: Path) -> None:
    claims = [claim("throughput_rps", "above", "gone")]
    analysis = rated_run(tmp_path, {"a": steady(1, 1)}, claims)
    (row,) = csv.DictReader(to_csv(analysis.claims).splitlines())
    assert row == {
        "scenario": "blocking",
        "claim": "said",
        "verdict": "inconclusive",
        "evidence": "gone was not measured.",
    }


def test_a_metric_without_a_value_of_a_rounds_own(tmp_path: Path) -> None:
    analysis = rated_run(tmp_path, {"a": steady(1, 1)})
    assert per_round(analysis.tables, "a", ENDPOINT, "failures") is None


# Noise


def test_a_twin_tells_the_noise_and_is_shown_nowhere(tmp_path: Path) -> None:
    """Pairs of turns differ by 2 %, up and down: nothing in a round, 2 % a pair of turns."""
    rates = {"a": [[1000, 1000]] * 3, "again": [[1020, 980]] * 3}
    analysis = rated_run(tmp_path, rates, twins={"again": "a"})
    noise = analysis.noise
    assert noise is not None
    assert noise.rotation_spread is not None
    assert (noise.variant, noise.twin, noise.rounds, noise.verdict) == ("a", "again", 3, "equivalent")
    assert noise.rotation_spread.value == pytest.approx(0.02, rel=0.01)
    assert noise.round_spread.value < 0.001
    assert [variant.name for variant in analysis.tables.variants] == ["a"]
    assert {figure.variant for figure in analysis.summary.figures} == {"a"}
    assert analysis.comparisons.rows == ()


def test_no_twin_no_noise(tmp_path: Path) -> None:
    assert rated_run(tmp_path, {"a": steady(1, 1)}).noise is None


def test_a_twin_without_evidence_tells_nothing(tmp_path: Path) -> None:
    rates = {"a": steady(1), "again": steady(1)}
    analysis = rated_run(tmp_path, rates, twins={"again": "a"}, statuses={("again", 1): "failed"})
    assert analysis.noise is None


def test_halves_that_disagree_are_not_steady(tmp_path: Path) -> None:
    rates = {"a": [[100, 100, 50, 50]], "b": [[100, 102, 99, 101]], "few": [[1, 0, 1, 1]]}
    (found,) = rated_run(tmp_path, rates).unsteady
    assert (found.variant, found.round, found.ratio) == ("a", 1, pytest.approx(0.5))


# Shares


@pytest.mark.parametrize(
    ("late", "verdict"),
    [
        ((60, 59, 60), "confirmed"),
        ((0, 0, 1), "refuted"),
        ((60, 0, 60), "inconclusive"),
        ((40, 20, 35), "inconclusive"),
    ],
)
def test_a_share_is_judged_by_its_angle_and_its_interval_stays_a_share(
    tmp_path: Path, late: Sequence[int], verdict: str
) -> None:
    """Of 60 probes a round. A round in which none was late counts like any other."""
    probes = [{2_000_000: n, 1000: 60 - n} for n in late]
    wanted = claim("latency_above_1s_share", "above", 0.5, endpoint=HEALTH)
    analysis = rated_run(tmp_path, {"a": steady(9, 9, 9)}, [wanted], health={"a": probes})
    row = analysis.comparisons.of_claim("said")[0]
    assert (row.verdict, row.rounds) == (verdict, 3)
    angles = [math.asin(math.sqrt(n / 60)) - math.pi / 4 for n in late]
    half = stats.t.ppf(0.975, 2) * float(np.std(angles, ddof=1)) / math.sqrt(3)
    assert row.ci_low == pytest.approx(math.exp(np.mean(angles) - half))
    ends = re.findall(r"(\d+(?:\.\d+)?) %", analysis.claims[0].evidence.split("interval")[1].split(",")[0])
    assert all(0 <= float(end) <= 100 for end in ends)
