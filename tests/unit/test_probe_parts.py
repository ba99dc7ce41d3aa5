"""The probe's parts without a server: the ledger, names of calls, diagnosis, telemetry that is missing."""

from __future__ import annotations

import csv
import importlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.analysis import server_state
from bench.analysis.server_state import Sums, diagnose
from bench.report.text import advice_text
from bench.report.text.advice_text import advice
from bench.results import schema
from bench.running import probe_setup


@pytest.fixture(scope="module")
def probe() -> Iterator[dict[str, ModuleType]]:
    """The probe's modules, imported as a server imports them, without anything to serve."""
    sys.path.insert(0, str(probe_setup.ON_PATH))
    names = ("files", "ledger", "settings", "stacks", "watch")
    yield {name: importlib.import_module(f"loop_probe.{name}") for name in names}
    sys.path.remove(str(probe_setup.ON_PATH))


def test_it_writes_the_columns_that_the_store_documents(probe: dict[str, ModuleType]) -> None:
    assert probe["files"].SERVER_COLUMNS == schema.SERVER_COLUMNS
    assert probe["files"].STALLS_COLUMNS == schema.STALLS_COLUMNS
    for column in (*schema.SERVER_COLUMNS, *schema.STALLS_COLUMNS):
        assert column in str(schema.__doc__)


# The ledger


def charges(probe: dict[str, ModuleType], *names: str) -> tuple[Any, ...]:
    return tuple(("loop", probe["stacks"].StallSource(f"{name}.py", 1, name, ""), 1 / len(names)) for name in names)


def test_a_stall_is_charged_in_full_to_who_was_seen(probe: dict[str, ModuleType]) -> None:
    ledger = probe["ledger"].StallAttribution(0.025)
    ledger.overdue(1.000, 1.010, charges(probe, "a"), 0.0)
    ledger.overdue(1.000, 1.030, charges(probe, "b"), 0.0)
    ledger.answered(1.000, 1.050, 0.0)
    rows = {row.function: row for row in ledger.rows()}
    assert {name: round(row.stalled_ms, 6) for name, row in rows.items()} == {"a": 10.0, "b": 40.0}
    assert rows["a"].stall == rows["b"].stall == 1
    assert (rows["a"].at_s, rows["b"].samples) == (1.0, 1)
    assert ledger.rows() == []


def test_what_did_not_last_is_forgotten(probe: dict[str, ModuleType]) -> None:
    ledger = probe["ledger"].StallAttribution(0.025)
    ledger.overdue(1.000, 1.015, charges(probe, "a"), 0.0)
    ledger.answered(1.000, 1.020, 0.0)
    ledger.overdue(2.000, 2.030, charges(probe, "b"), 0.0)
    assert [(row.function, row.stall) for row in ledger.rows()] == [("b", 1)]


def test_beats_that_follow_one_another_are_stalls_of_their_own(probe: dict[str, ModuleType]) -> None:
    ledger = probe["ledger"].StallAttribution(0.025)
    for begun in (1.0, 1.05, 1.10):
        ledger.overdue(begun, begun + 0.03, charges(probe, "a"), 0.0)
        ledger.answered(begun, begun + 0.05, 0.0)
    assert [(row.stall, round(row.stalled_ms, 6), row.samples) for row in ledger.rows()] == [
        (1, 50.0, 1),
        (2, 50.0, 1),
        (3, 50.0, 1),
    ]


def test_a_sample_of_a_short_call_counts_for_its_beat(probe: dict[str, ModuleType]) -> None:
    ledger = probe["ledger"].StallAttribution(0.025)
    ledger.briefly(1.00, 1.02, charges(probe, "a"))
    ledger.in_time()
    ledger.briefly(1.02, 1.04, charges(probe, "a"))
    ledger.overdue(1.04, 1.05, charges(probe, "a"), 0.0)
    ledger.in_time()
    assert [(row.stall, round(row.stalled_ms, 6), row.samples) for row in ledger.rows()] == [(1, 20.0, 1), (2, 30.0, 2)]


def test_a_sample_of_a_call_that_lasts_counts_as_its_stall(probe: dict[str, ModuleType]) -> None:
    ledger = probe["ledger"].StallAttribution(0.025)
    ledger.briefly(1.00, 1.02, charges(probe, "a"))
    ledger.overdue(1.02, 1.05, charges(probe, "a"), 0.0)
    ledger.answered(1.02, 1.07, 0.0)
    assert [(row.at_s, round(row.stalled_ms, 6)) for row in ledger.rows()] == [(1.02, 50.0)]


def test_time_without_a_core_is_nobodys_fault(probe: dict[str, ModuleType]) -> None:
    ledger = probe["ledger"].StallAttribution(0.025)
    ledger.overdue(1.0, 1.1, charges(probe, "a"), 0.09)  # 10 ms of its own
    assert ledger.rows() == []
    ledger.overdue(1.0, 1.2, charges(probe, "a"), 0.1)  # half of it
    assert sum(row.stalled_ms for row in ledger.rows()) == pytest.approx(100)


def test_threads_share_what_they_are_charged(probe: dict[str, ModuleType]) -> None:
    ledger = probe["ledger"].StallAttribution(0.025)
    ledger.exhausted(1.0, 1.1, charges(probe, "a", "b"), 1)
    ledger.exhausted(1.1, 1.2, charges(probe, "a"), 1)
    ledger.has_tokens()
    ledger.exhausted(2.0, 2.1, charges(probe, "a"), 1)
    rows = [(row.stall, row.function, round(row.stalled_ms)) for row in ledger.rows()]
    assert sorted(rows) == [(1, "a", 150), (1, "b", 50), (2, "a", 100)]


@pytest.mark.parametrize(
    ("waits", "loop_used", "others_used", "others_run", "blocked", "kind"),
    [
        (False, 0.0, 0.0, False, True, "loop"),  # time.sleep
        (False, 1.0, 0.0, False, False, "loop"),  # a CPU loop
        (False, 0.0, 0.9, True, True, "loop"),  # time.sleep while another thread computes
        (False, 0.1, 0.9, True, False, "gil"),  # it competes with others
        (True, 0.0, 0.9, True, False, "gil"),  # its select has ended, but it does not get to run
        (True, 0.0, 0.0, False, True, ""),  # the process did not run at all
        (False, None, 0.9, True, False, "loop"),  # CPU time of threads is not to be had
    ],
)
def test_the_kind_of_a_stall(
    probe: dict[str, ModuleType],
    waits: bool,
    loop_used: float | None,
    others_used: float,
    others_run: bool,
    blocked: bool,
    kind: str,
) -> None:
    assert probe["watch"].kind_of(waits, loop_used, others_used, others_run, blocked) == kind


# Names


CALLS = """
import time
from time import sleep
import sqlite3
database = sqlite3.connect(":memory:")
def module_call(): time.sleep(SEE())
def imported_name(): sleep(SEE())
def global_object(): database.execute(SEE())
def local_object():
    cursor = database.cursor()
    cursor.execute(SEE())
def builtin(): sum([SEE()])
def none(): return 1 + 1
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
def test_a_call_of_c_code_is_named(probe: dict[str, ModuleType], tmp_path: Path, function: str, name: str) -> None:
    import dis

    source = tmp_path / f"{function}.py"
    source.write_text(CALLS)
    names: dict[str, Any] = {"__name__": "calls"}
    exec(compile(CALLS, str(source), "exec"), names)
    code = names[function].__code__
    positions = [i.offset for i in dis.get_instructions(code) if i.opname.startswith(("CALL", "BINARY", "RETURN"))]
    calls = [probe["stacks"]._call_at(probe["stacks"].CodeLocation(code, at, names)) for at in positions]
    assert [call for call in calls if call not in ("", "SEE", "sqlite3.Connection.cursor")] == ([name] if name else [])
    names["database"].close()


def test_only_the_apps_own_code_is_charged(probe: dict[str, ModuleType], tmp_path: Path) -> None:
    own = probe["stacks"].OwnCode((str(tmp_path.resolve()),))
    assert own.file(str(tmp_path / "shop" / "views.py")) == "shop/views.py"
    assert own.file(str(tmp_path / ".venv" / "lib" / "site-packages" / "psycopg" / "cursor.py")) == ""
    assert own.file(time.__spec__.origin or "<built-in>") == ""
    assert own.file(csv.__file__) == ""
    assert own.file("<string>") == ""


def test_settings_leave_with_the_probes_folder(probe: dict[str, ModuleType], tmp_path: Path) -> None:
    environ = probe_setup.environment({"PYTHONPATH": "/theirs", "A": "1"}, "shop:app", tmp_path, [tmp_path])
    path = ["", str(probe_setup.ON_PATH), "/theirs"]
    settings = probe["settings"].take(environ, path)
    assert (settings.app, settings.folder, settings.code) == ("shop:app", str(tmp_path), (str(tmp_path),))
    assert environ == {"PYTHONPATH": "/theirs", "A": "1"}
    assert path == ["", "/theirs"]
    assert probe["settings"].take(environ, path) is None


# Diagnosis

FINE = Sums(rows=30, lag_p50_ms=0.3, lag_p99_ms=2.0, lag_max_ms=4.0, cpu_cores=0.3, loop_cpu_cores=0.3, in_flight=20.0)


@pytest.mark.parametrize(
    ("sums", "category", "says"),
    [
        (FINE, "waiting on others", "20.0 requests in flight"),
        (replace(FINE, rows=4), "not enough data", "4 samples"),
        (replace(FINE, loop_stalled=0.97, own=1.0), "loop blocked", "97 % of the time, 100 % of it in the app's own"),
        (replace(FINE, loop_stalled=0.5, own=0.0), "loop blocked", "none of it in the app's own code"),
        (
            replace(FINE, loop_stalled=0.15, own=0.0, cpu_cores=0.7, loop_cpu_cores=0.7),
            "waiting on others",
            "0.70 cores",
        ),
        (replace(FINE, loop_stalled=0.9, own=0.9, cpu_cores=1.0, loop_cpu_cores=1.0), "loop blocked", "1.00 cores"),
        (replace(FINE, loop_stalled=0.5, own=0.05, cpu_cores=1.0, loop_cpu_cores=1.0), "CPU-bound", "1.00 of 1 core"),
        (replace(FINE, gil_stalled=0.6, loop_stalled=0.2, cpu_cores=1.0), "GIL-bound", "60 % of the time"),
        (replace(FINE, cpu_cores=1.0, loop_cpu_cores=0.1), "GIL-bound", "90 % of the CPU time"),
        (replace(FINE, cpu_cores=1.9, loop_cpu_cores=0.1, cores=2), "CPU-bound", "1.90 of 1"),
        (
            replace(FINE, exhausted=0.9, tokens_borrowed=40, tokens_total=40, tokens_waiting=60),
            "threadpool exhausted",
            "40 of 40 borrowed and 60 waiting",
        ),
        (replace(FINE, exhausted=0.9, gil_stalled=0.6), "GIL-bound", "60 %"),
        (replace(FINE, exhausted=0.9, loop_stalled=0.6, own=1.0), "loop blocked", "60 %"),
        (replace(FINE, cpu_cores=0.97, loop_cpu_cores=0.95), "CPU-bound", "0.97 of 1 core"),
        (replace(FINE, cpu_cores=0.9, loop_cpu_cores=0.9, workers=2, cores=2), "waiting on others", "0.90 cores"),
        (replace(FINE, cpu_cores=0.03, loop_cpu_cores=0.03, in_flight=0.1), "idle", "0.03 cores"),
        (replace(FINE, cpu_cores=0.03, loop_cpu_cores=None, in_flight=30.0), "waiting on others", "30.0 requests"),
    ],
)
def test_diagnosis(sums: Sums, category: str, says: str) -> None:
    found = diagnose(sums)
    assert found.category == category
    assert says in found.evidence


def test_the_categories_are_those_of_the_store_and_each_has_its_advice() -> None:
    assert {*(category for category, _ in server_state.FINDINGS), "waiting on others"} == set(schema.CATEGORIES)
    texts = {advice(category) for category in schema.CATEGORIES}
    assert len(texts) == len(schema.CATEGORIES) == len(list(advice_text.ADVICE.glob("*.md")))
    with pytest.raises(KeyError):
        advice("haunted")


# Telemetry

TURNS = [
    {"rotation": 0, "warm_until_s": 0.0, "end_s": 1.0},
    {"rotation": 1, "warm_until_s": 10.0, "end_s": 10.5},
    {"rotation": 2, "warm_until_s": 20.0, "end_s": 20.5},
]


@pytest.mark.parametrize(
    ("files", "workers", "missing"),
    [
        ([[9.9, 10.1, 20.2, 20.4]], 1, ""),
        ([], 1, "the probe wrote no samples"),
        ([[]], 1, "0 of 1 worker(s)"),
        ([[0.5, 1.5]], 1, "0 of 1"),
        ([[9.9, 10.1, 10.2]], 1, "0 of 1"),  # it failed half-way
        ([[9.9, 10.1, 20.4]], 2, "1 of 2"),
        ([[9.9, 10.1, 20.4], [9.8, 10.2, 20.3]], 2, ""),
    ],
)
def test_missing_telemetry(tmp_path: Path, files: list[list[float]], workers: int, missing: str) -> None:
    for pid, times in enumerate(files):
        lines = [",".join(schema.SERVER_COLUMNS), *(f"{at}{',1' * (len(schema.SERVER_COLUMNS) - 1)}" for at in times)]
        (tmp_path / f"server-{pid}.csv").write_text("\n".join([*lines, "20.49,0."]))  # the last one is cut
    reason = probe_setup.missing_telemetry(tmp_path, TURNS, workers)
    assert (reason is None) == (missing == "")
    assert missing in (reason or "")
