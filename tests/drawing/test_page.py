"""The page: by golden file, and against runs and texts that are out to break it.

UPDATE_GOLDEN=1 in the environment writes the golden file anew; look at the difference before you keep it.
"""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

import pytest
import synthetic
from pages import HOSTILE, Tags, assert_harmless, html_of, without_charts
from rich.console import Console

from bench.report.draw import draw
from bench.report.pages.scenario_report import read_cache
from bench.report.text import formatting
from bench.report.text.terminal import NARROW, ScenarioTable
from bench.results import files, layout

GOLDEN = Path(__file__).parents[1] / "support" / "golden" / "index.html"


def test_page_by_golden_file(tmp_path: Path) -> None:
    found = without_charts(html_of(synthetic.troubled_run(tmp_path / "golden-run")))
    if os.environ.get("UPDATE_GOLDEN"):
        files.write_text(GOLDEN, found)
    assert found == GOLDEN.read_text(encoding="utf-8")


def test_headline_and_table_have_the_numbers(tmp_path: Path) -> None:
    text = " ".join(Tags(html_of(synthetic.blocking_run(tmp_path))).text.split())
    assert re.search(
        r"One time\.sleep in async def: [\d.]+ requests/s instead of 5\d\d, and \d+ % of the health checks take longer than 1 s",
        text,
    )
    assert "needs 900 requests, has" in text
    assert "> 6." in text


def test_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    assert_harmless(html_of(synthetic.blocking_run(tmp_path)))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_reasons_and_logs_come_out_harmless(tmp_path: Path, text: str) -> None:
    synthetic.troubled_run(tmp_path, reason=text, log_tail=f"first line\n{text}\n{text}")
    html = html_of(tmp_path)
    assert_harmless(html)
    assert "first line" in html
    assert "x" * 1000 not in html
    assert "49" not in re.findall(r"<p>(.*?)</p>", html)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_declarations_come_out_harmless(tmp_path: Path, text: str) -> None:
    """Question, summary, source, machine and command of a run may come from anyone."""
    way = synthetic.Way("way", "trap", text, None, source=f"def f():\n    return {text!r}  # {text}\n")
    synthetic.blocking_run(tmp_path, rounds=1, ways=[way])
    declared = synthetic.scenario([way], question=text, profile=text)
    synthetic.write_run(
        tmp_path,
        {"blocking": declared},
        machine={"kernel": text, "packages": {text: text}},
        command=text,
        name=text,
        git={"revision": text, "dirty": True},
    )
    html = html_of(tmp_path)
    assert_harmless(html)
    assert "x" * 1000 not in without_charts(html).replace("x" * 1999, "")


@pytest.mark.parametrize("name", ["<script>alert(1)", "a$b$", "[red]x", "semi;colon", "sp ace", "ü\u202e"])
def test_hostile_names_come_out_harmless(tmp_path: Path, name: str) -> None:
    way = synthetic.Way(name, "trap", "odd name", None)
    synthetic.blocking_run(tmp_path, rounds=1, ways=[way], name=name)
    drawn = draw(tmp_path, root=tmp_path)
    assert_harmless(drawn.page.read_text(encoding="utf-8"))
    assert drawn.not_valid == ()


def test_no_complete_round(tmp_path: Path) -> None:
    synthetic.blocking_run(tmp_path, rounds=1)
    (layout.trial_folder(tmp_path, "blocking", "awaited", "users-32", 1) / "trial.json").unlink()
    drawn = draw(tmp_path)
    html = drawn.page.read_text(encoding="utf-8")
    assert "Nothing to report yet" in html
    assert "blocking, round 1: awaited not measured" in html
    assert "no complete round" in html
    assert drawn.not_valid == ()


def test_no_scenario_at_all(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, {})
    assert "Nothing to report yet" in html_of(tmp_path)


def test_all_trials_failed(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, {"blocking": synthetic.scenario(synthetic.WAYS[:2], rounds=1)})
    for way in synthetic.WAYS[:2]:
        synthetic.write_trial(tmp_path, "blocking", way.name, 1, status="failed", reasons=["never ready"])
    drawn = draw(tmp_path)
    assert len(drawn.not_valid) == 2
    assert "blocking/blocking_call/users-32/1: failed: never ready" in drawn.not_valid
    html = drawn.page.read_text(encoding="utf-8")
    assert "every trial failed" in html
    assert "No trial gave evidence" in html
    assert len((tmp_path / "summary.csv").read_text(encoding="utf-8").splitlines()) == 1


def test_one_variant_without_a_law_and_one_round(tmp_path: Path) -> None:
    synthetic.blocking_run(tmp_path, rounds=1, ways=[synthetic.Way("mine", "baseline", "my app", None)])
    text = " ".join(Tags(html_of(tmp_path)).text.split())
    assert "one round, no interval" in text
    assert "no law for this pattern" in text
    assert re.search(r"my app: \d+ requests/s", text)
    assert "±" not in text.split("How it was measured")[0]


def test_nothing_answered_is_said_in_those_words(tmp_path: Path) -> None:
    way = synthetic.Way("trap", "trap", "time.sleep in async def", synthetic.WAYS[0].bound, 0.0003, (60.0, 70.0))
    synthetic.blocking_run(tmp_path, rounds=1, ways=[way, synthetic.WAYS[1]])
    text = " ".join(Tags(html_of(tmp_path)).text.split())
    assert "0 of 64 answered in 6.4 s" in text
    assert "is never answered (0 of 64" in text


@pytest.mark.parametrize("name", ["trial.json", "counts.csv", "requests.hlog"])
def test_a_file_cut_in_half_is_named_on_the_page(tmp_path: Path, name: str) -> None:
    synthetic.blocking_run(tmp_path, rounds=2)
    path = layout.trial_folder(tmp_path, "blocking", "awaited", "users-32", 2) / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    drawn = draw(tmp_path)
    assert len(drawn.not_valid) == 1
    assert f"blocking/awaited/users-32/2/{name}" in drawn.not_valid[0]
    html = drawn.page.read_text(encoding="utf-8")
    assert "refused" in html
    assert f"blocking/awaited/users-32/2/{name}" in html


def test_code_is_read_from_the_repository_and_from_nowhere_else(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    files.write_text(root / "apps" / "blocking" / "inside.py", "INSIDE = 1\n")
    files.write_text(tmp_path / "secret.py", "SECRET = 1\n")
    ways = [synthetic.Way("inside", "fix", "inside", None), synthetic.Way("../../../secret", "fix", "outside", None)]
    declared = synthetic.scenario(ways)
    declared["variants"][1]["name"] = "outside"
    run = synthetic.write_run(tmp_path / "run", {"blocking": declared})
    text = Tags(draw(run, root=root).page.read_text(encoding="utf-8")).text
    assert "INSIDE" in text
    assert "SECRET" not in text


def test_charts_are_drawn_again_only_when_something_changed(tmp_path: Path) -> None:
    """Marked charts survive as long as nothing changed; a new round or force draws them again."""
    ways = synthetic.WAYS[:2]
    synthetic.blocking_run(tmp_path, rounds=1, ways=ways)
    draw(tmp_path)
    chart = tmp_path / "charts" / "blocking-throughput.svg"
    original = chart.read_text(encoding="utf-8")
    marked = original.replace("</svg>", "<!-- kept --></svg>")

    chart.write_text(marked, encoding="utf-8")
    draw(tmp_path)
    assert chart.read_text(encoding="utf-8") == marked
    assert "<!-- kept -->" in (tmp_path / "index.html").read_text(encoding="utf-8")

    draw(tmp_path, force=True)
    assert chart.read_text(encoding="utf-8") == original

    chart.unlink()
    draw(tmp_path)
    assert chart.read_text(encoding="utf-8") == original

    synthetic.blocking_trials(tmp_path, rounds=2, ways=ways)
    draw(tmp_path)
    assert chart.read_text(encoding="utf-8") != original


def test_a_second_scenario_joins_the_page(tmp_path: Path) -> None:
    ways = synthetic.WAYS[:2]
    synthetic.blocking_run(tmp_path, rounds=1, ways=ways)
    html_of(tmp_path)
    first = (tmp_path / "charts" / "blocking-health.png").stat().st_mtime_ns
    synthetic.write_run(tmp_path, {name: synthetic.scenario(ways, rounds=1) for name in ("blocking", "other")})
    synthetic.blocking_trials(tmp_path, rounds=1, ways=ways, name="other")
    html = html_of(tmp_path)
    charts = len(list((tmp_path / "charts").glob("*.svg")))
    assert charts > 10
    assert html.count("<svg") == charts
    assert 'aria-label="time.sleep in async def serves 1/' in html
    assert 'href="#scenario-other"' in html
    assert (tmp_path / "charts" / "blocking-health.png").stat().st_mtime_ns == first
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_charts_without_data_any_more_are_removed(tmp_path: Path) -> None:
    ways = synthetic.WAYS[:2]
    synthetic.blocking_run(tmp_path, rounds=1, ways=ways)
    draw(tmp_path)
    (layout.trial_folder(tmp_path, "blocking", "awaited", "users-32", 1) / "trial.json").unlink()
    draw(tmp_path)
    assert sorted(path.name for path in (tmp_path / "charts").iterdir()) == ["drawn.json"]


def test_a_broken_fingerprint_file_means_drawing_again(tmp_path: Path) -> None:
    synthetic.blocking_run(tmp_path, rounds=1, ways=synthetic.WAYS[:2])
    draw(tmp_path)
    for text in ("{", "[]", '{"blocking": 3}', '{"blocking": {"fingerprint": "x", "charts": 5}}'):
        (tmp_path / "charts" / "drawn.json").write_text(text, encoding="utf-8")
        draw(tmp_path)
        assert read_cache(tmp_path / "charts" / "drawn.json")["blocking"].report.charts


def test_a_broken_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(files.BrokenFile):
        draw(tmp_path)


def test_summary_csv_lies_beside_the_page(tmp_path: Path) -> None:
    drawn = draw(synthetic.blocking_run(tmp_path, rounds=1, ways=synthetic.WAYS[:2]))
    with (tmp_path / "summary.csv").open(newline="", encoding="utf-8") as file:
        metrics = {row["metric"] for row in csv.DictReader(file)}
    assert {"throughput_rps", "latency_p50_ms", "failures", "unfinished", "ceiling_rps"} <= metrics
    assert drawn.page == tmp_path / "index.html"


def printed(table: ScenarioTable, width: int) -> str:
    console = Console(width=width, record=True, color_system=None, file=io.StringIO())
    console.print(table)
    return console.export_text(styles=False)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ScenarioTable:
    return draw(synthetic.blocking_run(tmp_path_factory.mktemp("table"), rounds=2)).tables[0]


@pytest.mark.parametrize("width", [60, 80, 120, 140, 200])
def test_terminal_table_keeps_to_the_width(table: ScenarioTable, width: int) -> None:
    text = printed(table, width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "blocking_call" in text
    assert width < 80 or re.search(r"\b4\.\d s|\b3\.\d s|> \d", text)
    assert ("never" in text) == (width >= NARROW)
    cells = table.cells
    assert all(cells(row)[column].text in text for row in table.rows for column in ("req/s", "health p50"))
    assert all(cells(row)["verdict"].text.split(",")[0] in text for row in table.rows)  # no word is broken


def test_terminal_table_takes_names_for_names(tmp_path: Path) -> None:
    run = synthetic.blocking_run(tmp_path, rounds=1, ways=[synthetic.Way("[red]x", "fix", "[bold]y", None)])
    text = printed(draw(run).tables[0], 120)
    assert "[red]x" in text
    assert "[bold]y" in text


@pytest.mark.parametrize(
    ("value_ms", "text"),
    [
        (0.4217, "0.42 ms"),
        (2.04, "2.0 ms"),
        (53.4, "53 ms"),
        (149.6, "150 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (1599.5, "1.6 s"),
        (9960, "10 s"),
        (0, "0 ms"),
    ],
)
def test_durations(value_ms: float, text: str) -> None:
    assert formatting.duration(value_ms) == text


@pytest.mark.parametrize(
    ("value", "text"), [(19.875, "19.9"), (585.6, "586"), (4123.4, "4,123"), (0, "0"), (0.5, "0.500")]
)
def test_rates(value: float, text: str) -> None:
    assert formatting.rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 %"), (0.0004, "< 0.1 %"), (0.031, "3.1 %"), (0.997, "> 99 %"), (1, "100 %")]
)
def test_shares(value: float, text: str) -> None:
    assert formatting.share(value) == text


def test_turns_that_were_taken_again_are_counted(tmp_path: Path) -> None:
    run = synthetic.blocking_run(tmp_path)
    assert "Taken again" not in html_of(run)
    for path in run.glob("blocking/*/*/1/trial.json"):
        trial = files.read_json(path)
        turn = trial["facts"]["turns"][0]
        again = turn | {
            "pass_number": 0,
            "warm_until_s": turn["start_s"],
            "end_s": turn["start_s"],
            "taken_again": True,
        }
        trial["facts"]["turns"] = [again, *trial["facts"]["turns"]]
        files.write_json(path, trial)
    assert "Taken again, since another program used the load generator" in html_of(run)


def test_rounds_that_were_measured_again_are_counted(tmp_path: Path) -> None:
    run = synthetic.blocking_run(tmp_path)
    assert "Measured again" not in html_of(run)
    for path in run.glob("blocking/*/*/1/trial.json"):
        files.write_json(path, files.read_json(path) | {"attempt": 2})
    assert "Measured again, since a trial was invalid: 1 round." in html_of(run)
