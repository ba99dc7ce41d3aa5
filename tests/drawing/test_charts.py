"""The charts: what they say, that labels keep apart, and that the same data gives the same bytes."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
import synthetic
from figures import text_boxes

from bench.analysis.run_reader import read_run, read_scenario
from bench.analysis.summary import Summary, summarise
from bench.analysis.tables import ScenarioTables
from bench.report.charts import canvas, heatmap, registry, timeline
from bench.report.charts.canvas import ChartDrawing, spread, variant_styles
from bench.report.charts.registry import CHARTS, draw
from bench.report.charts.sweep import sweep

Analysed = tuple[ScenarioTables, Summary]

EVERYWHERE = tuple(chart for chart in CHARTS if chart is not registry.jobs)
"""The charts of a scenario without jobs."""

WAITING = synthetic.Seen((0.001, 80_000.0), cores=123.4, borrowed=(99_999, 100_000), waiting=12_345)


def analysed(run: Path) -> Analysed:
    read = read_run(run)
    frames = read_scenario(read, read.scenarios[0])
    return frames, summarise(frames)


@pytest.fixture(scope="module")
def blocking(tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    return analysed(synthetic.blocking_run(tmp_path_factory.mktemp("run"), rounds=3))


@pytest.fixture(scope="module")
def drawings(blocking: Analysed) -> dict[str, ChartDrawing]:
    return {drawing.name: drawing for drawing in draw(*blocking)}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([2.0, 8.0], [2.0, 8.0]),
        ([5.0, 5.0], [4.5, 5.5]),
        ([5.0, 5.2, 5.1], [4.1, 6.1, 5.1]),
        ([0.0, 0.0], [0.0, 1.0]),
        ([10.0, 10.0], [9.0, 10.0]),
        ([3.0, 3.0, 9.0], [2.5, 3.5, 9.0]),
    ],
)
def test_spread_by_hand(wanted: list[float], expected: list[float]) -> None:
    assert spread(wanted, 1.0, 0.0, 10.0) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(30))
def test_spread_keeps_apart_in_bounds_and_in_order(seed: int) -> None:
    draws = np.random.default_rng(seed)
    wanted = list(draws.uniform(-1, 11, size=draws.integers(1, 9)))
    placed = spread(wanted, 1.0, 0.0, 10.0)
    ordered = sorted(placed)
    assert all(after - before >= 1 - 1e-9 for before, after in itertools.pairwise(ordered))
    assert ordered[0] >= -1e-9
    assert ordered[-1] <= 10 + 1e-9
    assert np.argsort(wanted).tolist() == np.argsort(placed).tolist()


def test_spread_shares_what_room_there_is() -> None:
    assert spread([5.0] * 5, 4.0, 0.0, 10.0) == pytest.approx([0, 2.5, 5, 7.5, 10])


def test_every_chart_is_drawn_with_a_finding_for_its_title(drawings: dict[str, ChartDrawing]) -> None:
    assert list(drawings) == [chart.__name__ for chart in EVERYWHERE]
    assert re.match(
        r"time\.sleep in async def: (19\.\d|20\.\d) requests/s, the fixes 5\d\d to 5\d\d", drawings["throughput"].alt
    )
    assert "health checks take longer than" in drawings["health"].alt
    assert drawings["timeline"].alt.startswith("time.sleep in async def holds the loop for up to 1.6 s at")
    assert "others for 7.0 ms at most" in drawings["timeline"].alt
    cost = r"A request costs the server 0\.4\d.ms of CPU with await asyncio\.sleep, 0\.8\d.ms"
    assert re.match(cost, drawings["cpu_cost"].alt)


def test_svg_is_well_formed_text_with_ids_of_its_own(drawings: dict[str, ChartDrawing]) -> None:
    seen: set[str] = set()
    for drawing in drawings.values():
        root = ElementTree.fromstring(drawing.svg)
        ids = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
        assert ids
        assert not ids & seen
        seen |= ids
        used = re.findall(r'(?:href="#|url\(#)([^")]+)', drawing.svg)
        assert used
        assert set(used) <= ids
        assert "<text" in drawing.svg
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib
        assert "<metadata" not in drawing.svg


def test_same_data_same_bytes(blocking: Analysed, drawings: dict[str, ChartDrawing]) -> None:
    for again in draw(*blocking):
        assert again.svg == drawings[again.name].svg
        assert again.png == drawings[again.name].png


def test_drawing_leaves_matplotlib_as_it_was(blocking: Analysed) -> None:
    before = dict(matplotlib.rcParams)
    draw(*blocking)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("chart", EVERYWHERE, ids=lambda chart: str(chart.__name__))
def test_no_label_is_clipped_and_none_overlaps(blocking: Analysed, chart: registry.Chart) -> None:
    assert_legible(chart, blocking)


@pytest.mark.parametrize("chart", EVERYWHERE, ids=lambda chart: str(chart.__name__))
def test_long_and_odd_names_stay_legible(tmp_path: Path, chart: registry.Chart) -> None:
    ways = [
        synthetic.Way("w" * 60, "trap", "a summary that goes on and on without coming to an end", None, seen=WAITING),
        synthetic.Way("$x_1$ <b>", "fix", "$\\frac{1}{2}$ & more", None, seen=synthetic.Seen()),
        *(synthetic.Way(f"way_{i}", "fix", "一二三\u202e", None, extra_s=0.003 + i * 1e-5) for i in range(3)),
    ]
    assert_legible(chart, analysed(synthetic.blocking_run(tmp_path, rounds=1, ways=ways)))


@pytest.mark.parametrize("chart", [registry.timeline, registry.cpu_cost], ids=lambda chart: str(chart.__name__))
def test_variants_that_take_turns_stay_legible(tmp_path: Path, chart: registry.Chart) -> None:
    assert_legible(chart, analysed(synthetic.turns_run(tmp_path)))


def test_without_telemetry_the_timeline_tells_how_steady_latency_was(tmp_path: Path) -> None:
    ways = [replace(way, seen=None) for way in synthetic.WAYS]
    data = analysed(synthetic.blocking_run(tmp_path, rounds=2, ways=ways))
    drawn = {drawing.name: drawing.alt for drawing in draw(*data)}
    assert "cpu_cost" not in drawn
    assert drawn["timeline"].startswith("Steady: over time no median moves by more than")
    assert_legible(registry.timeline, data)


def test_a_timeline_is_thinned_and_keeps_its_worst(tmp_path: Path) -> None:
    """Ten minutes have 6,000 samples; the one that is late must be seen."""
    turns = [synthetic.turn(0, 1, 600)]
    rows = synthetic.beats(0, 600)
    rows[3000] |= {"lag_max_ms": 777.0}
    histograms = [synthetic.Histogram(synthetic.ENDPOINT, "service", i, 1, {50_000: 30}) for i in range(600)]
    run = synthetic.write_run(tmp_path, {"blocking": synthetic.scenario(synthetic.WAYS[1:2], rounds=1)})
    synthetic.write_trial(run, "blocking", "awaited", 1, histograms=histograms, turns=turns, server={1: rows})
    data = analysed(run)
    track = timeline._track(data[0], data[0].variants[0], 1)
    assert track.lag is not None
    assert len(track.lag[0]) <= timeline.POINTS_SHOWN
    assert np.nanmax(track.lag[1]) == 777
    assert max(len(x) for x, _ in track.latency.values()) <= 2 * timeline.POINTS_SHOWN


def test_turns_are_put_together_and_lines_broken_between_them(tmp_path: Path) -> None:
    """Nine turns of 0.5 s, the first all warm-up: 4.5 s under load of which the first half second lies before 0."""
    frames, _ = analysed(synthetic.turns_run(tmp_path))
    track = timeline._track(frames, frames.scenario.variant("awaited"), 1)
    assert [turn.x_s for turn in track.turns] == pytest.approx([-0.6 + 0.5 * i for i in range(9)])
    assert track.lag is not None
    assert np.isnan(track.lag[0]).sum() == 8
    assert np.nanmax(track.lag[0]) <= 3.9 + 1e-9


def test_short_turns_are_drawn_as_one(tmp_path: Path) -> None:
    """Turns of a tenth of a second, every third sample in one: no gap between them, and no warm-up's latency."""
    turns = [synthetic.turn(0, 0.3, 0.3, 0)]
    turns += [synthetic.turn(0.3 * i, 0.3 * i + 0.02, 0.3 * i + 0.1, i) for i in range(1, 11)]
    histograms = [
        synthetic.Histogram(synthetic.ENDPOINT, "service", at, length, {us: 30})
        for turn in turns[1:]
        for at, length, us in ((turn["start_s"], 0.02, 900_000), (turn["warm_until_s"], 0.08, 10_000))
    ]
    run = synthetic.write_run(tmp_path, {"blocking": synthetic.scenario(synthetic.WAYS[1:2], rounds=1)})
    server = {1: synthetic.beats(0, 4)}
    synthetic.write_trial(run, "blocking", "awaited", 1, histograms=histograms, turns=turns, server=server)
    frames, _ = analysed(run)
    track = timeline._track(frames, frames.scenario.variant("awaited"), 1)
    assert track.lag is not None
    assert np.isnan(track.lag[0]).sum() == 1  # behind the server's first turn, which is warm-up throughout
    assert track.latency["median"][1] == pytest.approx(10, rel=0.01)
    assert np.diff(track.latency["median"][0]).min() >= 0


def test_the_heat_map_shows_where_the_requests_lie() -> None:
    """Nine in ten of a second's requests take 10 ms, one takes 1 s; in the next second none is answered."""
    rows = pd.DataFrame(
        {"start_s": [0.0, 0.0], "end_s": [1.0, 1.0], "value_us": [10_000, 1_000_000], "count": [9, 1], "measured": True}
    )
    edges = np.geomspace(1, 10_000, heatmap.BANDS + 1)
    shares = heatmap._shares(rows, [timeline.DrawnTurn(0.0, 0.0, 2.0, 0.0)], edges, (0.0, 2.0))
    first, second = shares[:, : heatmap.SLOTS // 2], shares[:, heatmap.SLOTS // 2 :]
    assert first.sum(axis=0) == pytest.approx(1)
    assert first.max(axis=1)[np.searchsorted(edges, 10) - 1] == pytest.approx(0.9)
    assert first.max(axis=1)[np.searchsorted(edges, 1000) - 1] == pytest.approx(0.1)
    assert not second.any()


@pytest.fixture
def jobs(tmp_path: Path) -> Analysed:
    """16 jobs a second are accepted; of the first variant's half are done, of the second's all, in 0.1 s."""
    ways = [synthetic.Way("slow", "trap", "done before the answer", None), synthetic.Way("queue", "fix", "queue", None)]
    declared = synthetic.scenario(ways, endpoint="job done", load=synthetic.load_record("rate-16"))
    run = synthetic.write_run(tmp_path, {"jobs": declared})
    for way, done in zip(ways, (8, 16), strict=True):
        turns = [synthetic.turn(0, 0, 10)]
        kinds = (("POST /jobs", "response", 5_000, 160), ("job done", "response", 100_000, 10 * done))
        histograms = [synthetic.Histogram(name, kind, 0, 1, {us: n}) for name, kind, us, n in kinds]
        if done < 16:
            histograms.append(synthetic.Histogram("job done", "unfinished", 0, 1, {5_000_000: 80}))
        counts = [
            {
                "endpoint": name,
                "start_s": 0,
                "end_s": 10,
                "measured": 1,
                "started": 160,
                "finished": n,
                "unfinished": 160 - n,
            }
            for name, _, _, n in kinds
        ]
        for number in (1, 2):
            synthetic.write_trial(
                run, "jobs", way.name, number, load="rate-16", histograms=histograms, counts=counts, turns=turns
            )
    return analysed(run)


def test_jobs_tell_what_is_left(jobs: Analysed) -> None:
    assert_legible(registry.jobs, jobs)
    drawn = {drawing.name: drawing.alt for drawing in draw(*jobs)}
    assert drawn["jobs"] == "With done before the answer, 80 jobs are left undone; queue leaves a fraction of that"


def test_the_sweep_tells_who_gains_from_more_users(tmp_path: Path) -> None:
    """Under the laws 1/S and N/S, 32 users instead of 8 bring the trap nothing and the fix four times as much."""
    ways = synthetic.WAYS[:2]
    loads = []
    for users, served in ((8, (20.0, 160.0)), (32, (20.0, 640.0))):
        name = f"users-{users}"
        declared = synthetic.scenario(ways, load=synthetic.load_record(name))
        run = synthetic.write_run(tmp_path / name, {"blocking": declared})
        for way, rps in zip(ways, served, strict=True):
            done, turns = round(10 * rps), [synthetic.turn(0, 0, 10)]
            histograms = [synthetic.Histogram(synthetic.ENDPOINT, "service", 0, 1, {round(1e6 * users / rps): done})]
            counts = [{"endpoint": synthetic.ENDPOINT, "start_s": 0, "end_s": 10, "measured": 1, "finished": done}]
            synthetic.write_trial(
                run, "blocking", way.name, 1, load=name, histograms=histograms, counts=counts, turns=turns
            )
        loads.append(analysed(run))
    with canvas.chart_style():
        assert sweep(loads[:1]) is None
        figure = sweep(loads)
    assert figure is not None
    title = " ".join(figure.texts[0].get_text().split())
    assert (
        title
        == "From 8 to 32 users: 4 times the requests with await asyncio.sleep, no more with time.sleep in async def"
    )


def assert_legible(chart: registry.Chart, data: Analysed) -> None:
    with canvas.chart_style():
        figure = chart(*data)
        assert figure is not None
        boxes = text_boxes(figure)
    assert len(boxes) > 5
    page = figure.bbox
    for text, box in boxes:
        assert box.x0 >= page.x0 - 1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= page.y0 - 1, text
        assert box.y1 <= page.y1 + 1, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        # Boxes hold the ascenders that most letters lack: two pixels of shared box are not shared ink.
        assert wide <= 2 or high <= 2, f"{one!r} overlaps {other!r}"


def test_styles_differ_without_colour_and_by_role(blocking: Analysed) -> None:
    styles = variant_styles(blocking[0].scenario.variants)
    assert styles["blocking_call"].colour == "#D55E00"
    assert styles["blocking_call"].hatch
    assert styles["awaited"].colour == "#0072B2"
    assert len({(style.marker, style.line) for style in styles.values()}) == len(styles)


def test_no_evidence_no_chart(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, {"blocking": synthetic.scenario(synthetic.WAYS)})
    assert draw(*analysed(tmp_path)) == []


@pytest.mark.parametrize(
    ("title", "lines"),
    [
        ("Short", ["Short"]),
        ("word " * 14 + "end", [" ".join(["word"] * 7), " ".join(["word"] * 7) + " end"]),
        ("x" * 30 + " " + "y" * 30 + " takes 5 ms", ["x" * 30, "y" * 30 + " takes 5\N{NO-BREAK SPACE}ms"]),
    ],
)
def test_titles_are_balanced_and_keep_units(title: str, lines: list[str]) -> None:
    assert canvas.balanced(title) == lines


def test_fit_clips_only_what_has_no_room() -> None:
    assert canvas.fit("blocking_call", 3) == "blocking_call"
    clipped = canvas.fit("w" * 60, 1)
    assert clipped.endswith("…")
    assert 3 < len(clipped) < 15
