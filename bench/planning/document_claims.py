"""Makes docs/claims.md from the catalogue: ``python -m bench.planning.document_claims [FOLDER]``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from bench.model import Claim, Comparison, Scenario
from bench.planning.catalogue import all_scenarios

DOCS = Path(__file__).resolve().parents[2] / "docs"

INTRODUCTION = """\
# Claims

This document is generated from `apps/*/scenario.py` by `nox -s docs`. Do not edit it.

A claim is a statement that a measurement can refute. It is **confirmed** when all its comparisons hold beyond their
uncertainty, **refuted** when one of them is contradicted beyond it, and **inconclusive** otherwise
([statistics.md](statistics.md#verdicts)). Requests/s of two variants are compared within each round. "Equivalent" means
within 5 %.

{count} claims in {scenarios} scenarios. {guide} of them restate, in our own words, what a guide to async and sync endpoints
in FastAPI says. The others are ours.

## What the guide says

- One thread serves all `async def` endpoints. It can hold hundreds of requests, as long as each of them awaits.
- Plain `def` endpoints run on a pool of worker threads. The keyword alone is neither fast nor slow.
- Use `async def` with asynchronous libraries, and plain `def` with blocking ones.
- One blocking call in `async def` delays every other request, and health checks then time out.
- Three fixes: await an asynchronous equivalent, use plain `def`, or call `run_in_threadpool`.
- Neither `async def` nor threads speed up computing in pure Python. That needs more processes.

## The guide's questions, and the claims that answer them

{questions}
"""

METRICS = {
    "throughput_rps": "requests/s",
    "latency_p50_ms": "median latency",
    "latency_p90_ms": "p90 latency",
    "latency_p99_ms": "p99 latency",
    "server_cpu_per_request_ms": "CPU time per request",
    "loop_lag_p99_ms": "p99 loop lag",
}
"""Names of metrics in sentences."""


def documents() -> dict[str, str]:
    """The text of the generated file, by its path relative to docs/."""
    scenarios = all_scenarios()
    claims = [claim for scenario in scenarios for claim in scenario.claims]
    introduction = INTRODUCTION.format(
        count=len(claims),
        scenarios=len(scenarios),
        guide=sum(claim.guide for claim in claims),
        questions=_questions(scenarios),
    )
    return {"claims.md": "\n".join([introduction, *(_section(scenario) for scenario in scenarios)])}


def in_words(comparison: Comparison, scenario: Scenario) -> str:
    """One clause: "requests/s with `awaited`: above 10 times `blocking_call`"."""
    metric = METRICS.get(comparison.metric, f"`{comparison.metric}`")
    if comparison.endpoint and comparison.endpoint != scenario.endpoint:
        metric = f"{metric} of {comparison.endpoint}"
    subject = f"{metric} with `{comparison.variant}`"
    return f"{subject}: {comparison.relation}{_preposition(comparison)} {_threshold(comparison)}"


def _preposition(comparison: Comparison) -> str:
    return " to" if comparison.relation == "equivalent" else ""


def _threshold(comparison: Comparison) -> str:
    if isinstance(comparison.other, str):
        factor = "" if comparison.factor == 1 else f"{comparison.factor:g} times "
        return f"{factor}`{comparison.other}`"
    value = comparison.other * comparison.factor
    if comparison.metric.endswith("_ms"):
        return f"{value:.4g} ms"
    return f"{value:.3g} requests/s" if comparison.metric.endswith("_rps") else f"{value:.4g}"


def _questions(scenarios: Iterable[Scenario]) -> str:
    answers: dict[str, list[str]] = {}
    for scenario in scenarios:
        for claim in scenario.claims:
            if claim.question:
                link = f"[{scenario.name}: `{claim.name}`](#{scenario.name})"
                answers.setdefault(claim.question, []).append(link)
    items = [f"- {question}\n" + "\n".join(f"  - {link}" for link in links) for question, links in answers.items()]
    return "\n".join(items)


def _section(scenario: Scenario) -> str:
    lines = [
        f"## {scenario.name}\n",
        f"{scenario.question}\n",
        f"Measured by `async-bench bench {scenario.name}`. Declared in",
        f"[apps/{scenario.name}/scenario.py](../apps/{scenario.name}/scenario.py).\n",
        "| claim | from the guide | what is compared |",
        "|---|---|---|",
        *(_row(claim, scenario) for claim in scenario.claims),
    ]
    return "\n".join(lines) + "\n"


def _row(claim: Claim, scenario: Scenario) -> str:
    compared = "<br>".join(in_words(comparison, scenario) for comparison in claim.comparisons)
    return f"| {claim.statement} `{claim.name}` | {'yes' if claim.guide else ''} | {compared} |"


def write(folder: Path) -> None:
    """Write the generated document into ``folder``."""
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
