"""What the measurement says of each claim: confirmed, refuted or inconclusive, with the numbers that say so.

A claim is confirmed when all of its comparisons are, refuted when one of them is, and inconclusive otherwise.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.comparisons import MARGIN, Compared, Comparisons
from bench.analysis.intervals import angle, share_of_angle
from bench.analysis.numbers import digits, duration, rate, share
from bench.analysis.summary import Figure, Summary
from bench.analysis.tables import ScenarioTables
from bench.model import Claim
from bench.results import schema

ClaimOutcome = Literal["confirmed", "refuted", "inconclusive"]

MAX_SHOWN = 3
"""Comparisons of one claim that its sentence tells; the others are in the table of comparisons."""


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim with its verdict. ``evidence`` is one sentence of numbers; names in it come from run.json as they are."""

    scenario: str
    name: str
    statement: str
    question: str
    guide: bool
    verdict: ClaimOutcome
    evidence: str


def judge_claims(tables: ScenarioTables, summary: Summary, comparisons: Comparisons) -> tuple[ClaimVerdict, ...]:
    """A verdict for every claim of the scenario, in the catalogue's order. ``comparisons`` are compare(tables)'s."""
    return tuple(_judged(tables, summary, claim, comparisons.of_claim(claim.name)) for claim in tables.scenario.claims)


def to_csv(verdicts: Iterable[ClaimVerdict]) -> str:
    """The text of claims.csv, with schema.CLAIMS_COLUMNS."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(schema.CLAIMS_COLUMNS)
    writer.writerows((one.scenario, one.name, one.verdict, one.evidence) for one in verdicts)
    return text.getvalue()


def _judged(tables: ScenarioTables, summary: Summary, claim: Claim, rows: Sequence[Compared]) -> ClaimVerdict:
    verdict = _outcome(rows)
    telling = [row for row in rows if row.verdict == verdict]
    sentences = list(dict.fromkeys(_sentence(tables, summary, row) for row in telling))
    text = sentences[:MAX_SHOWN]
    if len(sentences) > MAX_SHOWN:
        text.append(f"and {len(sentences) - MAX_SHOWN} more")
    return ClaimVerdict(
        tables.scenario.name, claim.name, claim.statement, claim.question, claim.guide, verdict, f"{'; '.join(text)}."
    )


def _outcome(rows: Sequence[Compared]) -> ClaimOutcome:
    verdicts = {row.verdict for row in rows}
    if "refuted" in verdicts:
        return "refuted"
    return "confirmed" if verdicts == {"confirmed"} else "inconclusive"


def _sentence(tables: ScenarioTables, summary: Summary, row: Compared) -> str:
    """``time.sleep in async def 19.9 requests/s, await asyncio.sleep 586: 0.034 times (0.033 to 0.035), …``."""
    if row.ratio is None:
        return row.reason
    text = f"{_subject(tables, row)} {_figure(summary, row, row.variant)}"
    if row.baseline:
        text += f", {_name(tables, row.baseline)} {_figure(summary, row, row.baseline)}: {_times(row)}"
    return f"{text} ({_interval(row)}), {_threshold(row)}{f'; {row.reason}' if row.reason else ''}"


def _subject(tables: ScenarioTables, row: Compared) -> str:
    name = _name(tables, row.variant)
    where = "" if row.endpoint == tables.scenario.endpoint or not _of_an_endpoint(row) else row.endpoint
    what = METRICS.get(row.metric, row.metric)
    return f"{what} of {where} beside {name}" if where else f"{what} with {name}" if what else name


def _of_an_endpoint(row: Compared) -> bool:
    """Whether the metric is an endpoint's, and not the server's."""
    return row.metric.startswith(("latency", "service", "throughput"))


METRICS = {
    "throughput_rps": "",
    "latency_p50_ms": "median",
    "latency_p90_ms": "p90",
    "latency_p99_ms": "p99",
    "server_cpu_per_request_ms": "CPU a request",
    "server_cpu_cores": "CPU cores used",
    "latency_above_1s_share": "share above 1 s",
    "loop_lag_p99_ms": "p99 of the loop's lag",
}
"""What a sentence calls a metric; throughput speaks for itself by its unit."""


def _name(tables: ScenarioTables, variant: str) -> str:
    return tables.scenario.variant(variant).summary


def _figure(summary: Summary, row: Compared, variant: str) -> str:
    endpoint = row.endpoint if _of_an_endpoint(row) else ""
    figure = summary.get(variant, endpoint, row.metric)
    return "unknown" if figure is None else _value(figure)


def _value(figure: Figure) -> str:
    if figure.unit == "requests/s":
        text = f"{rate(figure.value)} requests/s"
    elif figure.unit == "ms":
        text = duration(figure.value)
    elif figure.unit == "share":
        text = share(figure.value)
    else:
        text = f"{digits(figure.value, 3)} {figure.unit}"
    return f"more than {text}" if figure.at_least else text


def _times(row: Compared) -> str:
    assert row.ratio is not None
    bound = "at least " if row.at_least else "at most " if row.at_most else ""
    return f"{bound}{digits(row.ratio, 3)} times"


def _interval(row: Compared) -> str:
    """The interval that decides: 90 % for an equivalence that was shown, else 95 %; of a number's in its unit."""
    if row.rounds == 1:
        return "one round, no interval"
    proven = row.relation == "equivalent" and row.verdict == "confirmed"
    low, high = (row.tost_low, row.tost_high) if proven else (row.ci_low, row.ci_high)
    if low is None or high is None or row.at_least or row.at_most:
        return f"{row.rounds} rounds"
    if row.number and row.is_share:
        ends = [share_of_angle(math.log(end) + angle(row.number)) for end in (low, high)]
    else:
        ends = [end * row.number if row.number else end for end in (low, high)]
    in_words = _unit(row) if row.number else lambda end: digits(end, 3)
    return f"{90 if proven else 95} % interval {in_words(ends[0])} to {in_words(ends[1])}, {row.rounds} rounds"


def _unit(row: Compared) -> Callable[[float], str]:
    if row.metric.endswith("_ms"):
        return duration
    if row.metric.endswith("_rps"):
        return rate
    return share if row.is_share else lambda value: f"{digits(value, 3)}"


def _threshold(row: Compared) -> str:
    """What the claim states: ``claimed below 0.1``, ``claimed above 1.0 s``, ``claimed within 5 %``."""
    if row.relation == "equivalent":
        return f"claimed to be within {100 * (MARGIN - 1):.0f} %"
    limit = _unit(row)(row.number * row.factor) if row.number else f"{row.factor:g} times"
    return f"claimed to be {row.relation} {limit}"
