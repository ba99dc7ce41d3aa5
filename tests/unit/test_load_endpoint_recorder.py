"""From raw microseconds to the files: nothing is rounded twice, lost or out of place. And requests, as bytes."""

from __future__ import annotations

import csv
import math
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given
from hypothesis import strategies as st
from load_world import folded, nothing_falls_into_the_hub  # noqa: F401

from bench.load.endpoint_recorder import (
    FOLD_SLICE,
    SAMPLE_ERRORS,
    EndpointRecorder,
    IntervalStats,
    RawInterval,
    encode,
    fold,
    tag,
)
from bench.load.request import Request, Target
from bench.load.trial_recorder import late_in_a_row
from bench.load.trial_writer import TrialWriter
from bench.results.schema import CAUSES, COUNTS_COLUMNS, HISTOGRAM_MAX_US, HISTOGRAM_MIN_US

values_us = st.integers(HISTOGRAM_MIN_US, HISTOGRAM_MAX_US)


def reference() -> HdrHistogram:
    """The contract's histogram, fed the plain way."""
    return HdrHistogram(HISTOGRAM_MIN_US, HISTOGRAM_MAX_US, 3)


def taken(values: dict[str, list[int]]) -> RawInterval:
    return RawInterval("GET /x", values, 0, Counter(), Counter(), Counter(), 0, 0.0, [])


def buckets_of(*values: int) -> dict[int, int]:
    return folded(taken({"service": list(values)})).buckets["service"]


# Buckets


@pytest.mark.parametrize(
    ("value_us", "bucket_us"),
    [
        (1, 1),
        (2047, 2047),
        (2048, 2048),
        (2049, 2048),
        (4095, 4094),
        (4096, 4096),
        (4099, 4096),
        (123_456, 123_456 // 64 * 64),
        (600_000_000, 600_000_000 // 2**19 * 2**19),
    ],
)
def test_three_digits_are_kept(value_us: int, bucket_us: int) -> None:
    assert buckets_of(value_us) == {bucket_us: 1}


@given(st.lists(values_us, min_size=1, max_size=50))
def test_folding_changes_nothing_for_the_histogram(values: list[int]) -> None:
    plain = reference()
    for value in values:
        assert plain.record_value(value)
    read = HdrHistogram.decode(encode(buckets_of(*values))[0])
    assert read.get_total_count() == len(values)
    for percentile in (0, 50, 90, 99, 100):
        assert read.get_value_at_percentile(percentile) == plain.get_value_at_percentile(percentile)


def test_the_largest_value_is_told() -> None:
    *_, largest_us = encode(buckets_of(5, 1000, 300))
    assert largest_us == 1000


@pytest.mark.parametrize("value_us", [-1, HISTOGRAM_MAX_US * 4])
def test_encode_raises_for_what_the_histogram_would_drop_silently(value_us: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode({value_us: 1})


def test_what_took_longer_than_the_histogram_reaches_counts_as_its_longest() -> None:
    """A timeout of a user's own may be longer than 10 minutes: the recorder must not end with it."""
    buckets = buckets_of(0, HISTOGRAM_MAX_US * 3, 7)
    assert sum(buckets.values()) == 3
    read = HdrHistogram.decode(encode(buckets)[0])
    assert read.get_total_count() == 3
    assert min(buckets) == HISTOGRAM_MIN_US


def test_folding_pauses_between_slices() -> None:
    steps = list(fold(taken({"service": [5] * (3 * FOLD_SLICE), "lag": [1]})))
    assert [step is None for step in steps] == [True] * 4 + [False]
    assert steps[-1] is not None
    assert steps[-1].buckets == {"service": {5: 3 * FOLD_SLICE}, "lag": {1: 1}}


# Channels


def test_a_channel_books_each_fate_where_the_contract_says() -> None:
    channel = EndpointRecorder("GET /x", part_start_s=100.0)
    channel.started = 9
    channel.add_service(500)
    channel.scheduled(intended_s=100.1, sent_s=100.2, done_s=100.5)
    channel.scheduled(intended_s=99.9, sent_s=100.1, done_s=100.6)  # due in the part before, sent in this one
    channel.straddling(99.0, 99.0, 100.25)
    channel.failed(100.0, 100.5, 101.0, "status", "status 500", 500)
    channel.failed(99.0, 99.5, 100.5, "reset", "reset by peer")
    channel.unfinished(100.5, 100.5, 101.0)
    channel.unfinished(99.5, 99.5, 101.0)
    row = folded(channel.take())
    tens_ms = {kind: [round(us / 1e3, -1) for us in sorted(table)] for kind, table in row.buckets.items()}
    assert tens_ms == {
        "service": [0, 300],
        "response": [400],
        "lag": [100],
        "straddling": [700, 1250],
        "straddling_remaining": [250, 600],
        "failed": [1000, 1500],
        "unfinished": [500],
        "straddling_unfinished": [1500],
    }
    assert row.finished == 4
    assert row.causes == {"status": 1, "reset": 1}
    assert row.statuses == {500: 1}
    assert row.counts["unfinished"] == 2
    assert row.in_flight == 9 - 4 - 2 - 2
    # Seconds in flight within the part: 0.0005 + 0.3 (service), 0.5 + 0.25 (straddling), 0.5 + 0.5 (failed), 0.5 + 1.0.
    assert row.area_s == pytest.approx(0.0005 + 0.3 + 0.5 + 0.25 + 0.5 + 0.5 + 0.5 + 1.0, abs=1e-5)


def test_taking_leaves_a_channel_empty_but_for_what_is_in_flight() -> None:
    channel = EndpointRecorder("GET /x", 0.0)
    hot = channel.add_service
    channel.started = 3
    hot(10)
    channel.counts["dropped"] += 1
    first = folded(channel.take())
    assert (first.counts["started"], first.finished, first.in_flight) == (3, 1, 2)
    assert first.counts["dropped"] == 1
    hot(20)  # the append that somebody holds still goes to the channel
    second = folded(channel.take())
    assert (second.counts["started"], second.finished, second.in_flight) == (0, 1, 1)
    assert second.counts.get("dropped", 0) == 0
    assert second.buckets == {"service": {20: 1}}


def test_few_different_messages_are_kept() -> None:
    channel = EndpointRecorder("GET /x", 0.0)
    for number in range(100):
        channel.sample(f"  error {number % 10}  " + "x" * 1000)
        channel.sample("")
    assert len(channel.samples) == SAMPLE_ERRORS == len(set(channel.samples))
    assert max(map(len, channel.samples)) <= 300


def _row(**counts: int) -> IntervalStats:
    causes = {cause: n for cause, n in counts.items() if cause in CAUSES}
    other = {name: n for name, n in counts.items() if name not in CAUSES}
    buckets = {"service": {100: 1, 200: 2}, "failed": {50: 1}}
    return IntervalStats("GET /x", 3, other, causes, {500: 1}, 1, 0.5, ["a"], buckets)


def test_rows_of_two_generators_add_up() -> None:
    row, other = _row(started=5, status=1), _row(started=6, status=1, reset=2)
    other.samples = ["a", "b"]
    row.add(other)
    assert (row.finished, row.in_flight, row.area_s) == (6, 2, 1.0)
    assert row.counts == {"started": 11}
    assert row.causes == {"status": 2, "reset": 2}
    assert row.statuses == {500: 2}
    assert row.samples == ["a", "b"]
    assert row.buckets == {"service": {100: 2, 200: 4}, "failed": {50: 2}}


# Files


def read_hlog(path: Path) -> list[HdrHistogram]:
    """Through the package's own reader, which knows nothing of our writer."""
    reader = HistogramLogReader(str(path), reference())
    intervals = []
    while (interval := reader.get_next_interval_histogram()) is not None:
        intervals.append(interval)
    reader.close()
    return intervals


ENDPOINTS = ["GET /x", "POST /books, all", "GET /größe"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Three intervals in a row of three endpoints, with edges that microseconds do not hold."""
    writer = TrialWriter(tmp_path / "trial")
    now_s = int(time.perf_counter()) + 1
    edges_s = [now_s + 0.0000004, now_s + 1.0000006, now_s + 1.9999995, now_s + 2.2]
    for number, (start_s, end_s) in enumerate(pairwise(edges_s)):
        rows = []
        for endpoint in ENDPOINTS:
            row = _row(started=5, status=1, timeout=2, dropped=3, unfinished=1, completed_late=1, reconnects=7)
            row.endpoint = endpoint
            rows.append(row)
        writer.interval(start_s, end_s, number > 0, rows)
    writer.close()
    return tmp_path / "trial"


def test_an_independent_reader_finds_totals_tags_and_stamps(written: Path) -> None:
    intervals = read_hlog(written / "requests.hlog")
    totals: Counter[str] = Counter()
    for interval in intervals:
        totals[interval.get_tag()] += interval.get_total_count()
    expected = {tag(e, kind): 3 * n for e in ENDPOINTS for kind, n in (("service", 3), ("failed", 1))}
    assert totals == expected
    assert {unquote(name.rpartition(":")[0]) for name in totals} == set(ENDPOINTS)
    assert not any(set(name) & set(", \n") for name in totals)
    # The reader adds the base time: stamps are of perf_counter, and come out as Unix time in milliseconds.
    base_s = time.time() - time.perf_counter()
    starts_s = sorted({interval.get_start_time_stamp() / 1000 - base_s for interval in intervals})
    first_s = int(time.perf_counter()) + 1
    assert len(starts_s) == 3
    assert first_s - 10 < starts_s[0] < first_s + 1
    assert [b - a for a, b in pairwise(starts_s)] == pytest.approx([1.0, 1.0], abs=1e-5)


def test_an_interval_that_starts_with_the_file_is_not_dropped_by_readers(tmp_path: Path) -> None:
    """They skip what begins before the log's own start time, by a microsecond even."""
    for number in range(20):
        writer = TrialWriter(tmp_path / str(number))
        start_s = time.perf_counter()
        writer.interval(start_s, start_s + 0.5, True, [_row(started=5)])
        writer.close()
        assert len(read_hlog(tmp_path / str(number) / "requests.hlog")) == 2


def test_intervals_never_overlap_and_leave_no_gap(written: Path) -> None:
    lines = [line for line in (written / "requests.hlog").read_text().splitlines() if line.startswith("Tag=")]
    spans = sorted({tuple(round(float(x) * 1e6) for x in line.split(",")[1:3]) for line in lines})
    assert len(spans) == 3
    for (start_us, length_us), (next_us, _) in pairwise(spans):
        assert start_us + length_us == next_us


def test_counts_have_the_contracts_columns(written: Path) -> None:
    with (written / "counts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COUNTS_COLUMNS
    assert len(rows) == 9
    assert [row["endpoint"] for row in rows[:3]] == ENDPOINTS
    assert [row["measured"] for row in rows] == ["0"] * 3 + ["1"] * 6
    counted = {name: int(value) for name, value in rows[0].items() if name not in ("start_s", "end_s", "endpoint")}
    assert counted == {
        "measured": 0,
        "started": 5,
        "finished": 3,
        "failed": 3,
        "unfinished": 1,
        "completed_late": 1,
        "dropped": 3,
        "in_flight": 1,
        "reconnects": 7,
        "failed_status": 1,
        "failed_refused": 0,
        "failed_reset": 0,
        "failed_closed": 0,
        "failed_timeout": 2,
        "failed_malformed": 0,
        "failed_other": 0,
    }
    edges = [(float(row["start_s"]), float(row["end_s"])) for row in rows[::3]]
    assert [end for _, end in edges[:-1]] == [start for start, _ in edges[1:]]


def test_what_was_written_is_there_whatever_happens_next(tmp_path: Path) -> None:
    writer = TrialWriter(tmp_path)
    try:
        now_s = time.perf_counter() + 1
        writer.interval(now_s, now_s + 1, True, [_row(started=5)])
        assert len(read_hlog(tmp_path / "requests.hlog")) == 2
        assert len((tmp_path / "counts.csv").read_text().splitlines()) == 2
    finally:
        writer.close()


# Requests


def test_a_get_as_bytes() -> None:
    request = Request("/books?page=2", headers=(("Accept-Language", "fr"),))
    assert request.encode("host:80") == (
        b"GET /books?page=2 HTTP/1.1\r\nHost: host:80\r\nAccept: */*\r\nAccept-Language: fr\r\n\r\n"
    )
    assert request.label == ("GET", "/books")
    assert Request("/books", name="all books").label == ("GET", "all books")


def test_a_post_as_bytes() -> None:
    post = Request("/books", "POST", (("Content-Type", "application/json"),), b"{}")
    head, _, body = post.encode("host:80").partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /books HTTP/1.1"
    assert b"Content-Length: 2" in head.splitlines()
    assert body == b"{}"
    assert b"Content-Length: 0" in Request("/", "POST").encode("h:1")
    assert b"Content-Length" not in Request("/").encode("h:1")


@pytest.mark.parametrize("name", ["Host", "accept", "CONTENT-LENGTH"])
def test_a_header_given_replaces_ours(name: str) -> None:
    """Two Host headers are a bad request to every server."""
    lines = Request("/", "POST", ((name, "7"),)).encode("host:80").split(b"\r\n\r\n")[0].lower().splitlines()
    assert [line for line in lines if line.startswith(name.lower().encode() + b":")] == [f"{name}: 7".lower().encode()]


@pytest.mark.parametrize(
    ("method", "repeatable"),
    [("GET", True), ("PUT", True), ("DELETE", True), ("OPTIONS", True), ("POST", False), ("PATCH", False)],
)
def test_only_idempotent_methods_may_be_repeated(method: str, repeatable: bool) -> None:
    assert Request("/", method).repeatable is repeatable


@pytest.mark.parametrize(
    "make",
    [
        lambda: Request("books"),
        lambda: Request("/a b"),
        lambda: Request("/größe"),
        lambda: Request("/\r\nX: y"),
        lambda: Request("/", headers=(("X", "a\r\nY: b"),)),
        lambda: Request("/", "GET\n"),
        lambda: Request("/", "HEAD"),
        lambda: Target.parse("https://127.0.0.1"),
        lambda: Target.parse("http://"),
        lambda: Target.parse("http://127.0.0.1:99999"),
    ],
)
def test_what_cannot_be_sent_is_refused_when_it_is_made(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()


@pytest.mark.parametrize(
    ("url", "address", "authority"),
    [
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000), "127.0.0.1:8000"),
        ("127.0.0.1:8000", ("127.0.0.1", 8000), "127.0.0.1:8000"),
        ("http://localhost", ("localhost", 80), "localhost:80"),
        ("http://[::1]:8000/", ("::1", 8000), "[::1]:8000"),
    ],
)
def test_targets(url: str, address: tuple[str, int], authority: str) -> None:
    target = Target.parse(url)
    assert target.address == address
    assert target.authority == authority


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ([], None),
        ([(0.0, 0.2), (0.1, 1.5), (0.2, 0.3)], 1),
        ([(0.3, 2.0), (0.1, 1.5), (0.2, math.inf), (0.4, 0.9), (0.5, 3.0)], 3),
        ([(0.0, 1.0)], 0),
    ],
)
def test_late_health_checks_in_a_row_by_their_intended_start(
    sequence: list[tuple[float, float]], expected: int | None
) -> None:
    """Answers may come in another order, and from several generators."""
    assert late_in_a_row(sequence) == expected
