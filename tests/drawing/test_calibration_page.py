"""Calibration: its parts, page, charts and quotation. Known numbers give known words; broken and hostile files do no harm."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import synthetic
from figures import text_boxes
from harness import bench
from pages import HOSTILE, Tags, assert_harmless, without_charts

from bench.analysis.intervals import spread_about_zero, spread_ratio
from bench.calibrate.calibration_figures import TriedVerdicts, deviations, slowed_by, tried_verdicts
from bench.calibrate.calibration_files import csv_text, read_calibration
from bench.calibrate.calibration_page import draw_calibration, quote
from bench.calibrate.calibration_run import calibrate
from bench.calibrate.measurements import PART_MEASUREMENTS, CalibrationPart
from bench.calibrate.part_charts import PART_CHARTS, draw_part_charts
from bench.calibrate.parts import (
    measure_freeze,
    measure_generators,
    measure_lag,
    measure_memory,
    measure_noise,
    measure_overhead,
    measure_probe_cost,
)
from bench.calibrate.rows import PARTS, ROW_TYPES, CalibrationRow, VerdictRow
from bench.calibrate.setup import CalibrationFailed, CalibrationSetup
from bench.calibrate.targets import targets
from bench.model import ServerGroup, bounds
from bench.report.charts import canvas
from bench.report.draw import draw
from bench.results import files, schema

Rows = list[dict[str, Any]]

MACHINE = {
    "cpu": {"model": "A synthetic processor", "cores_logical": 2},
    "kernel": "Linux 6.1",
    "python": {"version": "3.13.1"},
}

RATES = {"HttpUser": (1000, 550.0), "FastHttpUser": (5000, 180.0), "HubHttpUser": (50_000, 10.4), "wrk": (55_000, 9.0)}


def generators() -> Rows:
    """The machine gets slower from round to round; ratios within a round stay: 10 and 0.91."""
    return [
        {"round": n, "generator": name, "requests_per_s": rate * speed, "cpu_us_per_request": cpu / speed}
        for n, speed in ((1, 1.1), (2, 1.0), (3, 0.7))
        for name, (rate, cpu) in RATES.items()
    ]


def lag() -> Rows:
    return [
        {"round": n, "generator": name, "rate_rps": rate, "p50_us": p50 + n, "p99_us": p99 + n, "sent_share": 1.0}
        for n in (1, 2, 3)
        for rate in (100, 1000, 5000)
        for name, p50, p99 in (("bare loop", 98, 198), ("HubHttpUser", 48, 398))
    ]


def freeze(off_ms: float = 3.0) -> Rows:
    """Exactly what arithmetic says, but for p90 of the second round."""
    settings = {"freeze_s": 1.0, "every_s": 5.0, "offered_rps": 200}
    rows: Rows = []
    for n, percentile in itertools.product((1, 2), (50, 75, 82, 85, 90, 95, 98, 99)):
        value = bounds.frozen_response_ms(percentile, 0.3, 1.0, 5.0) + (off_ms if (n, percentile) == (2, 90) else 0)
        at = {"round": n, "percentile": percentile, **settings}
        rows.append({"model": "open", "kind": "response", "value_ms": value, **at})
        rows.append({"model": "open", "kind": "service", "value_ms": value - 0.1, **at})
        rows.append({"model": "closed", "kind": "service", "value_ms": 0.62 if percentile < 97 else 960, **at})
    return rows


def memory() -> Rows:
    return [{"requests": n, "resident_mb": mb} for n, mb in ((100_000, 60.0), (1_000_000, 61.5), (10_000_000, 63.2))]


def overhead() -> Rows:
    return [
        {"round": n, "servers": servers, "overhead_s": 1.0 + 0.6 * servers + 0.1 * n}
        for n in (1, 2, 3)
        for servers in (1, 2, 3, 5)
    ]


def noise() -> Rows:
    spreads = {"taking turns": 0.02, "one after another": 0.12}
    return [
        {"round": n, "method": method, "log_ratio": s * (-1) ** n, "measured_s": 4.0, "took_s": 13.0}
        for n in range(1, 11)
        for method, s in spreads.items()
    ]


def probe() -> Rows:
    """It costs half a percent, give or take."""
    return [{"round": n, "log_ratio": -0.005 + 0.002 * (-1) ** n, "measured_s": 4.0} for n in range(1, 21)]


def verdicts() -> Rows:
    """24 rounds in which the machine drifts for all alike; the slowed ones are slower by what they should be."""
    slowed = {"same_1": 0, "same_2": 0, "same_3": 0, "slowed_5": 5, "slowed_10": 10}
    return [
        {
            "round": n,
            "pass_number": n_pass,
            "variant": name,
            "slowed_percent": percent,
            "rate_rps": (1 - percent / 100) * math.exp(8 + 0.1 * (n + n_pass) + 0.01 * math.sin(n * (place + 1))),
            "cpu_us_per_request": 300 / (1 - percent / 100),
        }
        for n in range(1, 25)
        for n_pass in (1, 2)
        for place, (name, percent) in enumerate(slowed.items())
    ]


MAKERS: dict[str, Callable[[], Rows]] = {
    "generators": generators,
    "lag": lag,
    "freeze": freeze,
    "memory": memory,
    "overhead": overhead,
    "noise": noise,
    "probe": probe,
    "verdicts": verdicts,
}


def write_part(folder: Path, part: str, rows: Rows) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(folder / f"{part}.csv", text.getvalue())


def calibration(folder: Path, only: tuple[str, ...] = PARTS, **more: Any) -> Path:
    """A calibration's folder; ``more`` overrides what calibration.json says."""
    for part in only:
        write_part(folder, part, MAKERS[part]())
    known = {
        part: {
            "measured_unix_s": 1.7e9,
            "rounds": 3,
            "seed": 1,
            "bytes": (folder / f"{part}.csv").stat().st_size,
        }
        for part in only
    }
    content = {"schema": schema.SCHEMA, "machine": MACHINE, "null_server": "nginx", "parts": known}
    files.write_json(folder / "calibration.json", content | more)
    return folder


def text_of(page: Path) -> str:
    return " ".join(Tags(without_charts(page.read_text(encoding="utf-8"))).text.split())


TITLES = {
    "generators": "HubHttpUser: 50,000 requests/s on one core, 10 × FastHttpUser, 0.91 × wrk; "  # noqa: RUF001
    "10.4 µs of CPU, a seventeenth",
    "lag": "At 1,000 requests/s HubHttpUser's lag is 0.50 × a bare sleep loop's at p50, 2.0 × at p99",  # noqa: RUF001
    "freeze": "Response times at most 3.0 ms (0.60 %) off the computed value; "
    "at p90 a closed loop shows 0.62 ms where users wait 502 ms",
    "memory": "Recording 10 million requests takes 3.2 MB more memory than 100 thousand",
    "overhead": "Starting and stopping a group takes 1.8 s with 1 server, 4.2 s with 5",
    "noise": "Identical variants differ by 2.0 % taking turns, 12 % one after another: 0.17 × the noise",  # noqa: RUF001
}


def test_every_chart_says_what_it_found(tmp_path: Path) -> None:
    drawn = {d.name: d.alt for d in draw_part_charts(read_calibration(calibration(tmp_path)))}
    assert drawn == TITLES


def test_targets_are_judged_by_paired_rounds(tmp_path: Path) -> None:
    judged = [(t.figure, t.verdict) for t in targets(read_calibration(calibration(tmp_path)))]
    assert judged == [
        ("10.00 ×", "met"),  # noqa: RUF001
        ("0.91 ×", "met"),  # noqa: RUF001
        ("0.058 ×", "met"),  # noqa: RUF001
        ("0.50 ×", "met"),  # noqa: RUF001
        ("2.00 ×", "not met"),  # noqa: RUF001
        ("3.0 ms, 0.60 %", "met"),
        ("0.167 ×", "met"),  # noqa: RUF001
        ("+3.2 MB", "met"),
        ("1.80 s", "met"),
        ("0.995 ×", "met"),  # noqa: RUF001
        ("0 of 30", "met"),
        ("30 of 30", "met"),
        ("30 of 30", "met"),
    ]
    page = text_of(draw_calibration(tmp_path))
    assert "Targets: 12 of 13 met" in page
    assert "median of 3 rounds, 10.00 ×" in page  # noqa: RUF001


@pytest.mark.parametrize(("off_ms", "met"), [(9.9, True), (10.1, False), (-9.9, True), (-10.1, False)])
def test_two_per_cent_off_the_computed_value_is_the_limit(tmp_path: Path, off_ms: float, met: bool) -> None:
    write_part(tmp_path, "freeze", freeze(off_ms))
    found = read_calibration(tmp_path)
    assert max(d.off_ms for d in deviations(found.freeze)) == pytest.approx(abs(off_ms))
    assert [t.met for t in targets(found) if "freezes" in t.name] == [met]


@pytest.mark.parametrize(
    ("percentile", "expected"), [(50, 0.3), (80, 0.3), (80.0001, 0.3), (82, 100), (90, 500), (99, 950), (100, 1000)]
)
def test_arithmetic_of_a_freezing_server(percentile: float, expected: float) -> None:
    """Of five arrivals one meets the freeze: half of those wait longer than half of it."""
    assert bounds.frozen_response_ms(percentile, 0.3, 1.0, 5.0) == pytest.approx(expected, abs=1e-3)


def test_spread_is_about_zero_with_its_interval() -> None:
    spread = spread_about_zero([0.03, 0.03, -0.03, 0.03])
    assert spread is not None
    assert spread.value == pytest.approx(0.03)
    # chi-square with 4 degrees of freedom: 11.143 and 0.484
    assert spread.low == pytest.approx(0.03 * (4 / 11.143) ** 0.5, rel=1e-3)
    assert spread.high == pytest.approx(0.03 * (4 / 0.4844) ** 0.5, rel=1e-3)
    assert spread_about_zero([]) is None
    one = spread_about_zero([0.1])
    assert one is not None
    assert (one.low, one.high) == (None, None)
    assert spread_ratio(one, spread) is None
    # F with (4, 4) degrees of freedom: 9.605 at 97.5 %
    assert spread_ratio(spread, spread) == pytest.approx((9.605**-0.5, 9.605**0.5), rel=1e-3)


def test_same_data_same_bytes(tmp_path: Path) -> None:
    draw_calibration(calibration(tmp_path))
    files = [tmp_path / "index.html", *sorted((tmp_path / "charts").iterdir())]
    before = [file.read_bytes() for file in files]
    draw_calibration(tmp_path)
    assert [file.read_bytes() for file in files] == before
    assert len(files) == 13


def test_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    html = draw_calibration(calibration(tmp_path)).read_text(encoding="utf-8")
    assert_harmless(html)
    assert html.count("<svg") == 6
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for text in ("nox -s calibrate", "nginx", "A synthetic processor"):
        assert text in html


def one_round(folder: Path) -> None:
    for part in PARTS:
        rows = MAKERS[part]()
        write_part(folder, part, [row for row in rows if row.get("round", 1) == 1])


def many_generators(folder: Path) -> None:
    rows = generators() + [
        {"round": 1, "generator": f"generator {n} " + "w" * 50, "requests_per_s": 10.0**n, "cpu_us_per_request": n}
        for n in range(1, 12)
    ]
    write_part(folder, "generators", rows)


def a_single_row_each(folder: Path) -> None:
    for part in PARTS:
        write_part(folder, part, MAKERS[part]()[:1])


@pytest.mark.parametrize("change", [lambda _: None, one_round, many_generators, a_single_row_each])
@pytest.mark.parametrize("part", PART_CHARTS)
def test_no_label_is_clipped_and_none_overlaps(tmp_path: Path, change: Callable[[Path], None], part: str) -> None:
    calibration(tmp_path)
    (tmp_path / "calibration.json").unlink()
    change(tmp_path)
    with canvas.chart_style():
        figure = PART_CHARTS[part](read_calibration(tmp_path))
        if figure is None:
            assert change is a_single_row_each
            return
        boxes = text_boxes(figure)
    assert not figure.texts[0].get_text().endswith("…")
    for text, box in boxes:
        assert figure.bbox.x0 - 1 <= box.x0, text
        assert figure.bbox.x1 + 1 >= box.x1, text
        assert figure.bbox.y0 - 1 <= box.y0, text
        assert figure.bbox.y1 + 1 >= box.y1, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 2 or high <= 2, f"{one!r} overlaps {other!r}"


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_not_measured(tmp_path: Path, part: str) -> None:
    draw_calibration(calibration(tmp_path))
    calibration(tmp_path, tuple(other for other in PARTS if other != part))
    (tmp_path / f"{part}.csv").unlink()
    page = draw_calibration(tmp_path)
    assert f"Not measured: {part}." in text_of(page)
    drawn = PART_CHARTS.keys() - {part}
    assert page.read_text(encoding="utf-8").count("<svg") == len(drawn)
    assert not (tmp_path / "charts" / f"{part}.svg").exists()
    assert not (tmp_path / "charts" / f"{part}.png").exists()


def test_nothing_was_measured(tmp_path: Path) -> None:
    page = draw_calibration(tmp_path)
    assert "Nothing to report yet" in text_of(page)
    assert f"Not measured: {', '.join(PARTS)}." in text_of(page)
    assert text_of(page).count("not measured") == 13
    assert quote(tmp_path, MACHINE) == ()
    assert quote(tmp_path / "nowhere", MACHINE) == ()


BREAKS: dict[str, Callable[[str], str | bytes]] = {
    "empty": lambda text: "",
    "header only": lambda text: text.splitlines()[0] + "\n",
    "cut in a row": lambda text: text.rstrip().rsplit(",", 1)[0],
    "cut between rows": lambda text: "\n".join(text.splitlines()[:-1]) + "\n",
    "a column missing": lambda text: "\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()),
    "words for numbers": lambda text: re.sub(r"[\d.]+$", "many", text, flags=re.MULTILINE),
    "nan": lambda text: re.sub(r"[\d.]+$", "nan", text, flags=re.MULTILINE),
    "infinity": lambda text: re.sub(r"[\d.]+$", "1e999", text, flags=re.MULTILINE),
    "not text": lambda text: b"\xff\xfe\x00",
    "an open quote": lambda text: text + '"',
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS.keys())
@pytest.mark.parametrize("sized", [True, False], ids=["size known", "size unknown"])
def test_a_broken_part_is_refused_by_name(
    tmp_path: Path, part: str, broken: Callable[[str], str | bytes], sized: bool
) -> None:
    more: dict[str, Any] = {} if sized else {"parts": {}}
    path = calibration(tmp_path, **more) / f"{part}.csv"
    content = broken(path.read_text(encoding="utf-8"))
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_calibration(tmp_path)
    if not sized and broken is BREAKS["cut between rows"]:
        assert found.problems == ()
        return
    assert len(found.problems) == 1
    assert found.problems[0].startswith(f"{part}.csv: ")
    assert found.rows[part] == ()
    assert any(part in sentence for sentence in quote(tmp_path, MACHINE))


def test_a_broken_part_does_not_take_the_page_down(tmp_path: Path) -> None:
    (calibration(tmp_path) / "noise.csv").write_text("round,method\n1", encoding="utf-8")
    page = draw_calibration(tmp_path)
    assert "Could not be read: noise.csv: " in text_of(page)
    assert "Not measured" not in text_of(page)
    drawn = PART_CHARTS.keys() - {"noise"}
    assert page.read_text(encoding="utf-8").count("<svg") == len(drawn)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"schema": 2, "na', '{"schema": 99}', '{"schema": 2, "parts": 3, "machine": [1]}']
)
def test_a_broken_record_does_not_take_the_page_down(tmp_path: Path, content: str) -> None:
    (calibration(tmp_path) / "calibration.json").write_text(content, encoding="utf-8")
    page = draw_calibration(tmp_path)
    assert page.read_text(encoding="utf-8").count("<svg") == 6
    assert "Could not be read: calibration.json" in text_of(page)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts_come_out_harmless(tmp_path: Path, text: str) -> None:
    calibration(tmp_path, machine={"kernel": text, "packages": {text: text}}, null_server=text, parts={})
    (tmp_path / "overhead.csv").write_text(f"round,servers,overhead_s\n1,{text.replace(',', '')},1\n", encoding="utf-8")
    write_part(tmp_path, "generators", [row | {"generator": text} for row in generators()[:2]] + generators())
    html = draw_calibration(tmp_path).read_text(encoding="utf-8")
    assert_harmless(html)
    assert "x" * 1000 not in html
    assert "49" not in re.findall(r">\s*(\d+)\s*<", html)


@pytest.mark.parametrize("field", ["measured_unix_s", "rounds", "seed", "bytes"])
@pytest.mark.parametrize("value", [*HOSTILE.values(), 1e300, -1, None])
def test_a_hostile_record_comes_out_harmless(tmp_path: Path, field: str, value: object) -> None:
    part = {"measured_unix_s": 1.7e9, "rounds": 1, "seed": 1, "bytes": 1, field: value}
    html = draw_calibration(calibration(tmp_path, parts={"memory": part})).read_text(encoding="utf-8")
    assert_harmless(html)
    assert "x" * 1000 not in html


def test_quotation(tmp_path: Path) -> None:
    assert quote(calibration(tmp_path), MACHINE) == (
        "On this machine the generator reaches 50,000 requests/s on one core (17 times less CPU per request than "
        "FastHttpUser), sends with a median lag of 50\N{NO-BREAK SPACE}µs at 1,000 req/s, and two identical variants "
        "that take turns differ by 2.0 % (standard deviation).",
    )


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (("lag",), "On this machine the generator sends with a median lag of 50\N{NO-BREAK SPACE}µs at 1,000 req/s."),
        (
            ("noise",),
            "On this machine two identical variants that take turns differ by 2.0 % (standard deviation).",
        ),
        (("memory", "overhead"), ""),
    ],
)
def test_quotation_of_some_parts(tmp_path: Path, parts: tuple[str, ...], sentence: str) -> None:
    assert " ".join(quote(calibration(tmp_path, parts), MACHINE)) == sentence


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cpu": {"model": "Another", "cores_logical": 2}}, "CPU model: A synthetic processor there, Another here"),
        ({"cpu": {"model": "A synthetic processor", "cores_logical": 8}}, "cores: 2 there, 8 here"),
        ({"kernel": "Linux 6.2"}, "kernel: Linux 6.1 there, Linux 6.2 here"),
        ({"python": {"version": "3.14.0"}}, "Python: 3.13.1 there, 3.14.0 here"),
        ({"python": None}, "Python: 3.13.1 there, unknown here"),
    ],
)
def test_another_machine_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    sentences = quote(calibration(tmp_path), MACHINE | change)
    assert sentences[0].startswith("On another machine the generator reaches")
    assert named in sentences[1]
    assert len(sentences) == 2
    assert sentences[1].count(" there, ") == 1


def test_packages_do_not_make_another_machine(tmp_path: Path) -> None:
    assert len(quote(calibration(tmp_path), MACHINE | {"packages": {"gevent": "1"}})) == 1


def test_a_run_quotes_the_calibration_beside_it(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "monday", {}, machine=MACHINE)
    assert "calibration" not in text_of(draw(run).page)
    calibration(tmp_path / "calibration")
    assert (
        f"from the calibration: {' '.join(quote(tmp_path / 'calibration', MACHINE)).replace(chr(0xA0), ' ')}"
        in text_of(draw(run).page)
    )


def test_a_run_survives_a_broken_calibration(tmp_path: Path) -> None:
    run = synthetic.write_run(tmp_path / "monday", {}, machine=MACHINE)
    for part in ("calibration.json", "noise.csv"):
        files.write_text(tmp_path / "calibration" / part, "\0<script>")
    html = draw(run).page.read_text(encoding="utf-8")
    assert_harmless(html)
    assert "Part of the calibration could not be read: calibration.json: " in html


def test_report_draws_a_calibration_and_prints_the_page_last(tmp_path: Path) -> None:
    done = bench("report", calibration(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == str(tmp_path / "index.html")


def test_what_the_parts_write_is_what_the_page_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what takes time is replaced."""
    lag_us = (50.0, 100.0, 1.0)
    freeze_ms = {(kind, 90.0): 500.0 for kind in ("service", "response")}
    for module in (measure_generators, measure_lag):
        monkeypatch.setattr(module, "running_null_server", lambda _: nullcontext("http://127.0.0.1:1"))
    monkeypatch.setattr(measure_generators, "measured_rate", lambda *_: (100.0, 10.0))
    monkeypatch.setattr(measure_lag, "hub_lag", lambda *_: lag_us)
    monkeypatch.setattr(measure_lag, "bare_loop_lag", lambda *_: lag_us)
    monkeypatch.setattr(measure_freeze, "percentiles_ms", lambda *_: freeze_ms)
    monkeypatch.setattr(measure_memory, "resident_mb", lambda _: 60.5)
    for module in (measure_overhead, measure_noise, measure_probe_cost):
        monkeypatch.setattr(module, "run_group", measured_group)
    for module in (measure_noise, measure_probe_cost):
        monkeypatch.setattr(module, "turns_log_ratio", lambda *_: 0.0)
    rows = [VerdictRow(**row) for row in verdicts()]
    monkeypatch.setitem(PART_MEASUREMENTS, "verdicts", CalibrationPart(lambda _: iter(rows), 24))
    assert calibrate(tmp_path, PARTS, 2, 1, lambda _: None) == ()
    found = read_calibration(tmp_path)
    assert found.problems == ()
    assert [part for part in PARTS if not found.rows[part]] == []
    assert found.record.parts["lag"].rounds == 2
    assert [row.log_ratio for row in found.noise] == [0.0] * 4
    assert list(found.verdicts) == rows


def measured_group(_scenario: object, group: ServerGroup, _folder: Path) -> list[SimpleNamespace]:
    facts = SimpleNamespace(endpoints={"GET /": SimpleNamespace(throughput_rps=100.0)})
    return [SimpleNamespace(variant=name, status="ok", reasons=(), facts=facts) for name in group.variants]


def test_every_part_has_a_measurement_and_a_row_type() -> None:
    assert tuple(PART_MEASUREMENTS) == tuple(ROW_TYPES) == PARTS


@pytest.mark.parametrize("part", PARTS)
def test_rows_survive_writing_and_reading(tmp_path: Path, part: str) -> None:
    rows = tuple(ROW_TYPES[part](**row) for row in MAKERS[part]())
    files.write_text(tmp_path / f"{part}.csv", csv_text(rows))
    assert read_calibration(tmp_path).rows[part] == rows


@pytest.mark.parametrize("status", ["invalid", "failed"])
def test_a_round_without_evidence_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """The second of three rounds has a trial without evidence, and without facts."""
    groups = 0

    def second_is_bad(scenario: object, group: ServerGroup, folder: Path) -> list[SimpleNamespace]:
        nonlocal groups
        groups += 1
        trials = measured_group(scenario, group, folder)
        if groups == 2:
            trials[0] = SimpleNamespace(variant=group.variants[0], status=status, reasons=("for a test",), facts=None)
        return trials

    monkeypatch.setattr(measure_probe_cost, "run_group", second_is_bad)
    monkeypatch.setattr(measure_probe_cost, "turns_log_ratio", lambda *_: 0.0)
    lines: list[str] = []
    assert calibrate(tmp_path, ("probe",), 3, 1, lines.append) == ()
    assert [row.round for row in read_calibration(tmp_path).probe] == [1, 3]
    (left_out,) = (line for line in lines if "left out" in line)
    assert left_out.startswith("probe: round 2/3 is left out: with")
    assert left_out.endswith(f" was {status}: for a test")


def test_a_part_that_fails_keeps_its_rows_and_says_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_in_round_3(_: CalibrationSetup) -> Iterator[CalibrationRow]:
        yield from (ROW_TYPES["probe"](**row) for row in probe()[:2])
        raise CalibrationFailed("the machine is too busy")

    monkeypatch.setitem(PART_MEASUREMENTS, "probe", CalibrationPart(fails_in_round_3, 20))
    lines: list[str] = []
    assert calibrate(tmp_path, ("probe",), None, 1, lines.append) == ("probe",)
    assert lines == ["probe failed: the machine is too busy"]
    assert [row.round for row in read_calibration(tmp_path).probe] == [1, 2]


def test_verdicts_are_tried_on_runs_put_together_from_the_rounds() -> None:
    """24 rounds are 4 runs of 5 that share none, and 2 of 12; without noise every verdict is right."""
    rows = [VerdictRow(**row) for row in verdicts()]
    same, ten, five = (tried_verdicts(rows, *wanted) for wanted in ((0, 5), (10, 5), (5, 12)))
    assert same == TriedVerdicts(pairs=30, different=0, slower=0, equivalent=30, runs=10, disjoint=4)
    assert ten == TriedVerdicts(pairs=30, different=30, slower=30, equivalent=0, runs=10, disjoint=4)
    assert five is not None
    assert (five.slower, five.runs, five.disjoint) == (30, 10, 2)
    assert tried_verdicts(rows, 5, 25) is None
    by = slowed_by(rows, 10)
    assert by is not None
    assert by[0] == pytest.approx(1 / 9)
    assert by[1] == pytest.approx(0.1, abs=0.01)


def test_slowed_variants_that_are_not_slower_are_not_found() -> None:
    rows = [replace(VerdictRow(**row), rate_rps=3000.0 + row["round"] % 3) for row in verdicts()]
    found = tried_verdicts(rows, 10, 5)
    assert found is not None
    assert (found.slower, found.equivalent) == (0, 30)


def test_a_round_that_lacks_a_variant_or_a_turn_is_in_no_run() -> None:
    rows = [VerdictRow(**row) for row in verdicts()]
    for lacking in (("round", "variant"), ("round", "variant", "pass_number")):
        lost = dict(zip(lacking, (3, "same_1", 2), strict=False))
        found = tried_verdicts([row for row in rows if {name: getattr(row, name) for name in lacking} != lost], 0, 12)
        assert found is not None
        assert found.disjoint == 1


def test_a_part_without_evidence_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_part(tmp_path, "noise", noise())
    monkeypatch.setitem(PART_MEASUREMENTS, "noise", CalibrationPart(lambda _: iter(()), 1))
    lines: list[str] = []
    assert calibrate(tmp_path, ("noise",), None, 1, lines.append) == ()
    assert lines == ["noise: nothing valid was measured; the rows of an earlier calibration are kept"]
    assert len(read_calibration(tmp_path).noise) == len(noise())
