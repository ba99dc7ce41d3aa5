"""Feeds Locust's own statistics from folded intervals, so that its tables and its web UI show live figures.

Locust's ``events.request`` costs tens of microseconds a call, more than a whole request of ours; a batch a second
costs nothing and shows the same.
"""

from __future__ import annotations

import time
from typing import Any

from locust import stats as locust_stats

from bench.load.endpoint_recorder import IntervalStats


def feed(stats: Any, row: IntervalStats, length_s: float) -> None:
    """Add one interval of ``length_s`` seconds to ``stats``, a locust.stats.RequestStats."""
    if length_s <= 0:
        return
    method, _, name = row.endpoint.partition(" ")
    buckets = row.buckets.get("response") or row.buckets.get("service", {})
    counted: dict[int, int] = dict(buckets)
    for kind in ("straddling", "failed"):
        for value_us, count in row.buckets.get(kind, {}).items():
            counted[value_us] = counted.get(value_us, 0) + count
    if not counted:
        return
    failures = sum(row.causes.values())
    for entry in (stats.total, stats.entries[(name, method)]):
        _log(entry, counted, failures)
    for cause, count in row.causes.items():
        key = locust_stats.StatsError.create_key(method, name, cause)
        error = stats.errors.setdefault(key, locust_stats.StatsError(method, name, cause))
        error.occurrences += count


def _log(entry: Any, counted: dict[int, int], failures: int) -> None:
    now_s = time.time()
    second = int(now_s)
    # As StatsEntry.log does before it counts: the web UI's "current" percentiles are differences of these copies.
    if entry.use_response_times_cache and entry.last_request_timestamp and second > int(entry.last_request_timestamp):
        entry._cache_response_times(second - 1)
    requests = sum(counted.values())
    entry.num_requests += requests
    entry.num_failures += failures
    entry.num_reqs_per_sec[second] += requests
    if failures:
        entry.num_fail_per_sec[second] += failures
    entry.last_request_timestamp = now_s
    for value_us, count in counted.items():
        value_ms = value_us / 1000
        entry.total_response_time += value_ms * count
        entry.response_times[locust_stats.bucket_response_time(value_ms)] += count
    least_ms = min(counted) / 1000
    entry.min_response_time = least_ms if entry.min_response_time is None else min(entry.min_response_time, least_ms)
    entry.max_response_time = max(entry.max_response_time, max(counted) / 1000)
