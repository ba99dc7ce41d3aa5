"""The documents: generated ones are up to date, links lead somewhere, the glossary stays short."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from bench.model import Comparison
from bench.planning import catalogue, document_claims
from bench.results import document, schema

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

GENERATED = {**document.documents(), **document_claims.documents()}
MARKDOWN = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / ".github").rglob("*.md"), ROOT / "results/README.md"]
)

MAX_GLOSSARY_WORDS = 25
"""More, and a newcomer has to learn a dialect."""


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_generated_document_is_up_to_date(name: str) -> None:
    committed = (DOCS / name).read_text(encoding="utf-8")
    assert committed == GENERATED[name], f"docs/{name} is out of date: run nox -s docs"


def test_no_generated_document_is_left_over() -> None:
    assert {f"schemas/{path.name}" for path in (DOCS / "schemas").iterdir()} <= GENERATED.keys()


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    broken = [link for link in links(path) if not leads_somewhere(path, link)]
    assert broken == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_repository_that_is_named_exists(path: Path) -> None:
    named = re.findall(r"`((?:bench|apps|docs|tests|locustfiles)/[\w./-]+)`", path.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_glossary_is_short() -> None:
    assert (
        0 < len(re.findall(r"^\| \*\*", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.M)) <= MAX_GLOSSARY_WORDS
    )


def test_every_metric_of_summary_csv_is_described() -> None:
    with (ROOT / "results/example/summary.csv").open(encoding="utf-8") as file:
        metrics = {row["metric"] for row in csv.DictReader(file)}
    described = (DOCS / "reading-results.md").read_text(encoding="utf-8")
    assert [metric for metric in sorted(metrics) if f"`{metric}`" not in described] == []


def test_the_readme_quotes_the_example() -> None:
    """Its figures are those of the stored run."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Run it")[0]
    with (ROOT / "results/example/claims.csv").open(encoding="utf-8") as file:
        claims = list(csv.DictReader(file))
    verdicts = Counter(row["verdict"] for row in claims)
    counted = f"{verdicts['confirmed']} are confirmed, {verdicts['refuted']} refuted,\n{verdicts['inconclusive']} inconclusive"
    assert counted in readme
    assert f"verdicts on {verdicts.total()} claims" in readme
    with (ROOT / "results/example/summary.csv").open(encoding="utf-8") as file:
        figures = {
            (row["scenario"], row["variant"], row["endpoint"], row["metric"]): row["value"]
            for row in csv.DictReader(file)
        }

    def throughput_rps(scenario: str, variant: str, endpoint: str) -> float:
        return float(figures[scenario, variant, endpoint, "throughput_rps"])

    blocked, fixed = (throughput_rps("blocking", name, "GET /report") for name in ("blocking_call", "awaited"))
    assert f"serves {blocked:.1f} requests/s and the fixed one {fixed:.0f}" in readme
    (evidence,) = (row["evidence"] for row in claims if row["claim"] == "keyword_does_not_matter")
    found = re.search(r": ([\d.]+) times", evidence)
    assert found
    assert f"plain `def` served {float(found[1]):.2f} times as many" in readme


def test_every_scenario_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for scenario in catalogue.all_scenarios():
        rows = [line for line in readme.splitlines() if line.startswith(f"| `{scenario.name}` |")]
        assert len(rows) == 1, scenario.name
        assert scenario.question in rows[0]
        assert [v.name for v in scenario.variants if not v.control_of and f"`{v.name}`" not in rows[0]] == []


def test_the_guide_asks_three_questions() -> None:
    claims = [claim for scenario in catalogue.all_scenarios() for claim in scenario.claims]
    assert len({claim.question for claim in claims if claim.question}) == 3
    assert all(claim.guide for claim in claims if claim.question)


def test_file_formats_describe_every_record_with_all_its_fields() -> None:
    text = GENERATED["file-formats.md"]
    for name, record in {**document.JSON_FILES, **document.CSV_FILES}.items():
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.M) == [each.name for each in fields(record)]
    assert all(f"- `{kind}`: " in text for kind in schema.KINDS)


def test_each_type_is_described_once() -> None:
    headings = re.findall(r"^##+ (.+)$", GENERATED["file-formats.md"], re.M)
    assert len(headings) == len(set(headings))


def test_json_schemas_carry_the_fields_and_their_texts() -> None:
    trial = json.loads(GENERATED["schemas/trial.json"])
    assert set(trial["properties"]) == {each.name for each in fields(schema.TrialRecord)}
    assert trial["properties"]["position"]["description"] == document.field_notes(schema.TrialRecord)["position"]


@dataclass(frozen=True)
class Sample:
    """Two fields."""

    one: int
    """The first, as ``code``."""
    other: str = ""


def test_a_field_s_text_is_the_string_behind_it() -> None:
    assert document.field_notes(Sample) == {"one": "The first, as ``code``."}


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (
            Comparison("throughput_rps", "awaited", "above", "blocking_call", factor=10),
            "requests/s with `awaited`: above 10 times `blocking_call`",
        ),
        (
            Comparison("throughput_rps", "awaited", "equivalent", "plain_def"),
            "requests/s with `awaited`: equivalent to `plain_def`",
        ),
        (
            Comparison("latency_p50_ms", "awaited", "below", 50, factor=1.5, endpoint="GET /health"),
            "median latency of GET /health with `awaited`: below 75 ms",
        ),
        (Comparison("throughput_rps", "awaited", "below", 10.0), "requests/s with `awaited`: below 10 requests/s"),
    ],
)
def test_a_comparison_in_words(comparison: Comparison, words: str) -> None:
    assert document_claims.in_words(comparison, catalogue.load("blocking")) == words


def test_the_commands_write_the_documents(tmp_path: Path) -> None:
    for module in ("bench.results.document", "bench.planning.document_claims"):
        subprocess.run([sys.executable, "-m", module, str(tmp_path)], cwd=ROOT, check=True)
    for name, text in GENERATED.items():
        assert (tmp_path / name).read_text(encoding="utf-8") == text


def links(path: Path) -> list[str]:
    """Relative links of a Markdown file; code blocks are left out."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def leads_somewhere(path: Path, link: str) -> bool:
    """Whether the file exists, and the heading in it."""
    name, _, anchor = link.partition("#")
    target = (path.parent / name) if name else path
    if not target.exists():
        return False
    return not anchor or anchor in anchors(target)


def anchors(path: Path) -> set[str]:
    """Names of a Markdown file's headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_name_in_the_tables_of_the_architecture_exists() -> None:
    rows = re.findall(
        r"^\| \d+ \| `(bench/[\w/]+\.py)` \| (.+) \|$", (DOCS / "architecture.md").read_text("utf-8"), re.M
    )
    assert len(rows) > 10
    missing = [
        f"{path}: {name}"
        for path, text in rows
        for name in re.findall(r"`([A-Za-z_]\w+)`", text)
        if not re.search(rf"^(?:class|def) {name}\b|^{name}\b.* = ", (ROOT / path).read_text(encoding="utf-8"), re.M)
    ]
    assert missing == []
