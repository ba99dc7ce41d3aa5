"""summary.md and the tables of the terminal: what they say, and what hostile texts cannot make of them."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import pytest
import synthetic
from markdown_it import MarkdownIt
from rich.console import Console

from bench.model import Claim, Comparison
from bench.report.draw import draw
from bench.report.formats.summary_md import escaped
from bench.report.text.terminal import claims_table

HOSTILE = {
    "html": "<script>alert(1)</script>",
    "cell": "a | b | c\n| d | e |",
    "markup": "**bold** `code` _it_ [link](https://example.org) ![i](http://x/y.png) # head",
    "links": "www.example.org https://example.org mailto:a@b.org @everyone #1",
    "escape": "\x1b[31mred\x1b[0m \u202eright to left\u0007",
    "rich": "[red]x[/red] [link=https://example.org]y[/link]",
    "backslash": "\\| \\",
    "long": "x" * 10_000,
}

CLAIMS = (
    Claim("fixed", "The fix is faster.", (Comparison("throughput_rps", "awaited", "above", "blocking_call", 10),)),
    Claim("same", "They are the same.", (Comparison("throughput_rps", "awaited", "equivalent", "blocking_call"),)),
)


def judged_run(run: Path, claims: tuple[Claim, ...] = CLAIMS, name: str = "blocking") -> Path:
    """Two rounds of the simulated scenario, with claims."""
    synthetic.blocking_run(run, name=name)
    declared = synthetic.scenario(synthetic.WAYS, claims=[asdict(claim) for claim in claims])
    return synthetic.write_run(run, {name: declared})


def printed(*renderables: object, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    for renderable in renderables:
        console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_has_the_finding_the_claims_and_a_table(tmp_path: Path) -> None:
    draw(judged_run(tmp_path / "monday"))
    text = (tmp_path / "monday" / "summary.md").read_text(encoding="utf-8")
    assert text.startswith("## One time.sleep in async def: ")
    assert "Run monday." in text
    assert "2 claims: 1 confirmed, 1 refuted" in text
    assert "| ✅ confirmed | The fix is faster. |" in text
    assert "| ❌ refuted | They are the same. |" in text
    (head, _, row, *_) = text.split("### blocking")[1].strip().splitlines()[2:]
    assert head == "| variant | req/s | p50 | p99 | starved | health p50 | health p90 | verdict | diagnosis |"
    assert row.startswith("| time.sleep in async def | ")
    assert "slower, 0.03" in row
    assert "| loop blocked |" in row


def test_claims_csv_and_the_status_of_the_report_agree(tmp_path: Path) -> None:
    drawn = draw(judged_run(tmp_path))
    assert [claim.verdict for claim in drawn.claims] == ["confirmed", "refuted"]
    rows = (tmp_path / "claims.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[:3] for row in rows[1:]] == [
        ["blocking", "fixed", "confirmed"],
        ["blocking", "same", "refuted"],
    ]
    assert drawn.of("blocking").claims == drawn.claims
    assert drawn.of("another").claims == ()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_nothing_but_text_in_markdown(text: str) -> None:
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"| a |\n| --- |\n| {escaped(text)} |")
    assert html.count("<td>") == 1
    assert html.count("<") == html.count("</") * 2, html
    assert not {"<a", "<img", "<script", "<em", "<strong", "<code", "<h1"} & set(html.split(">"))
    assert len(escaped(text)) < 1000
    assert not any(ord(character) < 32 or "\u202a" <= character <= "\u202e" for character in escaped(text))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_and_claims_come_out_harmless(tmp_path: Path, text: str) -> None:
    wanted = Claim(text, text, (Comparison("throughput_rps", "way", "above", 1000),))
    ways = [synthetic.Way("way", "trap", text, None)]
    synthetic.blocking_run(tmp_path, ways=ways)
    synthetic.write_run(
        tmp_path, {"blocking": synthetic.scenario(ways, question=text, claims=[asdict(wanted)])}, name=text
    )
    drawn = draw(tmp_path, root=tmp_path)
    markdown = (tmp_path / "summary.md").read_text(encoding="utf-8")
    html = MarkdownIt("commonmark").enable("table").render(markdown)
    for tag in ("<script", "<a ", "<img", "<em", "<code", "<h1"):
        assert tag not in html
    assert html.count("<table>") == 2
    assert html.count("<tr>") == 4
    shown = printed(*drawn.tables, claims_table(drawn.claims))
    assert not any((ord(c) < 32 and c != "\n") or "\u202a" <= c <= "\u202e" for c in shown + markdown.replace("\n", ""))
    if text == HOSTILE["rich"]:
        assert "[red]" in shown


def test_the_terminal_shows_verdict_and_diagnosis(tmp_path: Path) -> None:
    drawn = draw(judged_run(tmp_path))
    narrow, wide = (printed(*drawn.tables, claims_table(drawn.claims), width=width) for width in (80, 200))
    for shown in (narrow, wide):
        assert "slower," in shown
        assert " 0.03" in shown
        assert "loop blocked" in shown
        assert "baseline" in shown
        assert "refuted" in shown
    assert "never answered" in wide
    assert "never answered" not in narrow
    assert max(map(len, narrow.splitlines())) <= 80
