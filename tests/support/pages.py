"""Reading a drawn page in tests: its elements and text, and whether anything in it could do harm."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from bench.report.draw import draw

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "attribute": '"><svg onload="alert(1)">',
    "template": "{{ 7 * 7 }}{% raw %}",
    "control": "\x1b[31mred\x1b[0m \x07\x08 \x00",
    "right to left": "safe \u202egpj.exe\u2066",
    "long": "x" * 10_000,
}


class Tags(HTMLParser):
    """Collects every element with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def html_of(run: Path) -> str:
    return draw(run, root=run).page.read_text(encoding="utf-8")


def without_charts(html: str) -> str:
    return re.sub(r"<svg.*?</svg>", "CHART", html, flags=re.DOTALL)


def assert_harmless(html: str) -> None:
    """No script, no handler, no address that a browser would ask for; only a heat map's picture is inline."""
    tags = Tags(html)
    for tag, attributes in tags.elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"src", "href", "xlink:href", "action", "data", "poster", "srcset"}:
                inline = tag == "image" and (value or "").startswith("data:image/png;base64,")
                assert inline or (value or "").startswith("#"), (tag, name, value)
    assert "@import" not in html
    assert not re.findall(r"url\((?!#)", html)
    assert not re.findall("[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]", html)
