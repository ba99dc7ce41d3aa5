"""What the tests of the load generator share: the generator's parts in this process, a faulty server in another.

Importing Locust patches the standard library for its whole process unless it is told not to. These tests drive the
generator's parts on an unpatched gevent hub: its sockets are the unpatched ones anyway. What the patching itself could
change, test_load_locust.py sees, where the real Locust runs as a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
import gevent
from gevent import monkey

from bench.load.endpoint_recorder import EndpointRecorder, IntervalStats, RawInterval, fold
from bench.load.request import Request, Target
from bench.load.virtual_users import ClosedModelUser, OpenModelGenerator, UserConfig, VirtualUser

del os.environ["LOCUST_SKIP_MONKEY_PATCH"]  # a Locust that another test starts must not inherit it

HERE = Path(__file__).resolve().parent
PATIENCE_S = 15.0
"""How long a test waits for what must happen, in seconds. Generous: it is no measurement."""


def until(condition: Callable[[], Any], what: str) -> None:
    """Let the hub run until ``condition`` holds; fail when it never does."""
    until_s = perf_counter() + PATIENCE_S
    while not condition():
        if perf_counter() > until_s:
            pytest.fail(f"never happened: {what}")
        gevent.sleep(0.001)


def run_for(seconds: float) -> None:
    """Let the load run: the length of an experiment, not a wait for something to happen."""
    until_s = perf_counter() + seconds
    while (left_s := until_s - perf_counter()) > 0:
        gevent.sleep(left_s)


def folded(taken: RawInterval) -> IntervalStats:
    """A channel's content as a row, all slices at once."""
    *_, row = fold(taken)
    assert row is not None
    return row


class Server:
    """The faulty server's process, spoken to in JSON lines."""

    def __init__(self) -> None:
        command = [sys.executable, str(HERE / "faulty_server.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        reply: dict[str, Any] = json.loads(self._process.stdout.readline())
        return reply

    def open(self, name: str = "") -> Site:
        """A fresh port with fresh books."""
        return Site(self, self.ask(do="open")["port"], name)

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            assert self._process.wait(PATIENCE_S) == 0


class Site:
    """One port of the faulty server."""

    def __init__(self, server: Server, port: int, name: str) -> None:
        self._server = server
        self.port = port
        self.target = Target(name or f"site-{port}", "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}"

    def books(self) -> dict[str, Any]:
        books = self._server.ask(do="books", port=self.port)
        return {**books, **{name: Counter(books[name]) for name in ("received", "answered", "dropped_on_used")}}

    def received(self) -> int:
        return int(self.books()["received"].total())

    def freeze(self, for_s: float) -> tuple[float, float]:
        times = self._server.ask(do="freeze", port=self.port, for_s=for_s)
        return times["start_s"], times["end_s"]

    def refuse(self) -> None:
        self._server.ask(do="deaf", port=self.port)

    def listen(self) -> None:
        self._server.ask(do="listen", port=self.port)


class TrialRecorder:
    """The channels of one turn, and their sums over everything taken so far."""

    def __init__(self) -> None:
        self.channels: dict[str, EndpointRecorder] = {}
        self._rows: dict[str, IntervalStats] = {}
        self.raw: dict[str, dict[str, list[int]]] = {}

    def channel(self, endpoint: str) -> EndpointRecorder:
        if endpoint not in self.channels:
            self.channels[endpoint] = EndpointRecorder(endpoint, 0.0)
        return self.channels[endpoint]

    def rows(self) -> dict[str, IntervalStats]:
        for name, channel in self.channels.items():
            taken = channel.take()
            for kind, values in taken.values.items():
                self.raw.setdefault(name, {}).setdefault(kind, []).extend(values)
            row = folded(taken)
            if name in self._rows:
                self._rows[name].add(row)
            else:
                self._rows[name] = row
        return self._rows

    def row(self, endpoint: str) -> IntervalStats:
        self.channel(endpoint)
        return self.rows()[endpoint]

    def sum(self, what: str) -> int:
        rows = self.rows().values()
        if what == "finished":
            return sum(row.finished for row in rows)
        if what == "failed":
            return sum(sum(row.causes.values()) for row in rows)
        return sum(row.counts.get(what, 0) for row in rows)

    def causes(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for row in self.rows().values():
            total.update(row.causes)
        return dict(total)

    def assert_conserved(self) -> None:
        """After a turn's end every request has met exactly one fate."""
        for name, row in self.rows().items():
            fates = row.finished + sum(row.causes.values()) + row.counts.get("unfinished", 0)
            assert row.counts["started"] == fates, f"{name}: {row}"
            assert self.channels[name].in_flight == 0
            kinds = {kind: sum(buckets.values()) for kind, buckets in row.buckets.items()}
            assert kinds.get("service", 0) + kinds.get("straddling", 0) == row.finished
            assert kinds.get("failed", 0) == sum(row.causes.values())
            assert kinds.get("unfinished", 0) + kinds.get("straddling_unfinished", 0) == row.counts.get("unfinished", 0)


def conduct(
    request: Request | Callable[[], Iterable[Request]] | str,
    timeout_s: float = 30.0,
    think_time_s: float = 0.0,
    max_connections: int = 100,
) -> UserConfig:
    source = Request(request) if isinstance(request, str) else request
    return UserConfig(source, frozenset({200}), timeout_s, think_time_s, max_connections)


def pool(how: UserConfig, due_s: Iterable[float]) -> OpenModelGenerator:
    """An open pool that has the same arrivals for every target."""
    arrivals = list(due_s)
    return OpenModelGenerator(how, lambda begin, part, parts: iter(arrivals))


@contextmanager
def playing(*players: VirtualUser) -> Iterator[None]:
    """Hangs up when the test is over, whatever became of it."""
    try:
        yield
    finally:
        for player in players:
            player.close()


def end(*players: VirtualUser) -> float:
    """The turn is over: let what is unanswered come in late."""
    end_s = perf_counter()
    for player in players:
        player.end(end_s)
    return end_s


def drain(*players: VirtualUser) -> None:
    until(lambda: not any(player.in_flight for player in players), "every request came back")


def loops(count: int, how: UserConfig, site: Site, book: TrialRecorder) -> list[VirtualUser]:
    """``count`` users who have begun to ask."""
    players: list[VirtualUser] = [ClosedModelUser(how) for _ in range(count)]
    for player in players:
        player.begin(site.target, book.channel)
    return players


# Test modules import these by their function's names; so no argument shadows an import.


@pytest.fixture(name="server", scope="module")
def server_fixture() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(name="site")
def site_fixture(server: Server) -> Site:
    return server.open()


@pytest.fixture(autouse=True)
def nothing_falls_into_the_hub() -> Iterator[None]:
    """An exception that escapes a hub callback would only be printed: make it fail the test."""
    assert not monkey.is_module_patched("socket"), "the test process must stay unpatched"
    hub = gevent.get_hub()
    escaped: list[str] = []

    def note(context: Any, kind: Any, value: Any, trace: Any) -> None:
        escaped.append("".join(traceback.format_exception(kind, value, trace)))

    hub.handle_error = note
    yield
    del hub.handle_error
    assert not escaped, "\n".join(escaped)
