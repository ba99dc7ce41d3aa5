"""What happened on one endpoint of one target: collected raw on the hot path, folded into histograms off it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hdrh.histogram import HdrHistogram

from bench.results.schema import CAUSES, HISTOGRAM_DIGITS, HISTOGRAM_MAX_US, HISTOGRAM_MIN_US, KINDS

SAMPLE_ERRORS = 5
"""Error messages that are kept of an endpoint."""
SAMPLE_ERROR_CHARS = 300
FOLD_SLICE = 1000
"""Values that are folded at once, about 0.3 ms. All values of a second at once would hold the hub and add lag."""


class EndpointRecorder:
    """One endpoint of one target, since the last interval was taken.

    The lists are in microseconds and are filled by hub callbacks. ``add_service`` is the bound ``append`` of a list that is
    emptied and never replaced, since every request calls it.
    """

    __slots__ = (
        "add_service",
        "answers",
        "area_s",
        "causes",
        "counts",
        "endpoint",
        "in_flight",
        "part_start_s",
        "samples",
        "sequence",
        "started",
        "statuses",
        "values",
    )

    def __init__(self, endpoint: str, part_start_s: float) -> None:
        self.endpoint = endpoint
        self.part_start_s = part_start_s
        """A request that began before it is *straddling*: it belongs to the part before."""
        self.in_flight = 0
        """At the last interval's end."""
        self.values: dict[str, list[int]] = {kind: [] for kind in KINDS}
        self.add_service = self.values["service"].append
        self.area_s = 0.0
        """Seconds in flight within this part of the requests that are not in ``service``: for Little's law."""
        self.answers = 0
        """Answered requests that are not in ``service``: those that began in an earlier part."""
        self.started = 0
        self.counts: Counter[str] = Counter()
        """unfinished, completed_late, dropped, reconnects"""
        self.causes: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.samples: list[str] = []
        self.sequence: list[tuple[float, float]] = []
        """(intended start, latency) in seconds of requests whose order matters; of an unanswered one its age."""

    def straddling(self, begun_s: float, sent_s: float, done_s: float) -> None:
        """An expected answer to a request that began in the part before."""
        self.values["straddling"].append(_us(done_s - begun_s))
        self.values["straddling_remaining"].append(_us(done_s - self.part_start_s))
        self.area_s += done_s - max(sent_s, self.part_start_s)
        self.answers += 1

    def scheduled(self, intended_s: float, sent_s: float, done_s: float) -> None:
        """An expected answer to a request that was due at ``intended_s``."""
        if intended_s < self.part_start_s:
            self.straddling(intended_s, sent_s, done_s)
            return
        self.add_service(_us(done_s - sent_s))
        self.values["response"].append(_us(done_s - intended_s))
        self.values["lag"].append(_us(sent_s - intended_s))

    def failed(self, begun_s: float, sent_s: float, done_s: float, cause: str, detail: str, status: int = 0) -> None:
        """A request that failed for ``cause``, one of CAUSES."""
        self.values["failed"].append(_us(done_s - begun_s))
        self.area_s += done_s - max(sent_s, self.part_start_s)
        self.causes[cause] += 1
        if status:
            self.statuses[status] += 1
        self.sample(detail)

    def sample(self, detail: str) -> None:
        """Keep an error message as a sample, if there is room."""
        message = detail.strip()[:SAMPLE_ERROR_CHARS]
        if message and len(self.samples) < SAMPLE_ERRORS and message not in self.samples:
            self.samples.append(message)

    def unfinished(self, begun_s: float, sent_s: float, end_s: float) -> None:
        """A request that was not answered by the end of its turn."""
        kind = "unfinished" if begun_s >= self.part_start_s else "straddling_unfinished"
        self.values[kind].append(_us(end_s - begun_s))
        # A late arrival that was sent with the turn's end was in flight for no time of it.
        self.area_s += max(0.0, end_s - max(sent_s, self.part_start_s))
        self.counts["unfinished"] += 1

    def take(self) -> RawInterval:
        """Everything since the last call. Quick: it copies and clears lists."""
        values = {kind: list(rows) for kind, rows in self.values.items() if rows}
        for rows in self.values.values():
            rows.clear()
        finished = len(values.get("service", ())) + self.answers
        counts = self.counts.copy()
        counts["started"] = self.started
        self.in_flight += self.started - finished - self.causes.total() - counts["unfinished"]
        taken = RawInterval(
            self.endpoint,
            values,
            finished,
            counts,
            Counter(self.causes),
            Counter(self.statuses),
            self.in_flight,
            self.area_s,
            list(self.samples),
            list(self.sequence),
        )
        self.sequence.clear()
        self.counts.clear()
        self.causes.clear()
        self.statuses.clear()
        self.area_s = 0.0
        self.answers = self.started = 0
        return taken


@dataclass(frozen=True)
class RawInterval:
    """What one endpoint recorded during one interval, not folded yet."""

    endpoint: str
    values: dict[str, list[int]]
    finished: int
    counts: Counter[str]
    causes: Counter[str]
    statuses: Counter[int]
    in_flight: int
    area_s: float
    samples: list[str]
    sequence: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class IntervalStats:
    """One endpoint during one interval, folded: as in the files, and as workers send it to their master."""

    endpoint: str
    finished: int
    counts: dict[str, int]
    causes: dict[str, int]
    statuses: dict[int, int]
    in_flight: int
    area_s: float
    samples: list[str]
    buckets: dict[str, dict[int, int]] = field(default_factory=dict)
    """{kind: {lowest value of the histogram's bucket in microseconds: count}}"""
    sequence: list[tuple[float, float]] = field(default_factory=list)
    """As of EndpointRecorder."""

    def add(self, other: IntervalStats) -> None:
        """Count another generator's row of the same interval and endpoint into this one."""
        self.finished += other.finished
        self.in_flight += other.in_flight
        self.area_s += other.area_s
        self.samples = [*self.samples, *(s for s in other.samples if s not in self.samples)][:SAMPLE_ERRORS]
        _add(self.counts, other.counts)
        _add(self.causes, other.causes)
        _add(self.statuses, other.statuses)
        self.sequence = [*self.sequence, *other.sequence]
        for kind, buckets in other.buckets.items():
            _add(self.buckets.setdefault(kind, {}), buckets)


def fold(taken: RawInterval) -> Iterator[IntervalStats | None]:
    """Fold raw values into buckets, a slice at a time: yields None after each slice, and the IntervalStats at last."""
    row = IntervalStats(
        taken.endpoint,
        taken.finished,
        dict(taken.counts),
        dict(taken.causes),
        dict(taken.statuses),
        taken.in_flight,
        taken.area_s,
        taken.samples,
        sequence=taken.sequence,
    )
    for kind, values in taken.values.items():
        buckets: Counter[int] = Counter()
        for first in range(0, len(values), FOLD_SLICE):
            buckets.update(_bucketed(_in_range(values[first : first + FOLD_SLICE])))
            yield None
        row.buckets[kind] = dict(buckets)
        if kind == "service":
            row.area_s += sum(values) / 1e6
    yield row


def _in_range(values: list[int]) -> list[int]:
    # The hot path appends unchecked: a timeout of a user's own may be longer than the histogram reaches.
    if max(values) <= HISTOGRAM_MAX_US and min(values) >= HISTOGRAM_MIN_US:
        return values
    return [min(max(value, HISTOGRAM_MIN_US), HISTOGRAM_MAX_US) for value in values]


def _bucketed(values: list[int]) -> list[int]:
    # Three significant digits in HdrHistogram are 2,048 sub-buckets: eleven leading bits. Folding equal buckets first
    # leaves a few record_value calls (2 us each) where there were thousands.
    return [v if v < 2048 else (v >> (shift := v.bit_length() - 11)) << shift for v in values]


def encode(buckets: dict[int, int]) -> tuple[str, int]:
    """A bucket table as HdrHistogram's V2 compressed base64, and its largest value in microseconds.

    ValueError for a value out of range: ``record_value`` itself only returns False.
    """
    histogram = HdrHistogram(HISTOGRAM_MIN_US, HISTOGRAM_MAX_US, HISTOGRAM_DIGITS)
    for value_us, count in buckets.items():
        if not histogram.record_value(value_us, count):
            raise ValueError(f"{value_us} us does not fit into {HISTOGRAM_MIN_US} to {HISTOGRAM_MAX_US} us")
    return histogram.encode().decode("ascii"), int(histogram.get_max_value())


def tag(endpoint: str, kind: str) -> str:
    """The hlog's tag: no comma, space or line break may stand in one."""
    return f"{quote(endpoint, safe='/')}:{kind}"


def cause_counts(row: IntervalStats) -> list[int]:
    """The row's failures in the order of CAUSES."""
    return [row.causes.get(cause, 0) for cause in CAUSES]


def _us(seconds: float) -> int:
    return min(max(int(seconds * 1e6), HISTOGRAM_MIN_US), HISTOGRAM_MAX_US)


def _add(into: dict[Any, int], other: dict[Any, int]) -> None:
    for key, count in other.items():
        into[key] = into.get(key, 0) + count
