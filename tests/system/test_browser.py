"""The page in a real browser, Debian's Chromium: quiet, asks nobody, fits, can be read, takes hostile text as text."""

from __future__ import annotations

import importlib.resources
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic
from playwright.sync_api import Browser, Page, sync_playwright

from bench.report.draw import draw

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)

PHONE, DESK = 390, 1440
PAYLOADS = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '"><svg onload="window.hacked = 1">',
    "</style><script>window.hacked = 1</script>",
    "safe \u202egpj.exe\u2066 \u200f",
    "\x1b[31mred\x1b[0m \x07\x08\x00\x9f",
    "x" * 10_000,
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Debian's Chromium has no sandbox for root, and tests in a container are root.
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that has everything: two scenarios, claims of every verdict, a failed trial with its log, diagnoses."""
    run = synthetic.troubled_run(tmp_path_factory.mktemp("plain"))
    ways = synthetic.WAYS[:3]
    synthetic.blocking_trials(run, rounds=3, ways=ways, name="other")
    claims = [
        claim("slower", "below", "awaited"),
        claim("faster", "above", "awaited"),
        claim("unknown", "above", "nobody"),
        claim("first_question", "below", "awaited", question="Why does one blocking call slow down all requests?"),
    ]
    synthetic.write_run(
        run, {"blocking": synthetic.scenario(synthetic.WAYS), "other": synthetic.scenario(ways, claims=claims)}
    )
    return draw(run).page


def claim(name: str, relation: str, other: str, question: str = "") -> dict[str, Any]:
    comparison = {"metric": "throughput_rps", "variant": "blocking_call", "relation": relation, "other": other}
    statement = f"A blocking call is {relation} {other}."
    return {"name": name, "statement": statement, "guide": True, "question": question, "comparisons": [comparison]}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every payload wherever a run's texts come from: names, questions, sources, reasons, logs, the machine."""
    run = tmp_path_factory.mktemp("hostile")
    declared = {}
    for number, text in enumerate(PAYLOADS):
        way = synthetic.Way(f"way{number}", "trap", text, None, source=f"def f():\n    return {text!r}  # {text}\n")
        name = f"scenario {number} <b>"
        synthetic.blocking_trials(run, rounds=1, ways=[way], name=name)
        declared[name] = synthetic.scenario([way], question=text, profile=text)
        broken = synthetic.Way(f"broken{number}", "fix", text, None)
        synthetic.write_trial(run, f"broken{number}", broken.name, 1, status="failed", reasons=[text], log_tail=text)
        declared[f"broken{number}"] = synthetic.scenario([broken], question=text)
    text = PAYLOADS[0]
    machine = {"kernel": text, "packages": {text: text}}
    git = {"revision": text, "dirty": True}
    synthetic.write_run(run, declared, machine=machine, command=" ".join(PAYLOADS[:3]), name=text, git=git)
    return draw(run, root=run).page


class Opened:
    """A page in the browser, and what it said and asked for since it was opened."""

    def __init__(self, browser: Browser, path: Path, width: int, **context: Any) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900}, **context)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def overflow_px(self) -> int:
        """How far the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["plain", "hostile"])
def test_quiet_alone_and_within_the_window(
    browser: Browser, request: pytest.FixtureRequest, which: str, scheme: str, width: int
) -> None:
    path: Path = request.getfixturevalue(which)
    opened = Opened(browser, path, width, color_scheme=scheme)
    assert opened.overflow_px() <= 0
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:image/png;base64,")] == [path.as_uri()]
    assert opened.page.evaluate("window.hacked") is None
    opened.page.close()


def test_fits_on_paper(browser: Browser, plain: Path) -> None:
    a4_px = 794
    opened = Opened(browser, plain, a4_px)
    opened.page.emulate_media(media="print")
    assert opened.overflow_px() <= 0
    opened.page.close()


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_can_be_read_by_everybody(browser: Browser, plain: Path, scheme: str, width: int) -> None:
    """axe's rules of WCAG 2, levels A and AA: contrast, names, order, tables."""
    opened = Opened(browser, plain, width, color_scheme=scheme)
    axe = importlib.resources.files("axe_playwright_python") / "axe.min.js"
    opened.page.evaluate(axe.read_text(encoding="utf-8"))
    found = opened.page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']})")
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}
    broken = [(rule, node) for rule in found["violations"] for node in rule["nodes"]]
    assert [(rule["id"], node["html"][:200], node["failureSummary"]) for rule, node in broken] == []
    opened.page.close()


def test_claims_are_shown_with_their_verdicts_and_lead_to_their_scenario(browser: Browser, plain: Path) -> None:
    opened = Opened(browser, plain, DESK)
    shown = opened.page.locator(".claims").first.locator("tbody tr")
    assert [row.split("\t")[0] for row in shown.all_inner_texts()] == [
        "refuted", "confirmed", "confirmed", "inconclusive",
    ]  # fmt: skip
    shown.first.locator("a").click()
    assert opened.page.url.endswith("#scenario-other")
    assert "one blocking call" in opened.page.locator("#quiz").inner_text()
    opened.page.close()


def test_hostile_text_is_text(browser: Browser, hostile: Path) -> None:
    opened = Opened(browser, hostile, DESK)
    assert "<script>window.hacked = 1</script>" in opened.page.locator("body").inner_text()
    assert opened.page.locator("script, img, iframe, b").count() == opened.page.locator("#method b").count()
    opened.page.close()
