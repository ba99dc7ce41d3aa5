"""The probe's pure parts: decisions, attribution, names of code, settings.

This file also runs under the oldest Python that the probe supports (tests/integration/test_probe_interpreters.py): it
needs pytest and the probe, and nothing else of this project.
"""

from __future__ import annotations

import csv
import dis
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.probe.loop_probe import attribution, decisions, heartbeat, probe_settings, stacks
from bench.probe.loop_probe.attribution import Charge, StallAttribution
from bench.probe.loop_probe.decisions import MonitorState
from bench.probe.loop_probe.meters import ChildrenMeter, CpuShares, CpuUsage
from bench.probe.loop_probe.stacks import CodeLocation, OwnCode, StallSource

# Decisions


@pytest.mark.parametrize(
    ("pending_s", "just_sent", "idle", "state"),
    [
        (None, False, False, decisions.ANSWERED),
        (None, False, True, decisions.IDLE),
        (None, True, False, decisions.SENT),  # and answered at once
        (0.000, True, False, decisions.SENT),
        (0.009, False, False, decisions.WAITING),
        (0.010, False, False, decisions.OVERDUE),
        (0.500, False, True, decisions.OVERDUE),
        (0.015, True, False, decisions.OVERDUE),  # sent late: it counts from when it was due
    ],
)
def test_state_after_a_sample(pending_s: float | None, just_sent: bool, idle: bool, state: MonitorState) -> None:
    assert decisions.state_of(pending_s, just_sent, idle) is state


@pytest.mark.parametrize(
    ("loop_waits", "begun", "in_flight", "process", "pending", "active"),
    [
        (True, 0, 0, 0.0, False, False),
        (True, 0, 0, 0.1, False, False),
        (True, 0, 0, 0.2, False, True),
        (False, 0, 0, 0.0, False, True),
        (True, 1, 0, 0.0, False, True),
        (True, 0, 1, 0.0, False, True),
        (True, 0, 0, 0.0, True, True),
    ],
)
def test_what_counts_as_activity(
    loop_waits: bool, begun: int, in_flight: int, process: float, pending: bool, active: bool
) -> None:
    assert decisions.is_active(loop_waits, begun, in_flight, CpuShares(process, 0.0), pending) is active


@pytest.mark.parametrize(
    ("loop_waits", "begun", "late_s", "used", "needed"),
    [
        (True, 0, 0.0, CpuShares(0.0, 0.0), False),  # it waits for events
        (True, 5, 0.0, CpuShares(0.9, 0.9), False),
        (True, 0, 0.0, CpuShares(0.5, 0.1), True),  # another thread may hold the GIL
        (True, 0, 0.0, CpuShares(0.5, None), True),
        (False, 5, 0.0, CpuShares(1.0, 1.0), False),  # busy, and begins requests
        (False, 5, 0.0, CpuShares(0.5, 0.5), True),  # it may sleep in calls
        (False, 0, 0.0, CpuShares(1.0, 1.0), True),  # busy, in one request
        (False, 5, 0.02, CpuShares(1.0, 1.0), True),  # a late sample
        (False, 5, 0.0, CpuShares(1.0, None), True),
    ],
)
def test_when_a_heartbeat_is_needed(loop_waits: bool, begun: int, late_s: float, used: CpuShares, needed: bool) -> None:
    assert decisions.needs_heartbeat(loop_waits, begun, late_s, used) is needed


def compute(seconds: float) -> float:
    """Use so much CPU time; returns what this process has used by then."""
    begun_s = time.process_time()
    while time.process_time() - begun_s < seconds:
        pass
    return time.process_time()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="another process's clock is read on Linux only")
def test_cpu_time_of_processes_that_multiprocessing_started() -> None:
    """It is what they say themselves, stays when they have ended, and never becomes less."""
    meter, readings = ChildrenMeter(), []
    assert meter.cpu_s() == 0
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answer = pool.apply_async(compute, (0.3,))
        while not answer.ready():
            readings.append(meter.cpu_s() or 0.0)
            answer.wait(0.005)
        own_s = answer.get()
        readings.append(meter.cpu_s() or 0.0)
    readings.append(meter.cpu_s() or 0.0)
    assert readings == sorted(readings)
    assert readings[-1] == pytest.approx(own_s, abs=0.02)
    assert own_s > 0.3


@pytest.mark.parametrize(
    ("process_cpu_s", "loop_cpu_s", "begun", "in_flight", "delay_s", "busy"),
    [
        (0.01, 0.01, 0, 0, 0.0, True),  # the process hardly ran
        (0.10, 0.10, 0, 0, 0.0, False),  # it ran, and the system had a core for this thread
        (0.10, 0.10, 0, 0, 0.06, True),  # it ran, but there was no core for this thread
        (0.10, 0.10, 2, 3, 0.06, False),  # the loop ran and finished no request: it was held
        (0.10, 0.10, 4, 3, 0.06, True),  # it finished one
        (0.10, 0.01, 2, 3, 0.06, True),  # other threads ran
        (0.10, 0.10, 2, None, 0.06, True),
    ],
)
def test_why_a_sample_is_late(
    process_cpu_s: float, loop_cpu_s: float, begun: int, in_flight: int | None, delay_s: float, busy: bool
) -> None:
    assert decisions.machine_was_busy(0.1, process_cpu_s, loop_cpu_s, begun, in_flight, lambda: delay_s) is busy


@pytest.mark.parametrize(
    ("used", "asleep"),
    [
        (CpuShares(0.0, 0.0), True),
        (CpuShares(0.3, 0.05), True),
        (CpuShares(0.2, 0.1), False),  # it ran
        (CpuShares(0.5, 0.0), False),  # another thread may hold the GIL
        (CpuShares(0.0, None), False),
    ],
)
def test_what_counts_as_a_short_call(used: CpuShares, asleep: bool) -> None:
    assert decisions.slept(used) is asleep


@pytest.mark.parametrize(("slices", "never"), [(0, True), (4, True), (5, False), (20, False)])
def test_a_thread_that_competes_for_the_gil_wakes_up_often(slices: int, never: bool) -> None:
    assert decisions.never_competed(slices, elapsed_s=0.1) is never


@pytest.mark.parametrize(
    ("loop_waits", "used", "others_run", "loop_slept", "kind"),
    [
        (False, CpuShares(0.0, 0.0), False, True, "loop"),  # time.sleep
        (False, CpuShares(1.0, 1.0), False, False, "loop"),  # a CPU loop
        (False, CpuShares(0.9, 0.0), True, True, "loop"),  # time.sleep while another thread computes
        (False, CpuShares(1.0, 0.1), True, False, "gil"),  # it competes with others
        (True, CpuShares(0.9, 0.0), True, False, "gil"),  # its select has returned, but it does not get the GIL
        (True, CpuShares(0.0, 0.0), False, True, ""),  # the process did not run at all
        (False, CpuShares(0.9, None), True, False, "loop"),  # CPU time of threads is not available
    ],
)
def test_the_kind_of_a_stall(loop_waits: bool, used: CpuShares, others_run: bool, loop_slept: bool, kind: str) -> None:
    assert decisions.kind_of_stall(loop_waits, used, others_run, loop_slept) == kind


@pytest.mark.parametrize(
    ("before", "after", "shares"),
    [
        (CpuUsage(1.0, 5.0, 2.0), CpuUsage(2.0, 5.8, 2.5), CpuShares(0.8, 0.5)),
        (CpuUsage(1.0, 5.0, None), CpuUsage(2.0, 5.8, None), CpuShares(0.8, None)),
    ],
)
def test_cpu_shares(before: CpuUsage, after: CpuUsage, shares: CpuShares) -> None:
    found = after.since(before)
    assert found.process == pytest.approx(shares.process)
    assert found.loop == (None if shares.loop is None else pytest.approx(shares.loop))
    assert found.others == pytest.approx(shares.process - (shares.loop or 0.0))


# Heartbeat


class FakeLoop:
    """Runs callbacks when the test says so."""

    def __init__(self) -> None:
        self.scheduled: list[Any] = []

    def call_soon(self, callback: Any) -> None:
        self.scheduled.append(callback)

    call_soon_threadsafe = call_soon

    def run(self) -> None:
        scheduled, self.scheduled = self.scheduled, []
        for callback in scheduled:
            callback()


def test_an_answer_in_time_ends_the_heartbeat() -> None:
    loop = FakeLoop()
    beat = heartbeat.Heartbeat(loop, 10.0)  # type: ignore[arg-type]
    beat.send(time.perf_counter())
    loop.run()
    answer = beat.next_answer()
    assert answer is not None
    assert 0 <= answer.lag_s < 10
    assert (beat.sent_s, loop.scheduled, beat.next_answer()) == (None, [], None)


def test_after_a_late_answer_the_next_heartbeat_follows_at_once() -> None:
    loop = FakeLoop()
    beat = heartbeat.Heartbeat(loop, 10.0)  # type: ignore[arg-type]
    beat.send(time.perf_counter() - 11)
    loop.run()
    answer = beat.next_answer()
    assert answer is not None
    assert answer.lag_s >= 11
    assert beat.sent_s == answer.answered_s
    loop.run()
    assert beat.sent_s is None


def test_a_forked_child_ignores_the_heartbeat() -> None:
    loop = FakeLoop()
    beat = heartbeat.Heartbeat(loop, 10.0)  # type: ignore[arg-type]
    beat.send(time.perf_counter())
    beat.switch_off()
    loop.run()
    assert beat.next_answer() is None


# Attribution


def charges(*names: str) -> attribution.Charges:
    return tuple(Charge("loop", StallSource(f"{name}.py", 1, name, ""), 1 / len(names)) for name in names)


def test_a_stall_is_charged_in_full_to_the_code_seen() -> None:
    stalls = StallAttribution(0.025)
    stalls.add_overdue(1.000, 1.010, charges("a"), 0.0)
    stalls.add_overdue(1.000, 1.030, charges("b"), 0.0)
    stalls.answered_late(1.000, 1.050, 0.0)
    rows = {row.function: row for row in stalls.take_rows()}
    assert {name: round(row.stalled_ms, 6) for name, row in rows.items()} == {"a": 10.0, "b": 40.0}
    assert rows["a"].stall == rows["b"].stall == 1
    assert (rows["a"].at_s, rows["b"].samples) == (1.0, 1)
    assert stalls.take_rows() == []


def test_a_delay_below_the_threshold_is_discarded() -> None:
    stalls = StallAttribution(0.025)
    stalls.add_overdue(1.000, 1.015, charges("a"), 0.0)
    stalls.answered_late(1.000, 1.020, 0.0)
    stalls.add_overdue(2.000, 2.030, charges("b"), 0.0)
    assert [(row.function, row.stall) for row in stalls.take_rows()] == [("b", 1)]


def test_late_heartbeats_that_follow_one_another_are_separate_stalls() -> None:
    stalls = StallAttribution(0.025)
    for begun in (1.0, 1.05, 1.10):
        stalls.add_overdue(begun, begun + 0.03, charges("a"), 0.0)
        stalls.answered_late(begun, begun + 0.05, 0.0)
    assert [(row.stall, round(row.stalled_ms, 6), row.samples) for row in stalls.take_rows()] == [
        (1, 50.0, 1),
        (2, 50.0, 1),
        (3, 50.0, 1),
    ]


def test_a_short_call_is_charged_with_its_sample_interval() -> None:
    stalls = StallAttribution(0.025)
    stalls.add_short_call(1.00, 1.02, charges("a"))
    stalls.answered_in_time()
    stalls.add_short_call(1.02, 1.04, charges("a"))
    stalls.add_overdue(1.04, 1.05, charges("a"), 0.0)
    stalls.answered_in_time()
    rows = [(row.stall, round(row.stalled_ms, 6), row.samples) for row in stalls.take_rows()]
    assert rows == [(1, 20.0, 1), (2, 30.0, 2)]


def test_a_short_call_that_lasts_is_charged_as_a_stall() -> None:
    stalls = StallAttribution(0.025)
    stalls.add_short_call(1.00, 1.02, charges("a"))
    stalls.add_overdue(1.02, 1.05, charges("a"), 0.0)
    stalls.answered_late(1.02, 1.07, 0.0)
    assert [(row.at_s, round(row.stalled_ms, 6)) for row in stalls.take_rows()] == [(1.02, 50.0)]


def test_time_without_a_core_is_not_charged() -> None:
    stalls = StallAttribution(0.025)
    stalls.add_overdue(1.0, 1.1, charges("a"), 0.09)  # it ran for 10 ms
    assert stalls.take_rows() == []
    stalls.add_overdue(1.0, 1.2, charges("a"), 0.1)  # half of the time
    assert sum(row.stalled_ms for row in stalls.take_rows()) == pytest.approx(100)


def test_stalls_outside_of_serving_are_discarded() -> None:
    stalls = StallAttribution(0.025)
    stalls.add_overdue(1.00, 1.02, charges("a"), 0.0)
    stalls.discard()
    stalls.answered_late(1.00, 1.10, 0.0)
    assert stalls.take_rows() == []


def test_worker_threads_share_the_charge() -> None:
    stalls = StallAttribution(0.025)
    stalls.add_exhausted(1.0, 1.1, charges("a", "b"))
    stalls.add_exhausted(1.1, 1.2, charges("a"))
    stalls.end_exhausted()
    stalls.add_exhausted(2.0, 2.1, charges("a"))
    rows = [(row.stall, row.function, round(row.stalled_ms)) for row in stalls.take_rows()]
    assert sorted(rows) == [(1, "a", 150), (1, "b", 50), (2, "a", 100)]


# Names of code


CALLS = """
import time
from time import sleep
import sqlite3
database = sqlite3.connect(":memory:")
def module_call():
    time.sleep(SEE())
def imported_name():
    sleep(SEE())
def global_object():
    database.execute(SEE())
def local_object():
    cursor = database.cursor()
    cursor.execute(SEE())
def builtin():
    sum([SEE()])
def none():
    return 1 + 1
"""


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("module_call", "time.sleep"),
        ("imported_name", "time.sleep"),
        ("global_object", "sqlite3.Connection.execute"),
        ("local_object", "cursor.execute"),
        ("builtin", "sum"),
        ("none", ""),
    ],
)
def test_a_call_of_c_code_is_named(tmp_path: Path, function: str, name: str) -> None:
    source = tmp_path / f"{function}.py"
    source.write_text(CALLS)
    names: dict[str, Any] = {"__name__": "calls"}
    exec(compile(CALLS, str(source), "exec"), names)
    code = names[function].__code__
    offsets = [i.offset for i in dis.get_instructions(code) if i.opname.startswith(("CALL", "BINARY", "RETURN"))]
    calls = [stacks.call_at(CodeLocation(code, offset, names)) for offset in offsets]
    named = {call for call in calls if call not in ("", "SEE", "sqlite3.Connection.cursor")}
    names["database"].close()
    assert named == ({name} if name else set())


def test_the_deepest_line_of_the_apps_own_code_is_charged(tmp_path: Path) -> None:
    source = tmp_path / "shop.py"
    source.write_text("def price():\n    return [look(item) for item in range(1)]\n")
    captured: list[stacks.Stack] = []

    def look(_: int) -> None:
        captured.append(stacks.stack_of(sys._getframe()))

    names: dict[str, Any] = {"__name__": "shop", "look": look}
    exec(compile(source.read_text(), str(source), "exec"), names)
    names["price"]()
    found = OwnCode((str(tmp_path.resolve()),)).source_of(captured[0])
    assert (found.file, found.line, found.function) == ("shop.py", 2, "price")
    assert found.callee.endswith("look")


def test_code_made_of_a_template_is_charged_to_the_line_that_renders_it(tmp_path: Path) -> None:
    captured: list[stacks.Stack] = []
    template: dict[str, Any] = {"__name__": "board", "look": lambda: captured.append(stacks.stack_of(sys._getframe()))}
    exec(compile("\n" * 900 + "def root():\n    look()\n", str(tmp_path / "board.html"), "exec"), template)
    caller: dict[str, Any] = {"__name__": "shop", "render": template["root"]}
    exec(compile("def board():\n    render()\n", str(tmp_path / "shop.py"), "exec"), caller)
    caller["board"]()
    found = OwnCode((str(tmp_path.resolve()),)).source_of(captured[0])
    assert (found.file, found.line, found.function, found.callee) == ("shop.py", 2, "board", "board.root")


def test_only_the_apps_own_code_is_charged(tmp_path: Path) -> None:
    own = OwnCode((str(tmp_path.resolve()),))
    assert own.file(str(tmp_path / "shop" / "views.py")) == str(Path("shop", "views.py"))
    assert own.file(str(tmp_path / ".venv" / "lib" / "site-packages" / "psycopg" / "cursor.py")) == ""
    assert own.file(csv.__file__) == ""
    assert own.file("<string>") == ""
    assert own.file(str(tmp_path / "templates" / "board.html")) == ""
    assert own.source_of([]) == StallSource("", 0, "", "")


def test_an_installed_package_can_be_the_app(tmp_path: Path) -> None:
    package = tmp_path.resolve() / "site-packages" / "shop"
    own = OwnCode((str(package),))
    assert own.file(str(package / "views.py")) == str(Path("shop", "views.py"))
    assert own.file(str(package.parent / "psycopg" / "cursor.py")) == ""


# Settings


def test_settings_are_removed_with_the_probes_folder(tmp_path: Path) -> None:
    environ = {
        "PYTHONPATH": os.pathsep.join([probe_settings.PROBE_FOLDER, "/theirs"]),
        "LOOP_PROBE_APP": "shop:app",
        "LOOP_PROBE_FOLDER": str(tmp_path),
        "LOOP_PROBE_CODE": str(tmp_path),
        "LOOP_PROBE_FACTORY": "1",
        "A": "1",
    }
    path = ["", probe_settings.PROBE_FOLDER, "/theirs"]
    settings = probe_settings.take(environ, path)
    resolved = str(tmp_path.resolve())
    assert settings == probe_settings.ProbeSettings("shop:app", True, resolved, (resolved,), 0.025, False, "")
    assert environ == {"PYTHONPATH": "/theirs", "A": "1"}
    assert path == ["", "/theirs"]
    assert probe_settings.take(environ, path) is None
