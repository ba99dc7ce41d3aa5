"""Through the real Locust, by its command line, against servers that count."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from load_world import HERE, Server, Site, nothing_falls_into_the_hub, server_fixture, site_fixture  # noqa: F401
from locust_turns import MAX_LOCUST_S, locust_environment, take_turns

from bench.results.control_messages import PlannedTurn, RunTurns, TargetRecord
from bench.results.schema import TrialFacts

ROOT = HERE.parents[1]
USERS = 9


def locust(*options: str) -> str:
    """Run Locust headless from the project's root, as the harness does; returns what it printed on standard output."""
    command = [sys.executable, "-m", "locust", "--headless", *options]
    ended = subprocess.run(
        command, cwd=ROOT, env=locust_environment(), capture_output=True, text=True, timeout=MAX_LOCUST_S
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.stdout


class TurnsUnderLocust:
    """Turns on several sites, and what Locust left of them."""

    def __init__(self, folder: Path, sites: dict[str, Site], passes: int, warmup_s: float, measure_s: float) -> None:
        self.sites = sites
        self.folders = {name: folder / name for name in sites}
        turns = [
            PlannedTurn(name, number, warmup_s, measure_s, 0.02)
            for number in range(passes)
            for name in (sites if number % 2 == 0 else reversed(sites))
        ]
        turns[0] = replace(turns[0], measure_s=0.0)  # a fresh server's first turn is warm-up only
        targets = tuple(TargetRecord(name, site.url, str(self.folders[name])) for name, site in sites.items())
        self._message = RunTurns(targets, tuple(turns), seed=7)
        self._facts: Mapping[str, TrialFacts] = {}

    def run(self, *options: str) -> None:
        """Have Locust take the turns, as the harness does."""
        self._facts = take_turns(self._message, *options)

    def facts(self, name: str) -> TrialFacts:
        return self._facts[name]

    def counts(self, name: str, measured: bool | None = None) -> dict[str, Counter[str]]:
        """{endpoint: sums of counts.csv}"""
        sums: dict[str, Counter[str]] = {}
        with (self.folders[name] / "counts.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if measured is None or row["measured"] == str(int(measured)):
                    numbers = {k: int(v) for k, v in row.items() if k not in ("start_s", "end_s", "endpoint")}
                    sums.setdefault(row["endpoint"], Counter()).update(numbers)
        return sums

    def recorded(self, name: str) -> dict[str, Counter[str]]:
        """{endpoint: {kind: values in requests.hlog}}"""
        reader = HistogramLogReader(str(self.folders[name] / "requests.hlog"), HdrHistogram(1, 600_000_000, 3))
        kinds: dict[str, Counter[str]] = {}
        while (interval := reader.get_next_interval_histogram()) is not None:
            endpoint, _, kind = interval.get_tag().rpartition(":")
            kinds.setdefault(unquote(endpoint), Counter())[kind] += interval.get_total_count()
        reader.close()
        return kinds


def spans(site: Site) -> list[tuple[float, float]]:
    """When each request was at the server, by its own clock; all of them were answered."""
    return sorted((received_s, answered_s) for _, received_s, answered_s in site.books()["spans"])


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def turns(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> TurnsUnderLocust:
    """Two servers that took turns, under one generator process or two workers and their master."""
    sites = {"first": server.open("first"), "second": server.open("second")}
    taken = TurnsUnderLocust(tmp_path_factory.mktemp("turns"), sites, passes=3, warmup_s=0.1, measure_s=0.25)
    taken.run(
        *("-f", "locustfiles/get_and_health.py", "--users", str(USERS), "--spawn-rate", str(USERS)),
        *("--host", "http://127.0.0.1", "--path", "/late/0.01"),
        *(("--processes", str(request.param)) if request.param > 1 else ()),
    )
    return taken


NAMES = ["first", "second"]
ENDPOINTS = {"GET /late/0.01", "GET /health"}


@pytest.mark.parametrize("name", NAMES)
def test_every_trial_gets_its_files_and_they_agree_with_the_servers_count(turns: TurnsUnderLocust, name: str) -> None:
    counts = turns.counts(name)
    assert counts.keys() == ENDPOINTS
    assert {endpoint: row["started"] for endpoint, row in counts.items()} == turns.sites[name].books()["received"]
    for row in counts.values():
        assert row["started"] == row["finished"] + row["failed"] + row["unfinished"]
        assert row["unfinished"] == row["completed_late"], "all came back before the next turn"
        assert row["failed"] == row["dropped"] == 0
    assert counts["GET /late/0.01"]["started"] > 100


@pytest.mark.parametrize("name", NAMES)
def test_the_log_holds_every_counted_request(turns: TurnsUnderLocust, name: str) -> None:
    for endpoint, row in turns.counts(name).items():
        kinds = turns.recorded(name)[endpoint]
        assert kinds["service"] + kinds["straddling"] == row["finished"]
        assert kinds["unfinished"] + kinds["straddling_unfinished"] == row["unfinished"]
    visitors = turns.recorded(name)["GET /late/0.01"]
    assert visitors["straddling"] >= USERS - 1, "in flight when the measured part began"
    timetabled = turns.recorded(name)["GET /health"]
    assert timetabled["response"] == timetabled["lag"] == timetabled["service"] > 0
    assert turns.recorded(name)["GET /late/0.01"]["response"] == 0, "no timetable drives the visitors"


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_are_those_of_the_measured_parts(turns: TurnsUnderLocust, name: str) -> None:
    facts = turns.facts(name)
    measured_s = sum(turn.end_s - turn.warm_until_s for turn in facts.turns)
    assert len(facts.turns) == 3
    assert [turn.drained for turn in facts.turns][:-1].count(False) == 0
    for endpoint, row in turns.counts(name, measured=True).items():
        stated = facts.endpoints[endpoint]
        for what in ("started", "finished", "failed", "unfinished", "completed_late", "dropped"):
            assert getattr(stated, what) == row[what], (endpoint, what)
        assert stated.throughput_rps == pytest.approx(row["finished"] / measured_s)
    visitors = facts.endpoints["GET /late/0.01"]
    assert visitors.in_flight_mean == pytest.approx(USERS - 1, rel=0.1), "Little's law"


def test_no_request_is_at_one_server_while_the_other_has_its_turn(turns: TurnsUnderLocust) -> None:
    """By the servers' own clocks: in the order of their times, no span reaches into one of the other server."""
    marked = sorted((*span, name) for name in NAMES for span in spans(turns.sites[name]))
    changes = 0
    busy_until_s = 0.0
    for (_, answered_s, name), (next_s, _, next_name) in pairwise(marked):
        busy_until_s = max(busy_until_s, answered_s)
        if name != next_name:
            changes += 1
            assert next_s > busy_until_s
    # The passes were first second, second first, first second: two pairs of turns meet on the same server.
    assert changes == 3


def test_turns_do_not_overlap_and_hold_all_requests(turns: TurnsUnderLocust) -> None:
    windows = sorted(
        (turn.start_s, turn.warm_until_s, turn.end_s, turn.end_s + turn.drain_s, name)
        for name in NAMES
        for turn in turns.facts(name).turns
    )
    for (start_s, warm_s, end_s, late_s, _), (next_s, *_) in pairwise(windows):
        assert start_s <= warm_s <= end_s <= late_s <= next_s
    for name in NAMES:
        own = [(start_s, late_s) for start_s, _, _, late_s, whose in windows if whose == name]
        for received_s, answered_s in spans(turns.sites[name]):
            assert any(start_s <= received_s and answered_s <= late_s for start_s, late_s in own)


def test_failures_are_facts_of_the_trial_and_no_error_of_the_generator(site: Site, tmp_path: Path) -> None:
    taken = TurnsUnderLocust(tmp_path, {"only": site}, passes=2, warmup_s=0.1, measure_s=0.4)
    taken.run(
        *("-f", "locustfiles/get_and_health.py", "--users", "5", "--spawn-rate", "5"),
        *("--host", "http://127.0.0.1", "--path", "/status/500"),
    )
    row = taken.counts("only")["GET /status/500"]
    assert row["failed"] == row["failed_status"] > 0
    assert row["started"] == row["failed"] + row["unfinished"] == site.books()["received"]["GET /status/500"]
    assert taken.facts("only").endpoints["GET /status/500"].statuses.keys() == {"500"}


def _shown(printed: str) -> dict[str, dict[str, Any]]:
    """Locust's own table, as ``--json`` prints it."""
    return {f"{entry['method']} {entry['name']}": entry for entry in json.loads(printed)}


def test_by_hand_locusts_own_table_shows_the_requests(site: Site) -> None:
    printed = locust(
        *("-f", "locustfiles/get_and_health.py", "--users", str(USERS), "--spawn-rate", str(USERS)),
        *("--host", site.url, "--path", "/late/0.02", "-t", "2s", "--json"),
    )
    shown, received = _shown(printed), site.books()["received"]
    assert shown.keys() == received.keys() == {"GET /late/0.02", "GET /health"}
    for endpoint, entry in shown.items():
        # Those in flight when Locust stops are nobody's answers.
        assert received[endpoint] - USERS <= entry["num_requests"] <= received[endpoint], endpoint
        assert entry["num_failures"] == 0
    assert shown["GET /late/0.02"]["min_response_time"] >= 20


ORDINARY = """
from locust import FastHttpUser, HttpUser, constant, task

class Classic(HttpUser):
    fixed_count = 2
    wait_time = constant(0)
    @task
    def ask(self):
        self.client.get("/late/0.02", name="classic")

class Fast(FastHttpUser):
    fixed_count = 2
    wait_time = constant(0)
    @task
    def ask(self):
        self.client.get("/ok", name="fast")

class Failing(FastHttpUser):
    fixed_count = 1
    wait_time = constant(0.05)
    @task
    def ask(self):
        self.client.get("/status/503", name="failing")

class Waiting(HttpUser):
    fixed_count = 1
    wait_time = constant(0)
    @task
    def ask(self):
        self.client.get("/late/60", name="waiting")

class FastWaiting(FastHttpUser):
    fixed_count = 1
    wait_time = constant(0)
    @task
    def ask(self):
        with self.client.get("/late/60", catch_response=True) as response:
            response.success()
"""


@pytest.fixture(scope="module")
def ordinary(server: Server, tmp_path_factory: pytest.TempPathFactory) -> TurnsUnderLocust:
    """Somebody's own locustfile, measured with the plugin beside it."""
    folder = tmp_path_factory.mktemp("ordinary")
    (folder / "their_file.py").write_text(ORDINARY)
    site = server.open("theirs")
    taken = TurnsUnderLocust(folder, {"theirs": site}, passes=2, warmup_s=0.2, measure_s=0.6)
    taken.run(
        *("-f", f"locustfiles/recorder.py,{folder / 'their_file.py'}", "--users", "7", "--spawn-rate", "7"),
        *("--host", site.url),
    )
    return taken


def test_an_ordinary_locustfile_is_recorded_in_the_same_files(ordinary: TurnsUnderLocust) -> None:
    counts, recorded = ordinary.counts("theirs"), ordinary.recorded("theirs")
    waiting = {"GET waiting", "GET /late/60"}
    assert counts.keys() == recorded.keys() == {"GET classic", "GET fast", "GET failing", *waiting}
    for endpoint, row in counts.items():
        assert row["started"] == row["finished"] + row["failed"] + row["unfinished"]
        assert recorded[endpoint]["service"] + recorded[endpoint]["straddling"] == row["finished"]
        assert recorded[endpoint]["unfinished"] + recorded[endpoint]["straddling_unfinished"] == row["unfinished"]
        assert recorded[endpoint]["failed"] == row["failed"]
    assert counts["GET classic"]["failed"] == counts["GET fast"]["failed"] == 0
    assert counts["GET failing"]["failed"] == counts["GET failing"]["failed_status"] > 0
    assert ordinary.facts("theirs").endpoints["GET failing"].statuses.keys() == {"503"}


@pytest.mark.parametrize("endpoint", ["GET waiting", "GET /late/60"])
def test_an_ordinary_request_without_an_answer_is_unfinished(ordinary: TurnsUnderLocust, endpoint: str) -> None:
    """It began in the first turn, which is warm-up only, and waits in the second as well."""
    assert ordinary.counts("theirs", measured=False)[endpoint]["unfinished"] == 1
    measured, recorded = ordinary.counts("theirs", measured=True)[endpoint], ordinary.recorded("theirs")[endpoint]
    assert (measured["unfinished"], measured["completed_late"], measured["finished"]) == (1, 0, 0)
    assert recorded["straddling_unfinished"] == 1


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [("GET classic", "GET /late/0.02"), ("GET fast", "GET /ok"), ("GET failing", "GET /status/503")],
)
def test_an_ordinary_request_is_recorded_where_it_ended(ordinary: TurnsUnderLocust, endpoint: str, path: str) -> None:
    """As many as the server answered in the turns; at each edge, those just on their way may fall to either side."""
    windows = [(turn.start_s, turn.end_s) for turn in ordinary.facts("theirs").turns]
    answered = [answered_s for name, _, answered_s in ordinary.sites["theirs"].books()["spans"] if name == path]
    inside = sum(any(start_s <= moment <= end_s for start_s, end_s in windows) for moment in answered)
    users = 2
    assert ordinary.counts("theirs")[endpoint]["started"] == pytest.approx(inside, abs=2 * users * len(windows))
    assert inside > 5


@pytest.mark.parametrize("late_s", [0.02, 0.6])
def test_what_was_in_flight_when_the_load_stopped_is_answered_late(
    server: Server, tmp_path: Path, late_s: float
) -> None:
    """The last turn waits for two typical latencies, as long as those are."""
    site = server.open("slow")
    taken = TurnsUnderLocust(tmp_path, {"slow": site}, passes=2, warmup_s=0.1, measure_s=2.0)
    taken.run(
        *("-f", "locustfiles/get_and_health.py", "--users", str(USERS), "--spawn-rate", str(USERS)),
        *("--host", "http://127.0.0.1", "--path", f"/late/{late_s}"),
    )
    facts = taken.facts("slow").endpoints[f"GET /late/{late_s}"]
    assert facts.unfinished == USERS - 1
    assert facts.completed_late == facts.unfinished


RATE_RPS = 200


def test_two_processes_share_a_timetable_and_lose_no_request(server: Server, tmp_path: Path) -> None:
    site = server.open("open")
    taken = TurnsUnderLocust(tmp_path, {"open": site}, passes=2, warmup_s=0.3, measure_s=1.5)
    taken.run(
        *("-f", "locustfiles/get_and_health.py", "--users", "5", "--spawn-rate", "5", "--processes", "2"),
        *("--host", "http://127.0.0.1", "--path", "/late/0.01", "--rate", str(RATE_RPS)),
    )
    counts = taken.counts("open")
    assert {endpoint: row["started"] for endpoint, row in counts.items()} == site.books()["received"]
    for endpoint, row in counts.items():
        kinds = taken.recorded("open")[endpoint]
        assert row["started"] == row["finished"] + row["unfinished"]
        assert kinds["service"] + kinds["straddling"] == row["finished"]
    measured = taken.facts("open").endpoints["GET /late/0.01"]
    assert measured.started == pytest.approx(RATE_RPS * measured.measured_s, abs=4), "one rate, not one each"
