"""The probe in real servers: line, callee, kind and diagnosis for every way to block a loop.

Every test serves once and asserts once. Detection is a rate: of the time (or of ten stalls) that an app was blocked,
MIN_DETECTED must be charged to the right line. The rest is room for a machine that does not run the probe in time.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from measuring import undisturbed
from probed_server import LoadedTime, Server, blamed_line, serving, stalled_ms

MEASURE_S = 0.6
CLEAN_USERS = 32
STALLS = 10
MIN_DETECTED = 0.8
"""Of the blocked time of a server under load."""
MIN_SEEN = 0.3
"""Of single stalls. Whether one is seen depends on how soon the system runs the probe's thread: on one machine 5 to 10 of
ten were seen, depending on the hour. A probe that sees none is broken."""
MIN_NAMED = 0.2
"""Of single stalls in C code. Where the loop's thread runs on before the probe does, the line behind the call is named."""
MIN_RIGHT = 0.9
"""Of the blame on the app's own code: on the right line, the rest on lines that run in between."""
MAX_FALSE_BLAME = 0.05
"""Of the time of a clean app. A machine that stops the process for 25 ms may do so at any line, and the probe then blames
that line: it cannot tell the two apart where the system does not say that the thread waited for a core."""
SAMPLE_INTERVAL_S = 0.02
IDLE_S = 1.2
"""The probe treats a server as idle after one second."""
MAX_BUSY_PERCENT = 30.0
"""Of all cores. The test itself uses some 10 % of two cores."""
MAX_BUSY_WHILE_HELD_PERCENT = 62.0
"""Of all cores, while a call in C uses one of two."""
LAG_TOLERANCE_S = 0.03
"""The interval between heartbeats is 20 ms; the machine adds to both."""
OneStall = tuple[float, Counter[tuple[str, ...]]]
"""How long the loop was blocked, in seconds, and the charges in milliseconds."""


@contextmanager
def patterns(folder: Path, name: str) -> Iterator[Server]:
    """A server of patterns.py; ``name`` is the loop and the number of workers."""
    loop, workers = name.split("-")
    options = ("--loop", loop, *(("--workers", workers) if workers != "1" else ()))
    with serving("patterns:app", folder, *options) as running:
        yield running


@pytest.fixture(scope="module", params=["asyncio-2", "uvloop-1"])  # each loop and each number of workers once
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with patterns(tmp_path_factory.mktemp("patterns"), request.param) as running:
        yield running


@pytest.fixture(scope="module", params=["asyncio-1", "uvloop-1"])
def one_worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with patterns(tmp_path_factory.mktemp("one"), request.param) as running:
        yield running


def own_stalls(server: Server, loaded: LoadedTime) -> list[dict[str, str]]:
    """Stalls that were charged to the app's own code while it was under load."""
    server.wait_for_rows(loaded.until_s)
    return [row for row in server.stalls(loaded.begun_s, loaded.until_s) if row["file"]]


@pytest.mark.parametrize(
    ("path", "users", "kind", "function", "callee", "category"),
    [
        ("/sleep", 8, "loop", "sleep", "time.sleep", "loop blocked"),
        ("/driver", 8, "loop", "driver", "slowdb.Connection.execute", "loop blocked"),
        ("/spin", 8, "loop", "count", None, "loop blocked"),
        ("/spin-def", 24, "gil", "count", None, "GIL-bound"),
        ("/def", 100, "threadpool", "plain_def", "time.sleep", "threadpool exhausted"),
        ("/dependency", 8, "loop", "session", "time.sleep", "loop blocked"),
        ("/middleware", 8, "loop", "__call__", "time.sleep", "loop blocked"),
        ("/background", 8, "loop", "refresh", "time.sleep", "loop blocked"),
        ("/never-awaits", 32, "loop", "never_awaits", "time.sleep", "loop blocked"),
        # Calls shorter than a stall, from few users, behind a BaseHTTPMiddleware
        ("/short?seconds=0.005", 4, "loop", "short", "time.sleep", "loop blocked"),
        ("/short?seconds=0.012", 4, "loop", "short", "time.sleep", "loop blocked"),
        ("/short?seconds=0.020", 2, "loop", "short", "time.sleep", "loop blocked"),
    ],
)
def test_the_blocking_line_is_blamed(
    server: Server, path: str, users: int, kind: str, function: str, callee: str | None, category: str
) -> None:
    # Threads that compute let the probe run once in a turn of all of them: every 0.12 s with 24 threads.
    loaded = server.load(path, users, (4 if path == "/spin-def" else 1) * MEASURE_S)
    own = own_stalls(server, loaded)
    charged = stalled_ms(own, "kind", "file", "line", "function")
    line = blamed_line("patterns.py", path.partition("?")[0])
    right = charged[(kind, "patterns.py", line, function)]
    assert right >= MIN_RIGHT * charged.total() > 0, charged
    if callee is not None:
        ((called, _), *_) = stalled_ms([row for row in own if row["line"] == line], "callee").most_common(1)
        assert called == (callee,)
    found = server.diagnosis(loaded.begun_s, loaded.until_s)
    assert found.category == category, found


@pytest.mark.parametrize(
    ("path", "users", "blocked_s"),
    [
        ("/sleep", 8, 0.04),
        ("/dependency", 8, 0.04),
        ("/middleware", 8, 0.04),
        ("/never-awaits", 32, 0.012),
        ("/short?seconds=0.012", 4, 0.012),
        ("/short?seconds=0.020", 2, 0.020),
    ],
)
def test_most_of_the_blocked_time_is_found(one_worker: Server, path: str, users: int, blocked_s: float) -> None:
    loaded, _ = undisturbed(lambda: timed_load(one_worker, path, users), lambda found: found[1], "test_probe_blame")
    charged = stalled_ms(own_stalls(one_worker, loaded), "line")
    found_s = charged[(blamed_line("patterns.py", path.partition("?")[0]),)] / 1000
    least = MIN_DETECTED - (3 * sampling_error(loaded) if path.startswith("/short") else 0.0)
    assert found_s >= least * loaded.requests * blocked_s, charged


def sampling_error(loaded: LoadedTime) -> float:
    """Relative standard error of a share that is found by sampling: calls shorter than the interval are charged so.

    Of a share p near 0.8 in n samples it is sqrt((1 - p) / (p n)).
    """
    return math.sqrt(0.25 / (loaded.seconds / SAMPLE_INTERVAL_S))


def timed_load(server: Server, path: str, users: int) -> tuple[LoadedTime, list[str]]:
    """The load, and why it does not count if other programs kept the machine busy."""
    psutil.cpu_percent()
    loaded = server.load(path, users, (12 if path.startswith("/short") else 2) * MEASURE_S)
    return loaded, _busy(psutil.cpu_percent(), MAX_BUSY_WHILE_HELD_PERCENT)


def test_c_code_in_a_worker_thread_is_named_by_its_call(server: Server) -> None:
    loaded = server.load("/offloaded", 100, MEASURE_S)
    server.wait_for_rows(loaded.until_s)
    held = [row for row in server.stalls(loaded.begun_s, loaded.until_s) if row["kind"] == "threadpool"]
    ((called, _), *_) = stalled_ms(held, "file", "callee").most_common(1)
    assert called == ("", "time.sleep")


@pytest.mark.parametrize("paths", [("/clean",), ("/clean-def",), ("/clean-fast",), ("/clean", "/clean-def")])
def test_a_clean_app_under_load_is_not_blamed(server: Server, paths: tuple[str, ...]) -> None:
    with ThreadPoolExecutor(len(paths)) as pool:
        loads = list(pool.map(lambda path: server.load(path, CLEAN_USERS // len(paths), MEASURE_S), paths))
    both = LoadedTime(min(each.begun_s for each in loads), max(each.until_s for each in loads), 0)
    rows = [row for row in own_stalls(server, both) if float(row["at_s"]) >= both.begun_s]
    blamed = stalled_ms(rows, "line", "callee")
    assert blamed.total() <= MAX_FALSE_BLAME * both.seconds * 1000, blamed
    found = server.diagnosis(both.begun_s, both.until_s)
    assert found.category in ("waiting on others", "CPU-bound"), found


@pytest.mark.parametrize("truth_s", [0.05, 0.2, 1.0])
def test_lag_agrees_with_a_known_stall(server: Server, truth_s: float) -> None:
    begun_s = time.perf_counter()
    held_s = float(server.get(f"/sleep?seconds={truth_s}"))
    server.wait_for_rows(time.perf_counter() + 0.1)
    seen_s, seen_until_s = largest_lag(server, begun_s)
    assert held_s - LAG_TOLERANCE_S <= seen_s <= max(held_s, seen_until_s - begun_s) + LAG_TOLERANCE_S


def largest_lag(server: Server, begun_s: float) -> tuple[float, float]:
    """Largest lag in seconds in the rows since then, and the time of the last row."""
    rows = [row for rows in server.samples() for row in rows if float(row["at_s"]) >= begun_s]
    return max(float(row["lag_max_ms"]) for row in rows) / 1000, max(float(row["at_s"]) for row in rows)


@pytest.mark.parametrize("path", ["/sleep?seconds=0.3"])
def test_stalls_after_idle_time_are_charged_to_their_line(one_worker: Server, path: str) -> None:
    # An event wakes the loop and the probe. Without a free core the loop may handle it first; the probe then sleeps on,
    # and charges only the rest of the stall.
    line = blamed_line("patterns.py", path.partition("?")[0])
    stalls, _ = undisturbed(
        lambda: stalls_after_idle_time(one_worker, path), lambda found: found[1], "test_probe_blame"
    )
    assert {found for _, charged in stalls for found in charged} == {(line,)}, stalls
    charged_s = sum(charged.total() for _, charged in stalls) / 1000
    assert charged_s >= MIN_SEEN * sum(held_s for held_s, _ in stalls), stalls


def stalls_after_idle_time(server: Server, path: str) -> tuple[list[OneStall], list[str]]:
    """The stalls, and why they do not count if other programs kept the machine busy."""
    psutil.cpu_percent()
    stalls: list[OneStall] = []
    for _ in range(STALLS):
        time.sleep(IDLE_S)
        stalls.append(one_stall(server, path, "line"))
    return stalls, _busy(psutil.cpu_percent(), MAX_BUSY_PERCENT)


HOLDERS = {
    "/held/json": "json.loads",
    "/held/re": "re.Pattern.match",
    "/held/sum": "sum",
    "/held/sorted": "sorted",
}


def test_c_code_that_holds_the_gil_is_found_and_named(server: Server) -> None:
    named: list[bool] = []
    for path, callee in HOLDERS.items():
        line = blamed_line("patterns.py", path)
        stalls, _ = undisturbed(partial(held_stalls, server, path), lambda found: found[1], "test_probe_blame")
        # A busy machine may run the probe a moment after the call has ended: it then sees the line behind the call.
        lines = {line, str(int(line) + 1)}
        assert {number for _, charged in stalls for number, _ in charged} <= lines, path
        found = [charged.total() / 1000 >= 0.5 * held_s for held_s, charged in stalls]
        assert sum(found) >= MIN_SEEN * STALLS, (path, stalls)
        named += [charged.most_common(1)[0][0] == (line, callee) for _, charged in stalls if charged]
    # Whether the probe is the first to run after the call is chance, so that ten stalls say little about its rate.
    assert sum(named) >= MIN_NAMED * STALLS * len(HOLDERS), named


def held_stalls(server: Server, path: str) -> tuple[list[OneStall], list[str]]:
    """The stalls, and why they do not count if other programs kept the machine busy."""
    psutil.cpu_percent()
    stalls = [one_stall(server, path, "line", "callee") for _ in range(STALLS)]
    return stalls, _busy(psutil.cpu_percent(), MAX_BUSY_WHILE_HELD_PERCENT)


def _busy(percent: float, limit: float) -> list[str]:
    return [f"the generator waited for a core: {percent:.0f} % used"] if percent > limit else []


def one_stall(server: Server, path: str, *columns: str) -> OneStall:
    """Block the loop with one request: for how long (as the app measures it), and the charges to its own code in ms."""
    begun_s = time.perf_counter()
    held_s = float(server.get(path))
    until_s = time.perf_counter()
    server.wait_for_rows(until_s + 0.1)
    rows = [row for row in server.stalls(begun_s, until_s) if row["file"] and float(row["at_s"]) >= begun_s - 0.03]
    return held_s, stalled_ms(rows, *columns)


def test_every_worker_has_its_files(server: Server) -> None:
    workers = len(server.samples())
    assert len(list(server.folder.glob("stalls-*.csv"))) == workers
    for rows in server.samples():
        times = [float(row["at_s"]) for row in rows]
        assert times == sorted(times)
        assert all(row["threads"] and row["cpu_s"] and row["rss_mb"] and row["connections"] for row in rows)
    assert "loop_probe: failed" not in server.log
