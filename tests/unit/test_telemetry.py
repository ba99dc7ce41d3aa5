"""The probe's files: read, cut, merged over workers, charged and diagnosed. Every figure can be worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from synthetic import ENDPOINT, beats
from watched_runs import NAME, PLACE, Rows, one_trial, piece, tables_of

from bench.analysis import telemetry
from bench.analysis.diagnosis import diagnosis, sums_of
from bench.analysis.summary import cpu_per_request_ms, summarise
from bench.analysis.tables import ScenarioTables
from bench.analysis.telemetry import Blame, blame, merged, read_telemetry, used_cores
from bench.report.pages.server_section import where
from bench.report.text import sentences
from bench.results import files, layout, schema


def figures(tables: ScenarioTables) -> dict[str, float]:
    return {figure.metric: figure.value for figure in summarise(tables).figures if not figure.endpoint}


def test_all_samples_are_kept_and_the_measured_ones_told(tmp_path: Path) -> None:
    """Samples from 99.5 to 103.5, of which those from 101 to 103 count; times start at the first measured moment."""
    tables = one_trial(tmp_path, {7: beats(99.5, 103.5)})
    assert tables.server["at_s"].min() == pytest.approx(-1.5)
    assert tables.server["at_s"].max() == pytest.approx(2.5)
    measured = tables.server.loc[tables.server["measured"], "at_s"]
    assert (len(measured), measured.min(), measured.max()) == (21, pytest.approx(0), pytest.approx(2))
    assert tables.watched_rounds(NAME) == (1,)


def test_figures_of_the_measured_parts(tmp_path: Path) -> None:
    rows = beats(100, 103.5, cores=0.6, tokens_borrowed=3, tokens_total=40, tokens_waiting=0)
    rows[5] |= {"lag_max_ms": 900, "tokens_borrowed": 39, "rss_mb": 900}
    rows[20] |= {"lag_max_ms": 45, "tokens_borrowed": 12, "rss_mb": 70.5}
    rows[32] |= {"lag_max_ms": 800}
    found = figures(one_trial(tmp_path, {7: rows}))
    assert found["loop_lag_max_ms"] == 45
    assert found["loop_lag_p50_ms"] == 1
    assert found["threads_borrowed_max"] == 12
    assert found["server_rss_max_mb"] == 70.5
    assert found["server_cpu_cores"] == pytest.approx(0.6)
    assert found["server_cpu_per_request_ms"] == pytest.approx(1e3 * 0.6 * 2 / 120)
    assert "loop_lag_p90_ms" not in found, "21 samples, and 100 are needed"


def test_cores_used_include_the_process_pool(tmp_path: Path) -> None:
    """The server uses 0.6 cores itself, and its pool 1.5. Only the former tell whether its interpreter is full."""
    rows = beats(100, 103, cores=0.6)
    for index, row in enumerate(rows):
        row["children_cpu_s"] = f"{0.15 * index:.6f}"
    tables = one_trial(tmp_path, {7: rows})
    assert figures(tables)["server_cpu_cores"] == pytest.approx(2.1)
    assert sums_of(tables, summarise(tables), NAME).cpu_cores == pytest.approx(0.6)


def test_cpu_has_an_interval_over_rounds(tmp_path: Path) -> None:
    """0.2, 0.3 and 0.4 cores: mean 0.3, times or by exp(4.3027·s/√3) of the logs."""
    for number, cores in enumerate((0.2, 0.3, 0.4), start=1):
        one_trial(tmp_path, {7: beats(100, 103, cores=cores)}, number=number)
    figure = summarise(tables_of(tmp_path)).get(NAME, "", "server_cpu_cores")
    assert figure is not None
    assert (figure.value, figure.trials) == (pytest.approx(0.3), 3)
    factor = math.exp(4.302653 * float(np.std(np.log([0.2, 0.3, 0.4]), ddof=1)) / math.sqrt(3))
    assert (figure.ci_low, figure.ci_high) == pytest.approx((0.3 / factor, 0.3 * factor), rel=1e-6)
    assert cpu_per_request_ms(tables_of(tmp_path), NAME) == pytest.approx({1: 10 / 3, 2: 5, 3: 20 / 3})


def samples(worker: int, *rows: tuple[float, float]) -> pd.DataFrame:
    """A worker's rows from (at_s, cpu_s)."""
    return pd.DataFrame([{"worker": worker, "at_s": at, "cpu_s": cpu} for at, cpu in rows])


@pytest.mark.parametrize(
    ("rows", "parts", "expected"),
    [
        ([(0, 0), (1, 0.5), (2, 1.0)], [(0, 2)], 0.5),
        ([(0, 0), (1, 0.9), (2, 0.9), (3, 1.8)], [(0, 1), (2, 3)], 0.9),
        # busy until 1.5 and idle then: only the rows that lie within say how busy it was
        ([(0, 0), (1, 1), (2, 1.5), (3, 1.5)], [(0, 1.5)], 1.0),
        ([(0, 0), (1, 1)], [(0.2, 0.8)], math.nan),
        ([(0, 0), (1, math.nan), (2, 1)], [(0, 2)], 0.5),
        ([(0.5, 3)], [(0, 1)], math.nan),
    ],
)
def test_used_cores(rows: list[tuple[float, float]], parts: list[tuple[float, float]], expected: float) -> None:
    assert used_cores(samples(1, *rows), "cpu_s", parts) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([(0.12, 0.18)], 0.9),  # between the rows at 0.1 and 0.2, in which 0.054 s were used
        ([(0.12, 0.18), (0.32, 0.38)], 0.9),
        ([(0.12, 0.18), (0.185, 0.245)], 0.0765 / 0.12),  # the row between two turns counts once
        ([(0.12, 0.18), (0.95, 1.05)], 0.9),  # nothing after the second: it is left out
        ([(0.95, 1.05)], math.nan),
        ([], math.nan),
    ],
)
def test_turns_too_short_for_two_rows_are_told_by_the_rows_around_them(
    turns: list[tuple[float, float]], expected: float
) -> None:
    used = [0, 0, 0.054, 0.0765, 0.1305, 0.1305, 0.1305, 0.1305, 0.1305, 0.1305, 0.1305]
    rows = [(place / 10, cpu) for place, cpu in enumerate(used)]
    parts = [(begin + 0.02, end) for begin, end in turns]
    assert used_cores(samples(1, *rows), "cpu_s", parts, turns) == pytest.approx(expected, nan_ok=True)


def test_cores_of_workers_are_added() -> None:
    both = pd.concat([samples(1, (0, 0), (1, 0.5)), samples(2, (0.01, 7), (0.99, 7.49))])
    assert used_cores(both, "cpu_s", [(0, 1)]) == pytest.approx(1.0)


def test_workers_are_put_together_on_a_grid(tmp_path: Path) -> None:
    """Two workers that write at different moments: the larger lag, the summed gauges; one joins late."""
    one = beats(100, 103, lag_ms=2, lag_max_ms=5, tokens_borrowed=3, tokens_total=40, rss_mb=50, in_flight=7)
    other = beats(100.53, 103, lag_ms=1, lag_max_ms=9, rss_mb=60, in_flight=4)
    tables = one_trial(tmp_path, {1: one, 2: other})
    rows = tables.server[tables.server["measured"]]
    assert set(rows["lag_max_ms"]) == {9}
    assert set(rows["lag_ms"]) == {2}
    assert set(rows["tokens_borrowed"]) == {3}
    assert set(rows["rss_mb"]) == {110}
    assert set(rows["in_flight"]) == {11}
    early = tables.server[tables.server["at_s"] < -0.6]
    assert set(early["rss_mb"]) == {50}
    assert np.diff(rows["at_s"]) == pytest.approx(0.1)
    assert figures(tables)["server_cpu_cores"] == pytest.approx(0.6)


def test_a_worker_that_could_not_write_is_as_late_as_it_then_says(tmp_path: Path) -> None:
    """A second without a row, then one that says 1,000 ms: that second was late, not empty."""
    quiet = beats(100, 103)
    silent = [row for row in beats(100, 103) if not 101.55 < float(row["at_s"]) < 102.45]
    silent = [row | ({"lag_max_ms": 1000.0} if 102.4 < float(row["at_s"]) < 102.55 else {}) for row in silent]
    tables = one_trial(tmp_path, {1: quiet, 2: silent})
    late = tables.server.loc[tables.server["lag_max_ms"] == 1000, "at_s"]
    assert (late.min(), late.max()) == (pytest.approx(0.6, abs=0.11), pytest.approx(1.5, abs=0.11))


def test_one_worker_is_left_as_it_is() -> None:
    table = pd.DataFrame([{"worker": 1, **dict.fromkeys(schema.SERVER_COLUMNS, 1.0)}])
    assert merged(table)["at_s"].tolist() == [1.0]


def test_an_older_run_has_no_telemetry_and_everything_else(tmp_path: Path) -> None:
    tables = one_trial(tmp_path, {})
    assert tables.excluded == ()
    assert tables.watched_rounds(NAME) == ()
    summary = summarise(tables)
    assert summary.value(NAME, ENDPOINT, "throughput_rps") == 50
    assert {figure.metric for figure in summary.figures if not figure.endpoint} == {"generator_cpu_cores"}
    assert diagnosis(tables, summary, NAME) is None
    assert sentences.server_table(tables, summary) == ()


def test_a_trial_without_telemetry_among_others_has_dashes_with_the_reason(tmp_path: Path) -> None:
    synthetic.turns_run(tmp_path)
    tables = tables_of(tmp_path)
    rows = {row.variant: row for row in sentences.server_table(tables, summarise(tables))}
    assert {cell.note for cell in rows["unwatched"].cells} == {sentences.NO_TELEMETRY}
    assert rows["crowded"].cells[3] == sentences.Cell("40 of 40", "20 waiting")
    assert rows["awaited"].cells[3].note == "no threadpool in use"


def trial_folder(run: Path) -> Path:
    return layout.trial_folder(run, "blocking", NAME, "users-32", 1)


def tampered(run: Path, name: str, old: str, new: str) -> ScenarioTables:
    """The tables after a change in one of the probe's files, with trial.json's sizes made to match."""
    one_trial(run, {7: beats(100, 103)}, {7: [piece(101.5, 50)]})
    folder = trial_folder(run)
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    trial = json.loads((folder / "trial.json").read_text(encoding="utf-8"))
    files.write_json(folder / "trial.json", trial | {"files": files.file_sizes(folder)})
    return tables_of(run)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("server-7.csv", "lag_ms", "lag_us"),
        ("server-7.csv", ",0.5,", ",inf,"),
        ("server-7.csv", ",0.5,", ",nan,"),
        ("server-7.csv", ",0.5,", ",1e300,"),
        ("server-7.csv", ",0.5,", ",<b>,"),
        ("server-7.csv", "100.000000", ""),
        ("server-7.csv", "100.000000", "1e9"),
        ("server-7.csv", ",32\n", ",32,9,9\n"),
        ("stalls-7.csv", "loop", "cosmic rays"),
        ("stalls-7.csv", ",50,", ",-50,"),
        ("stalls-7.csv", ",50,", ",,"),
        ("stalls-7.csv", "stalled_ms", "stalled_s"),
    ],
)
def test_content_that_is_not_the_contracts_refuses_the_trial_by_name(
    tmp_path: Path, name: str, old: str, new: str
) -> None:
    tables = tampered(tmp_path, name, old, new)
    assert [(trouble.variant, trouble.status) for trouble in tables.excluded] == [(NAME, "refused")]
    assert name.partition("7")[0] in tables.excluded[0].reasons[0]
    assert str(tmp_path) not in tables.excluded[0].reasons[0]


@pytest.mark.parametrize("name", ["server-7.csv", "stalls-7.csv"])
def test_a_file_cut_in_half_or_gone_refuses_its_trial(tmp_path: Path, name: str) -> None:
    one_trial(tmp_path, {7: beats(100, 103)}, {7: [piece(101.5, 50)]})
    path = trial_folder(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-20])
    assert name in tables_of(tmp_path).excluded[0].reasons[0]
    path.unlink()
    assert "missing" in tables_of(tmp_path).excluded[0].reasons[0]


def test_half_of_the_telemetry_is_refused(tmp_path: Path) -> None:
    one_trial(tmp_path, {7: beats(100, 103)})
    folder = trial_folder(tmp_path)
    (folder / "stalls-7.csv").unlink()
    trial = json.loads((folder / "trial.json").read_text(encoding="utf-8"))
    files.write_json(folder / "trial.json", trial | {"files": files.file_sizes(folder)})
    assert "stalls-7.csv: not listed" in tables_of(tmp_path).excluded[0].reasons[0]


@pytest.mark.parametrize("end", ["103.1,0.5", "103.100000,0.5,1.0,,,,1,1.93,,60.0,32,3"])
def test_a_last_line_without_its_end_is_dropped(tmp_path: Path, end: str) -> None:
    """What a SIGKILL of the server leaves behind; trial.json knows the size."""
    tables = tampered(tmp_path, "server-7.csv", "at_s,", "at_s,")
    before = len(tables.server)
    path = trial_folder(tmp_path) / "server-7.csv"
    path.write_text(path.read_text(encoding="utf-8") + end, encoding="utf-8")
    trial = json.loads((path.parent / "trial.json").read_text(encoding="utf-8"))
    files.write_json(path.parent / "trial.json", trial | {"files": files.file_sizes(path.parent)})
    tables = tables_of(tmp_path)
    assert tables.excluded == ()
    assert len(tables.server) == before


def test_names_that_are_not_the_probes_are_not_read(tmp_path: Path) -> None:
    assert read_telemetry(tmp_path, ["server-x.csv", "server-../7.csv", "server-7.csv.bak", "requests.hlog"]) is None


def test_blame_by_hand(tmp_path: Path) -> None:
    """1,000 ms of the loop's: 700 at one line in two stalls, 300 with no code of the app's own; 400 of the pool's.

    What lies before 101 is warm-up, and of the piece that begins there half counts.
    """
    stalls = [
        piece(100.2, 500),
        piece(100.9, 200, stall=2),
        piece(101.1, 100, stall=2),
        piece(102.0, 500, stall=3),
        piece(102.5, 300, stall=4, kind="gil", file="", line="", function="", callee="json.loads"),
        piece(101.0, 400, stall=5, kind="threadpool", function="worker"),
    ]
    tables = one_trial(tmp_path, {7: beats(100, 103)}, {7: stalls})
    file, line = str(PLACE["file"]), 10
    found = blame(tables.stalls)
    assert [(b.kind, b.file, b.line, b.function, b.callee) for b in found] == [
        ("loop", file, line, "report", "asyncio.sleep"),
        ("gil", "", None, "", "json.loads"),
        ("threadpool", file, line, "worker", "asyncio.sleep"),
    ]
    figures = [tuple(vars(b).values())[5:] for b in found]
    assert figures == [pytest.approx(row) for row in ((0.7, 700, 2, 500), (0.3, 300, 1, 300), (1.0, 400, 1, 400))]
    assert sentences.stalled_share(tables, NAME) == pytest.approx(0.5)


def test_stalls_of_equal_number_in_other_workers_are_others(tmp_path: Path) -> None:
    tables = one_trial(tmp_path, {1: beats(100, 103), 2: beats(100, 103)}, {1: [piece(101, 100)], 2: [piece(101, 300)]})
    (found,) = blame(tables.stalls)
    assert (found.stalls, found.longest_ms) == (2, pytest.approx(300))


def test_nobody_is_blamed_for_nothing(tmp_path: Path) -> None:
    assert blame(one_trial(tmp_path, {7: beats(100, 103)}, {7: [piece(100.1, 300)]}).stalls) == ()


def diagnosed(tables: ScenarioTables) -> str:
    found = diagnosis(tables, summarise(tables), NAME)
    assert found is not None
    assert found.category in schema.CATEGORIES
    return found.category


@pytest.mark.parametrize(
    ("rows", "stalls", "expected"),
    [
        (beats(100, 103), [piece(101 + i / 10, 95) for i in range(20)], "loop blocked"),
        (beats(100, 103), [piece(101 + i / 10, 95, kind="gil") for i in range(20)], "GIL-bound"),
        (beats(100, 103), [piece(101 + i / 10, 95, kind="threadpool") for i in range(20)], "threadpool exhausted"),
        (beats(100, 103, cores=0.95), [], "CPU-bound"),
        (beats(100, 103), [piece(101, 30)], "waiting on others"),
        (beats(100, 103, cores=0.01, in_flight=0), [], "idle"),
        (beats(100, 101.2), [], "not enough data"),
    ],
)
def test_diagnosis(tmp_path: Path, rows: Rows, stalls: Rows, expected: str) -> None:
    assert diagnosed(one_trial(tmp_path, {7: rows}, {7: stalls})) == expected


def test_sums_are_the_summarys_own(tmp_path: Path) -> None:
    rows = beats(100, 103, loop_cpu_s="", tokens_borrowed=40, tokens_total=40, tokens_waiting=5)
    tables = one_trial(tmp_path, {7: rows}, {7: [piece(101, 500), piece(102, 100, file="", line="")]})
    sums = sums_of(tables, summarise(tables), NAME)
    assert (sums.loop_stalled, sums.own) == (pytest.approx(0.3), pytest.approx(5 / 6))
    assert (sums.tokens_borrowed, sums.tokens_total, sums.tokens_waiting) == (40, 40, 5)
    assert (sums.cpu_cores, sums.loop_cpu_cores) == (pytest.approx(0.3), None)
    assert (sums.workers, sums.cores, sums.rows) == (1, 1, 21)


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("apps/shop.py", 3, "apps/shop.py:3"),
        ("apps/shop.py", None, "apps/shop.py"),
        ("/repository/apps/shop.py", 3, "apps/shop.py:3"),
        ("/home/somebody/secret/apps/shop.py", 3, "…/apps/shop.py:3"),
        ("", 3, "outside of the app's own code"),
    ],
)
def test_places_never_tell_where_on_the_machine_they_are(file: str, line: int | None, said: str) -> None:
    assert where(Blame("loop", file, line, "f", "g", 1, 1, 1, 1), Path("/repository")) == said


def test_a_title_says_who_waits_for_threads_when_no_loop_is_late(tmp_path: Path) -> None:
    tables = one_trial(tmp_path, {7: beats(100, 103, tokens_borrowed=40, tokens_total=40, tokens_waiting=60)})
    assert sentences.loop_title(tables, summarise(tables)) == (
        "With await asyncio.sleep, up to 60 requests wait for a thread; no loop is ever late by more than 1.0 ms"
    )


def test_a_title_tells_a_starved_loop_from_a_held_one(tmp_path: Path) -> None:
    rows = beats(100, 103, lag_max_ms=210)
    tables = one_trial(tmp_path, {7: rows}, {7: [piece(101, 1000, kind="gil")]})
    title = sentences.loop_title(tables, summarise(tables))
    assert title == "await asyncio.sleep keeps the loop waiting for up to 210 ms at a time, 50 % of the time"


def test_columns_are_all_read() -> None:
    assert set(telemetry.LAGS) | set(telemetry.SUMS) | {"at_s", "loop_cpu_s"} == set(schema.SERVER_COLUMNS)
