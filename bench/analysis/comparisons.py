"""Who is faster, by how much, and how sure that is. Ratios of two variants of one scenario, round by round.

For each round, d = ln(A / B): of throughput the trimmed mean over the passes that both took in the same group, so
that what the machine did to both cancels out, and what it did to one in a few turns does not count; where they were not
up together, and for every other metric, of the round's own figures. Over rounds the ratio is exp(mean of d), with
Student-t intervals.

What is tested, scenario by scenario (each is a question of its own, so each is a family of its own for Holm):

- every variant's throughput against that of the scenario's declared baseline, the first fix in the catalogue;
- every comparison that a claim makes. A hypothesis that is stated twice is tested once.

Source of the procedures: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987) 657-680 (two one-sided
tests, here as the 90 % interval); Holm 1979 (statistics.holm).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.analysis.intervals import angle, half_width, holm, mean_interval, t_probability
from bench.analysis.numbers import digits
from bench.analysis.rounds import RotationRates, per_round, rotation_rates
from bench.analysis.survival import Bounded
from bench.analysis.tables import ScenarioTables
from bench.model import Comparison
from bench.model.trimmed import log_ratio

MARGIN = 1.05
"""Two variants within 5 % are as good as equal: no pattern is chosen for less. A factor, with its inverse below it:
A against B and B against A get the same verdict."""
SIGNIFICANT = 0.05
TOST_CONFIDENCE = 0.90
"""Two one-sided tests at 5 % are a 90 % interval within the margin."""

ONE_ROUND_FACTOR = 2.0
"""One round has no interval. It only decides what is beyond its threshold by this factor: identical variants were seen
to differ by 12 % (standard deviation) between two trials, so a factor of two lies six of those away."""
ONE_ROUND_REQUESTS = 10
"""It decides nothing about a throughput of fewer requests than this: two of them may be a factor of two."""

Verdict = Literal["equivalent", "faster", "slower", "confirmed", "refuted", "inconclusive", ""]


@dataclass(frozen=True)
class Compared:
    """One comparison. None where there is no such figure.

    ``ratio`` is variant by baseline, or by a number where ``baseline`` is empty; of a share its logarithm is the
    difference of the angles (intervals.angle). ``ci_...`` is its 95 % interval,
    ``tost_...`` its 90 % interval. ``at_least`` says that the true ratio is no smaller (unanswered requests of the
    variant), ``at_most`` that it is no larger (of the baseline).

    ``claim`` is empty for the comparison with the scenario's baseline, whose verdict is equivalent, faster, slower or
    inconclusive, and empty where one round gives no interval. Of a claim's comparison (``relation``, ``factor``) it is
    confirmed, refuted or inconclusive. ``reason`` says what is missing.
    """

    scenario: str
    load: str
    endpoint: str
    metric: str
    variant: str
    baseline: str
    ratio: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    tost_low: float | None = None
    tost_high: float | None = None
    rounds: int = 0
    p: float | None = None
    p_holm: float | None = None
    verdict: Verdict = ""
    claim: str = ""
    relation: str = ""
    factor: float = 1.0
    number: float | None = None
    """What a claim compares with where it is no variant."""
    at_least: bool = False
    at_most: bool = False
    reason: str = ""

    @property
    def is_share(self) -> bool:
        """Whether the metric lies between 0 and 1."""
        return self.metric.endswith("_share")

    @property
    def accepted(self) -> tuple[float, float]:
        """ln of the ratios that the hypothesis under test allows: what p is about."""
        middle, slack = math.log(self.factor), math.log(MARGIN) if self.relation == "equivalent" else 0.0
        return middle - slack, middle + slack

    @property
    def hypothesis(self) -> tuple[object, ...]:
        """What makes two rows the same test."""
        return self.endpoint, self.metric, self.variant, self.baseline, self.number, self.accepted


@dataclass(frozen=True)
class Comparisons:
    """All declared comparisons of one scenario, to be looked up."""

    rows: tuple[Compared, ...]

    def with_baseline(self, variant: str) -> Compared | None:
        """``variant``'s throughput by that of the scenario's baseline; None for the baseline itself."""
        return next((row for row in self.rows if not row.claim and row.variant == variant), None)

    def of_claim(self, name: str) -> tuple[Compared, ...]:
        """Those that the claim called ``name`` makes, in its order."""
        return tuple(row for row in self.rows if row.claim == name)


def compare(tables: ScenarioTables) -> Comparisons:
    """All declared comparisons of the scenario, those with its baseline first."""
    rows = [*_with_baseline(tables), *_of_claims(tables)]
    return Comparisons(tuple(_judged(row) for row in _adjusted(rows)))


def throughput_logs(
    tables: ScenarioTables, one: str, other: str, endpoint: str, rates: RotationRates | None = None
) -> dict[int, float]:
    """ln(one / other) of throughput by round, where both have some."""
    rates = rotation_rates(tables, endpoint) if rates is None else rates
    groups = {(str(r["variant"]), int(r["round"])): r["group"] for r in tables.trials.to_dict("records")}
    first, second = (per_round(tables, name, endpoint, "throughput_rps") or {} for name in (one, other))
    logs = {}
    for number in sorted(first.keys() & second.keys()):
        pairs = [(first[number].value, second[number].value)]
        if groups[one, number] == groups[other, number]:
            pairs = rotation_pairs(rates[one, number], rates[other, number]) or pairs
        if all(a > 0 and b > 0 for a, b in pairs):
            logs[number] = log_ratio(pairs)
    return logs


def rotation_pairs(one: dict[int, float], other: dict[int, float]) -> list[tuple[float, float]]:
    """The rates of rotations that both took; none where a turn without any answer has no logarithm."""
    pairs = [(one[rotation], other[rotation]) for rotation in one if rotation in other]
    return pairs if all(a > 0 and b > 0 for a, b in pairs) else []


def compare_throughput(tables: ScenarioTables, one: str, other: str, rates: RotationRates) -> Compared | None:
    """One pair, as a family of its own; None where they share no round."""
    scenario = tables.scenario
    logs = throughput_logs(tables, one, other, scenario.endpoint, rates)
    row = Compared(scenario.name, scenario.load, scenario.endpoint, "throughput_rps", one, other)
    return _judged(_adjusted([_measured(tables, row, logs)])[0]) if logs else None


def verdict_of(logs: Sequence[float]) -> Verdict:
    """On ln(A / B) of each round of one pair, as a family of its own: equivalent, faster, slower or inconclusive."""
    row = _with_figures(Compared("", "", "", "throughput_rps", "", ""), logs)
    return _verdict(replace(row, p_holm=row.p))


def _with_baseline(tables: ScenarioTables) -> Iterator[Compared]:
    scenario = tables.scenario
    rates = rotation_rates(tables, scenario.endpoint)
    for variant in scenario.variants:
        if variant.name == scenario.baseline:
            continue
        row = Compared(
            scenario.name, scenario.load, scenario.endpoint, "throughput_rps", variant.name, scenario.baseline
        )
        yield _measured(tables, row, throughput_logs(tables, variant.name, scenario.baseline, row.endpoint, rates))


def _of_claims(tables: ScenarioTables) -> Iterator[Compared]:
    scenario = tables.scenario
    for claim in scenario.claims:
        for wanted in claim.comparisons:
            named = isinstance(wanted.other, str)
            row = Compared(
                scenario=scenario.name,
                load=scenario.load,
                endpoint=wanted.endpoint or scenario.endpoint,
                metric=wanted.metric,
                variant=wanted.variant,
                baseline=str(wanted.other) if named else "",
                claim=claim.name,
                relation=wanted.relation,
                factor=wanted.factor,
                number=None if named else float(wanted.other),
            )
            yield _compared(tables, row, wanted)


def _compared(tables: ScenarioTables, row: Compared, wanted: Comparison) -> Compared:
    if row.metric == "throughput_rps" and row.baseline:
        return _measured(tables, row, throughput_logs(tables, row.variant, row.baseline, row.endpoint))
    one = per_round(tables, row.variant, row.endpoint, row.metric)
    if one is None:
        return replace(row, reason=f"{row.metric} has no value of a round's own")
    other = (
        per_round(tables, row.baseline, row.endpoint, row.metric) or {}
        if row.baseline
        else {number: Bounded(float(wanted.other), False) for number in one}
    )
    shared = sorted(one.keys() & other.keys())
    if not row.is_share:
        shared = [n for n in shared if one[n].value > 0 and other[n].value > 0]
    at_least, at_most = (any(values[n].at_least for n in shared) for values in (one, other))
    row = replace(row, at_least=at_least, at_most=at_most)
    scale = angle if row.is_share else math.log
    logs = {n: scale(one[n].value) - scale(other[n].value) for n in shared}
    row = _measured(tables, row, logs)
    return _with_bounds(row, logs, {n for n in shared if one[n].at_least or other[n].at_least})


def _measured(tables: ScenarioTables, row: Compared, logs: dict[int, float]) -> Compared:
    """The row with its figures. A bound enters as a value, which is the less favourable side of the truth."""
    if not logs:
        return replace(row, reason=_missing(tables, row))
    values = list(logs.values())
    row = _with_figures(row, values)
    if len(values) == 1:
        return replace(row, reason=_too_few(tables, row, next(iter(logs))))
    return row


def _with_bounds(row: Compared, logs: dict[int, float], bounds: set[int]) -> Compared:
    """The row, without a p where a bound leaves the side of the threshold open.

    A bound decides when it lies beyond the threshold itself: the truth lies further on the same side. So the side is
    open where a round is not beyond it. The reason names that round, and whether it is a bound or a number.
    """
    low, high = row.accepted
    unclear = {n for n, log in logs.items() if (row.at_least and log <= high) or (row.at_most and log >= low)}
    if not bounds or not unclear or row.reason:
        return row
    number = min(unclear & bounds or unclear)
    if number in bounds:
        reason = f"in round {number} too many requests were not answered: their latency is not known"
    else:
        reason = f"the rounds differ: {digits(math.exp(logs[number]), 3)} times in round {number}"
    return replace(row, p=None, reason=reason)


def _with_figures(row: Compared, logs: Sequence[float]) -> Compared:
    """Ratio, intervals and p, from at least one round."""
    interval = mean_interval(logs)
    assert interval is not None
    row = replace(row, ratio=math.exp(interval.mean), rounds=len(logs), p=t_probability(logs, *row.accepted))
    if interval.low is None or interval.high is None:
        return row
    half = half_width(logs, TOST_CONFIDENCE)
    return replace(
        row,
        ci_low=math.exp(interval.low),
        ci_high=math.exp(interval.high),
        tost_low=math.exp(interval.mean - half),
        tost_high=math.exp(interval.mean + half),
    )


def _too_few(tables: ScenarioTables, row: Compared, number: int) -> str:
    """Why the only round that there is cannot be judged; empty where it can."""
    if row.metric != "throughput_rps":
        return ""
    counts = tables.counts[(tables.counts["round"] == number) & (tables.counts["endpoint"] == row.endpoint)]
    measured = counts[counts["measured"] == 1]
    for name in (row.variant, row.baseline):
        answered = int(measured.loc[measured["variant"] == name, "finished"].sum())
        if name and answered < ONE_ROUND_REQUESTS:
            return f"{answered} requests of {name} are too few"
    return ""


def _missing(tables: ScenarioTables, row: Compared) -> str:
    """Why there is nothing to compare, the variant at fault first."""
    for name in (row.variant, row.baseline):
        if name and not tables.rounds(name):
            troubles = [trouble for trouble in tables.excluded if trouble.variant == name]
            if troubles:
                return f"{name} is {troubles[0].status}: {troubles[0].reasons[0]}"
            return f"{name} was not measured"
    if row.metric == "throughput_rps":
        return "no round in which both answered"
    return f"too few requests to {row.endpoint} in a round for {row.metric}"


def _adjusted(rows: list[Compared]) -> list[Compared]:
    """With Holm's p: over the family of all distinct hypotheses that could be tested."""
    tested = {row.hypothesis: row.p for row in rows if row.p is not None}
    adjusted = dict(zip(tested, holm([p for p in tested.values() if p is not None]), strict=True))
    return [replace(row, p_holm=adjusted.get(row.hypothesis) if row.p is not None else None) for row in rows]


def _judged(row: Compared) -> Compared:
    if not row.claim:
        return replace(row, verdict=_verdict(row))
    if row.ratio is None or row.reason:
        return replace(row, verdict="inconclusive")
    if row.rounds == 1:
        return replace(row, verdict=_of_one_round(row))
    return replace(row, verdict=_of_claim(row))


def _verdict(row: Compared) -> Verdict:
    """METHOD's order: equivalent, even if the difference is real; then what Holm leaves; otherwise inconclusive."""
    if row.ratio is None or row.tost_low is None or row.tost_high is None:
        return ""
    if row.tost_low > 1 / MARGIN and row.tost_high < MARGIN:
        return "equivalent"
    if row.p_holm is not None and row.p_holm < SIGNIFICANT:
        return "faster" if row.ratio > 1 else "slower"
    return "inconclusive"


def _of_claim(row: Compared) -> Verdict:
    if row.relation == "equivalent" and row.tost_low is not None and row.tost_high is not None:
        bounded = row.at_least or row.at_most
        if not bounded and row.tost_low > row.factor / MARGIN and row.tost_high < row.factor * MARGIN:
            return "confirmed"
    if row.p_holm is None or row.p_holm >= SIGNIFICANT or row.ratio is None:
        return "inconclusive"
    return _side(row, above=row.ratio > row.factor)


def _of_one_round(row: Compared) -> Verdict:
    """Only what is beyond its threshold by ONE_ROUND_FACTOR. One round never proves an equivalence."""
    assert row.ratio is not None
    low, high = (math.exp(end) for end in row.accepted)
    if row.ratio > ONE_ROUND_FACTOR * high:
        return _side(row, above=True)
    if row.ratio < low / ONE_ROUND_FACTOR:
        return _side(row, above=False)
    return "inconclusive"


def _side(row: Compared, above: bool) -> Verdict:
    """What a ratio that is surely above (below) its threshold does to the claim; a bound only speaks for its side."""
    if (above and row.at_most) or (not above and row.at_least):
        return "inconclusive"
    if row.relation == "equivalent":
        return "refuted"
    return "confirmed" if above == (row.relation == "above") else "refuted"
