"""What the page says of servers that were watched by the probe."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic
from pages import HOSTILE, Tags, assert_harmless, html_of, without_charts
from synthetic import beats
from watched_runs import one_trial, piece

from bench.report.draw import draw
from bench.report.pages.server_section import PLACES_SHOWN, markdown


def test_the_page_names_the_line_and_the_fix(tmp_path: Path) -> None:
    text = " ".join(Tags(html_of(synthetic.blocking_run(tmp_path))).text.split())
    assert "100 % of stalled time (12 s) : apps/blocking/blocking_call.py:10 report → time.sleep time.sleep(0.05)" in (
        text.replace("s):", "s) :")
    )
    assert "blocking_call: loop blocked" in text
    assert "await an async client" in text
    assert "awaited: waiting on others" in text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_places_come_out_harmless(tmp_path: Path, text: str) -> None:
    named = text.replace("\0", "")
    stalls = [piece(101 + i / 10, 90, file=named, function=named, callee=named) for i in range(20)]
    tables = one_trial(tmp_path, {7: beats(100, 103)}, {7: stalls})
    assert tables.excluded == ()
    html = html_of(tmp_path)
    assert_harmless(html)
    assert "x" * 1000 not in html


def test_ten_thousand_places_are_a_short_table(tmp_path: Path) -> None:
    stalls = [piece(101 + i / 10_000, 0.2, stall=i, line=i + 1, callee=f"call_{i}") for i in range(10_000)]
    one_trial(tmp_path, {7: beats(100, 103)}, {7: stalls})
    html = without_charts(html_of(tmp_path))
    assert html.count("call_") <= 2 * PLACES_SHOWN + 1
    assert "9,994 more, 2.0 s together" in html
    assert len(html) < 40_000


def test_advice_is_markdown_without_a_way_out() -> None:
    html = markdown("Use **await**, `x < y`:\n\n- <script>alert(1)</script> [a](https://b.c) ![i](d.png) <https://e.f>")
    assert_harmless(str(html))
    assert "<strong>await</strong>" in html
    assert "<code>x &lt; y</code>" in html
    assert "<li>" in html


def test_charts_are_drawn_again_when_the_probes_files_change(tmp_path: Path) -> None:
    one_trial(tmp_path, {7: beats(100, 103)})
    draw(tmp_path)
    chart = tmp_path / "charts" / "blocking-cpu_cost.svg"
    before = chart.read_text(encoding="utf-8")
    one_trial(tmp_path, {7: beats(100, 103, cores=0.9)})
    draw(tmp_path)
    assert chart.read_text(encoding="utf-8") != before


def test_a_run_without_telemetry_says_so(tmp_path: Path) -> None:
    one_trial(tmp_path, {})
    assert "The servers were not watched" in html_of(tmp_path)
