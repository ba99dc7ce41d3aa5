"""index.html: one self-contained file that needs nothing else, no script and no network.

Everything that comes from a run (names, questions, log lines) goes through wording.clean and the template's
autoescape. Only three things enter as markup: our own charts' SVG, our own advice, and the highlighted code, all of
them escaped by their makers.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from bench.analysis.frames import Frames, LeftOut, Run, Trouble, VariantInfo
from bench.analysis.summary import Summary
from bench.report import findings, wording
from bench.report.server_section import server_section

TEMPLATES = Path(__file__).parent / "templates"

TROUBLES_SHOWN = 40
"""More would bury the rest of the page; their files still have them."""

CODE_LIMIT = 20_000
"""Characters of a variant's file that are shown. Ours have 10 to 40 lines."""


@dataclass(frozen=True)
class Result:
    """One scenario, analysed and drawn. ``charts`` are (SVG text, title for those who cannot see it)."""

    frames: Frames
    summary: Summary
    charts: tuple[tuple[str, str], ...]


def page(run: Run, results: Sequence[Result], root: Path, calibration: Sequence[str] = ()) -> str:
    """The page's HTML. ``root`` is the repository, where run.json's file names of variants start.

    ``calibration`` are the sentences that are quoted of the machine's calibration.
    """
    content = _page(run, results, root, calibration)
    return environment().get_template("index.html.j2").render(page=content, dash=wording.DASH)


def environment() -> Environment:
    """Where templates come from: what they are given is escaped, and what they miss is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _page(run: Run, results: Sequence[Result], root: Path, calibration: Sequence[str]) -> dict[str, Any]:
    troubles = [trouble for result in results for trouble in result.frames.troubles]
    left_out = [left for result in results for left in result.frames.left_out]
    headline = _headline(results)
    return {
        "title": headline,
        "run": wording.clean(run.name, 80),
        "created": utc(run.created_unix_s),
        "headline": headline,
        "notes": _notes(results, troubles, left_out),
        "sections": [_section(result, root) for result in results],
        "troubles": [_trouble(trouble) for trouble in troubles[:TROUBLES_SHOWN]],
        "troubles_left_off": max(0, len(troubles) - TROUBLES_SHOWN),
        "left_out": [_left_out(left) for left in left_out],
        "calibration": list(calibration),
        "facts": list(_facts(run, results)),
        "command": wording.clean(run.command, 2000) or "The run does not say how it was started.",
        "redraw": wording.clean(f"nox -s report -- results/{shlex.quote(run.name)}", 200),
    }


def _headline(results: Sequence[Result]) -> str:
    """The finding of the scenario whose trap costs most."""
    told = [result for result in results if result.frames.variants]
    if not told:
        return "Nothing to report yet: no trial of a complete round gave evidence."
    worst = max(told, key=_cost)
    return findings.headline(worst.frames, worst.summary)


def _cost(result: Result) -> float:
    """By what factor the trap is slower than the best fix; 0 without either."""
    cast = findings.cast_of(result.frames, result.summary)
    if cast.trap is None or not cast.fixes:
        return 0.0
    endpoint = result.frames.scenario.endpoint
    best = result.summary.value(cast.fixes[-1].name, endpoint, "throughput_rps") or 0.0
    trap = result.summary.value(cast.trap.name, endpoint, "throughput_rps") or 0.0
    return best / max(trap, 1e-9)


def _notes(results: Sequence[Result], troubles: Sequence[Trouble], left_out: Sequence[LeftOut]) -> list[str]:
    notes = []
    if troubles:
        statuses = {status: sum(t.status == status for t in troubles) for status in ("failed", "invalid", "refused")}
        counted = ", ".join(f"{n} {status}" for status, n in statuses.items() if n)
        notes.append(f"Kept out of every number, and listed below: {counted}.")
    if left_out:
        notes.append(f"Left out: {len(left_out)} {_plural(len(left_out), 'round')} cut short.")
    if any(max(map(len, _round_lists(result)), default=0) == 1 for result in results):
        notes.append("One round, no interval: the differences here are not proven to repeat.")
    return notes


def _round_lists(result: Result) -> Iterable[tuple[int, ...]]:
    return [result.frames.rounds(variant.name) for variant in result.frames.variants]


def _section(result: Result, root: Path) -> dict[str, Any]:
    frames, summary = result.frames, result.summary
    return {
        "anchor": f"scenario-{re.sub(r'[^A-Za-z0-9_-]', '_', frames.scenario.name)[:80]}",
        "name": wording.clean(frames.scenario.name, 60),
        "question": wording.clean(frames.scenario.question),
        "measured": _measured(frames),
        "answer": findings.answer(frames, summary),
        "charts": [inline(svg, alt) for svg, alt in result.charts],
        "columns": findings.COLUMNS,
        "rows": findings.table(frames, summary),
        "server": server_section(frames, summary, root),
        "code": [shown for variant in frames.scenario.variants if (shown := _code(variant, root))],
    }


def _measured(frames: Frames) -> str:
    """``32 users, 5 rounds, 3.0 s measured a variant and round (profile standard)``."""
    scenario = frames.scenario
    load = f"{scenario.users} users" if scenario.users is not None else f"{scenario.rate_rps:g} requests/s offered"
    rounds = max((len(numbers) for numbers in (frames.rounds(v.name) for v in frames.variants)), default=0)
    said = [load, f"{rounds} {_plural(rounds, 'round')}"]
    if len(frames.trials):
        shortest, longest = (
            float(value) for value in (frames.trials["measured_s"].min(), frames.trials["measured_s"].max())
        )
        seconds = wording.span(f"{shortest:.1f} s", f"{longest:.1f} s")
        said.append(f"{seconds} measured a variant and round")
    profile = f" (profile {wording.clean(scenario.profile, 40)})" if scenario.profile else ""
    return ", ".join(said) + profile


def inline(svg: str, alt: str) -> Markup:
    """The chart for the page: an image to a screen reader, with its finding as the name."""
    label = Markup(' role="img" aria-label="{}"').format(wording.clean(alt))
    return Markup(svg.replace("<svg", f"<svg{label}", 1))


def _code(variant: VariantInfo, root: Path) -> dict[str, Any] | None:
    text = _source(variant, root)
    if text is None:
        return None
    name, summary = wording.name_of(variant), wording.summary_of(variant)
    return {"name": name, "summary": summary, "role": variant.role, "code": _highlighted(text)}


def _source(variant: VariantInfo, root: Path) -> str | None:
    """The code that was measured, from run.json; else the file of today, if it lies within the repository."""
    if "\n" in variant.source:
        return wording.clean_lines(variant.source[:CODE_LIMIT], CODE_LIMIT)
    path = (root / variant.file).resolve()
    if not variant.file.endswith(".py") or not path.is_relative_to(root.resolve()) or not path.is_file():
        return None
    return wording.clean_lines(path.read_text(encoding="utf-8", errors="replace")[:CODE_LIMIT], CODE_LIMIT)


def _highlighted(code: str) -> Markup:
    """Python in colours where pygments is there (rich brings it), else plain; escaped either way."""
    try:
        from pygments import highlight
        from pygments.formatters.html import HtmlFormatter
        from pygments.lexers.python import PythonLexer
    except ImportError:
        return escape(code)
    return Markup(highlight(code.strip(), PythonLexer(), HtmlFormatter(nowrap=True)))


def _trouble(trouble: Trouble) -> dict[str, Any]:
    title = f"{wording.clean(trouble.scenario, 60)} / {wording.clean(trouble.variant, 60)}, round {trouble.round}"
    reasons = [wording.clean(reason) for reason in trouble.reasons[:10]]
    reasons.append(f"Files: {wording.clean(trouble.where)}")
    tail = wording.clean_lines(trouble.log_tail) if trouble.log_tail else ""
    return {"status": trouble.status, "title": title, "reasons": reasons, "log_tail": tail}


def _left_out(left: LeftOut) -> str:
    missing = ", ".join(wording.clean(name, 60) for name in left.missing)
    return f"{wording.clean(left.scenario, 60)}, round {left.round}: {missing} not measured"


def _facts(run: Run, results: Sequence[Result]) -> Iterable[tuple[str, str]]:
    for key, value in flat("", run.machine):
        yield key, value
    for key, value in flat("git", run.git if isinstance(run.git, dict) else {}):
        yield key, value
    for result in results:
        scenario = result.frames.scenario
        yield f"seed of {wording.clean(scenario.name, 60)}", wording.clean(scenario.seed)


def flat(prefix: str, mapping: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Nested facts as lines: ``versions uvicorn``: ``0.54``."""
    for key, value in mapping.items():
        name = f"{prefix} {key}".strip().replace("_", " ")
        if isinstance(value, dict):
            yield from flat(name, value)
        elif value not in (None, "", []):
            said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield wording.clean(name, 80), wording.clean(said)


def utc(unix_s: float | None) -> str:
    return "" if unix_s is None else f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M} UTC"


def _plural(n: int, noun: str) -> str:
    return noun if n == 1 else f"{noun}s"
