"""The parts of the web UI that need no server: where measurements go, the form, and the probe's files as they grow."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import load_world  # noqa: F401  # lets Locust be imported without patching this process
import pytest
from flask import Request
from harness import UGLY
from records import trial_record
from werkzeug.test import EnvironBuilder

from bench.analysis.run_reader import read_run
from bench.model import Load, Status
from bench.planning import catalogue
from bench.results import schema
from bench.results.control_messages import Configure
from bench.results.schema import MachineRecord
from bench.running.run_record import Invocation
from bench.web.in_locust import access, controller
from bench.web.in_locust.form import MAX_DURATION_S, BadForm, MeasurementForm, read
from bench.web.in_locust.live_telemetry import LiveTelemetry, Tail
from bench.web.run_registry import RunRegistry, RunSlot, single_turn_group

SCENARIO = "ugly_run"
LOAD = Load(users=4)
CHOICES = {"blocking/awaited": None, "jobs/celery": 20.0}


@pytest.fixture
def book(tmp_path: Path) -> RunRegistry:
    return RunRegistry(tmp_path / "first", 1, 1.0, Invocation("web", lambda *_: "nox -s web", MachineRecord(), None))


def entered(book: RunRegistry, variant: str, load: Load = LOAD, status: Status = "ok") -> RunSlot:
    place = book.slot(SCENARIO, load, variant)
    scenario = catalogue.load(SCENARIO, UGLY)
    book.add(scenario, trial_record(SCENARIO, variant, place.round, load, status), place)
    return place


def test_variants_under_one_load_stand_in_one_run(book: RunRegistry) -> None:
    places = [entered(book, "fine"), entered(book, "dies")]
    assert [(place.run.name, place.round) for place in places] == [("first", 1), ("first", 1)]
    (declared,) = read_run(places[0].run).scenarios
    assert [variant.name for variant in declared.variants] == ["fine", "dies"]
    assert (declared.load, declared.rounds) == ("users-4", 1)


def test_the_same_again_is_its_next_round(book: RunRegistry) -> None:
    assert [entered(book, "fine").round for _ in range(3)] == [1, 2, 3]
    assert entered(book, "dies").round == 1
    (declared,) = read_run(book.slot(SCENARIO, LOAD, "fine").run).scenarios
    assert declared.rounds == 3


def test_another_load_is_another_run(book: RunRegistry) -> None:
    loads = (LOAD, Load(users=8), Load(rate_rps=5), Load(users=8))
    assert [entered(book, "fine", load).run.name for load in loads] == ["first", "first-2", "first-3", "first-2"]


@pytest.mark.parametrize("status", ["failed", "invalid"])
def test_what_is_no_evidence_is_replaced(book: RunRegistry, status: Status) -> None:
    assert [entered(book, "fine", status=each).round for each in ("ok", status, status, "ok")] == [1, 2, 2, 2]
    assert entered(book, "fine").round == 3


def test_runs_without_a_record_are_removed(book: RunRegistry, tmp_path: Path) -> None:
    (tmp_path / "first" / "logs").mkdir(parents=True)
    kept = entered(book, "fine", Load(users=8)).run
    assert book.close() == (kept,)
    unused = book.slot(SCENARIO, LOAD, "fine").run
    unused.mkdir(exist_ok=True)
    (unused / "run.json").unlink(missing_ok=True)
    assert unused not in book.close()
    assert not unused.exists()


def test_a_group_has_the_one_variant_and_the_round_of_its_place(tmp_path: Path) -> None:
    scenario = catalogue.narrowed(catalogue.load(SCENARIO, UGLY), ("fine",))
    assert scenario is not None
    group = single_turn_group(scenario, LOAD, RunSlot(tmp_path, 3), 1.0, 1)
    assert (group.variants, group.round, len(group.turns)) == (("fine",), 3, 1)
    assert group.turns[0].measure_s == 1.0


def form(**changed: str) -> dict[str, str]:
    return {"variant": "blocking/awaited", "user_count": "32", "spawn_rate": "8", "run_time": "1m30s", **changed}


def test_a_form_is_read() -> None:
    assert read(form(), CHOICES, 1000) == MeasurementForm("blocking/awaited", 32, 8.0, None, 90.0)
    assert read(form(arrival_rate=" 2.5 "), CHOICES, 1000).rate_rps == 2.5
    assert read(form(variant="jobs/celery"), CHOICES, 1000).rate_rps == 20.0
    assert read(form(run_time=""), CHOICES, 1000).duration_s == MAX_DURATION_S


@pytest.mark.parametrize(
    "changed",
    [
        {"variant": "blocking/nothing"},
        {"user_count": "1001"},
        {"user_count": "1.5"},
        {"spawn_rate": "0"},
        {"spawn_rate": "inf"},
        {"arrival_rate": "nan"},
        {"arrival_rate": "many"},
        {"run_time": "0"},
        {"run_time": "a while"},
    ],
)
def test_a_form_that_is_not_allowed_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(BadForm, match=r"not|no variant"):
        read(form(**changed), CHOICES, 1000)


def request(path: str = "/", method: str = "GET", **headers: str) -> Request:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    made = EnvironBuilder(path, "http://127.0.0.1:8089", method=method, headers=list(sent.items()))
    return Request(made.get_environ())


def configuration(login: str = "", host: str = "127.0.0.1") -> Configure:
    return Configure({}, (), 1, "", host, login, login)


FOLLOWED = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request("/swarm", "POST"),
        request("/swarm", "POST", Origin="http://127.0.0.1:8089", Sec_Fetch_Site="same-origin"),
        request("/stop", "POST", Sec_Fetch_Site="none"),
        request("/", **FOLLOWED),
        request("/login", **FOLLOWED),
        request(Host="localhost:8089"),
        request(Host="[::1]:8089"),
    ],
)
def test_this_machine_and_pages_of_this_address_are_let_in(asked: Request) -> None:
    assert access.refusal(asked, configuration()) is None


@pytest.mark.parametrize(
    "asked",
    [
        request("/swarm", "POST", **FOLLOWED),
        request("/stats/requests", **FOLLOWED),
        request("/", **{**FOLLOWED, "Sec_Fetch_Dest": "iframe"}),
        request("/", Origin="http://127.0.0.1:8090"),
        request("/", Origin="http://127.0.0.1:8089.example.org"),
        request("/", Host="127.0.0.1.example.org"),
        request("/", Host=""),
    ],
)
def test_other_sites_are_not(asked: Request) -> None:
    assert access.refusal(asked, configuration()) is not None


def test_behind_a_login_any_name_of_the_machine_will_do() -> None:
    asked = request(Host="bench.internal:8089")
    assert access.refusal(asked, configuration()) is not None
    assert access.refusal(asked, configuration(host="bench.internal")) is None
    assert access.refusal(asked, configuration(login="ada")) is None
    assert access.refusal(request(Host="bench.internal", Origin="http://x"), configuration(login="ada")) is not None


class Silent:
    """A harness that answers nothing, and the parts of Locust that a start needs. This is about order."""

    phase, measured_s = "", 0.0

    def send(self, message: object) -> None: ...

    def stop(self) -> None: ...


def test_a_measurement_that_does_not_end_is_said_and_nothing_new_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "MAX_END_S", 0.01)
    silent: Any = Silent()
    measuring = controller.MeasurementController(None, silent, silent, silent)
    measuring.start(read(form(), CHOICES, 1000))
    for end in (measuring.stop, lambda: measuring.start(read(form(user_count="5"), CHOICES, 1000))):
        with pytest.raises(controller.NotEnded, match="blocking/awaited has not ended within"):
            end()
        assert "has not ended" in measuring.state["problem"]
        assert measuring.state["choice"] == "blocking/awaited"


def test_a_growing_file_gives_each_row_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "stalls-7.csv"
    tail = Tail(path, ("at_s", "kind"))
    assert tail.rows() == []
    for written, seen in (("at_s,kind\n1,loop\n2,l", ["1"]), ("oop\n", ["2"]), ("", []), ("3,gil\n", ["3"])):
        with path.open("a") as file:
            file.write(written)
        assert [row["at_s"] for row in tail.rows()] == seen


def test_telemetry_puts_workers_together_and_names_the_blamed(tmp_path: Path) -> None:
    now_s = time.perf_counter()
    for worker, lag_ms in ((1, 5.0), (2, 80.0)):
        samples: list[dict[str, object]] = [
            dict[str, object](dict.fromkeys(schema.SERVER_COLUMNS, ""))
            | {"at_s": now_s - ago, "lag_ms": lag_ms, "lag_max_ms": lag_ms, "cpu_s": 10 - 0.5 * ago}
            | {"tokens_borrowed": 3, "tokens_waiting": 0, "tokens_total": 40}
            for ago in (4.0, 3.0, 2.0, 1.0, 0.5)
        ]
        write(tmp_path / f"server-{worker}.csv", schema.SERVER_COLUMNS, samples)
        write(tmp_path / f"stalls-{worker}.csv", schema.STALLS_COLUMNS, [])
    blamed = {"at_s": now_s - 2, "stall": 1, "kind": "loop", "stalled_ms": 900, "file": "app.py", "line": 6}
    write(
        tmp_path / "stalls-2.csv",
        schema.STALLS_COLUMNS,
        [{**blamed, "function": "report", "callee": "time.sleep", "samples": 9}],
    )
    seen = LiveTelemetry(tmp_path, cores=1).read()
    series = {name: [value for _, value in points] for name, points in seen["series"].items()}
    assert set(series["lag_ms"]) == {80.0}
    assert set(series["tokens_borrowed"]) == {6.0}
    assert set(series["tokens_total"]) == {80.0}
    assert series["cpu_cores"] == pytest.approx([1.0] * len(series["cpu_cores"]), abs=0.01)
    assert seen["category"] == "CPU-bound"
    assert seen["blamed"] == [{"kind": "loop", "where": "app.py:6 report", "callee": "time.sleep", "stalled_ms": 900}]


def write(path: Path, columns: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
