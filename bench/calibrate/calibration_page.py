"""results/calibration/ as a page, and the sentences that the page of every run quotes from it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.calibrate import calibration_figures as figures
from bench.calibrate.calibration_files import Calibration, read_calibration
from bench.calibrate.calibration_words import three_digits, us
from bench.calibrate.limits import LAG_RATE_RPS
from bench.calibrate.part_charts import draw_part_charts
from bench.calibrate.rows import FAST_HTTP_USER, OUR_GENERATOR, PARTS, TAKING_TURNS, MemoryRow
from bench.calibrate.targets import CalibrationTarget, targets
from bench.report.pages.index_page import flat, inline, utc
from bench.report.pages.section import environment
from bench.report.text import formatting
from bench.results import files
from bench.results.schema import MachineRecord

MAX_UNIX_S = 1e11
"""The year 5138. A later time means a broken record."""

SAME_MACHINE: dict[str, tuple[str, ...]] = {
    "CPU model": ("cpu", "model"),
    "cores": ("cpu", "cores_logical"),
    "kernel": ("kernel",),
    "Python": ("python", "version"),
}
"""Facts that must be equal for a calibration to be valid for a run, and where the fingerprint has them."""


def draw_calibration(folder: Path) -> Path:
    """Write charts/ and index.html into ``folder`` and return the page. It names the parts that are missing or broken.

    Raises OSError when the folder cannot be written.
    """
    calibration = read_calibration(folder)
    drawings = draw_part_charts(calibration)
    charts = folder / "charts"
    for drawing in drawings:
        files.write_text(charts / f"{drawing.name}.svg", drawing.svg)
        files.write_bytes(charts / f"{drawing.name}.png", drawing.png)
    for without in {*PARTS} - {drawing.name for drawing in drawings}:
        for suffix in ("svg", "png"):
            (charts / f"{without}.{suffix}").unlink(missing_ok=True)
    content = _page(calibration, [(drawing.svg, drawing.alt) for drawing in drawings])
    html = (
        environment(Path(__file__).parent)
        .get_template("calibration.html.j2")
        .render(page=content, dash=formatting.DASH)
    )
    files.write_text(folder / "index.html", html)
    return folder / "index.html"


def quote(folder: Path, machine: MachineRecord | Mapping[str, Any]) -> tuple[str, ...]:
    """What the page of a run on ``machine`` quotes from the calibration in ``folder``. Nothing if there is none.

    quote(Path("results/calibration"), run.machine)
    # ("On this machine the generator reaches 50,000 requests/s on one core (17 times less CPU …",)
    """
    if not folder.is_dir():
        return ()
    calibration = read_calibration(folder)
    differing = _differing(calibration.record.machine, machine)
    sentences = []
    if summary := _summary(calibration):
        sentences.append(f"On {'another' if differing else 'this'} machine {summary}.")
        if differing:
            keys = "; ".join(f"{key}: {there} there, {here} here" for key, there, here in differing)
            sentences.append(f"This run used another machine, so the limits are not known here ({keys}).")
    if calibration.problems:
        sentences.append(
            f"Part of the calibration could not be read: {'; '.join(map(formatting.clean, calibration.problems))}."
        )
    return tuple(sentences)


def _summary(calibration: Calibration) -> str:
    """The three figures that limit what a run can detect, as far as they were measured."""
    clauses = list(_clauses(calibration))
    if len(clauses) > 1:
        clauses[-1] = f"and {clauses[-1]}"
    return (", " if len(clauses) > 2 else " ").join(clauses)


def _clauses(calibration: Calibration) -> Iterator[str]:
    rates_rps = [row.requests_per_s for row in calibration.generators if row.generator == OUR_GENERATOR]
    if rates_rps:
        cpu = figures.cpu_ratio(calibration.generators, FAST_HTTP_USER, OUR_GENERATOR)
        less = (
            f" ({cpu.median:.0f} times less CPU per request than {FAST_HTTP_USER})" if cpu and cpu.median > 1.5 else ""
        )
        yield f"the generator reaches {three_digits(statistics.median(rates_rps))} requests/s on one core{less}"
    lag_us = [row.p50_us for row in calibration.lag if (row.generator, row.rate_rps) == (OUR_GENERATOR, LAG_RATE_RPS)]
    if lag_us:
        subject = "" if rates_rps else "the generator "
        lag = us(statistics.median(lag_us))
        yield f"{subject}sends with a median lag of {lag} at {LAG_RATE_RPS:,} req/s"
    if turns := figures.noise_spread(calibration.noise, TAKING_TURNS):
        yield f"two identical variants that take turns differ by {formatting.share(turns.value)} (standard deviation)"


def _differing(there: MachineRecord, here: MachineRecord | Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(key, there, here) of each fact in which the two machines differ."""
    pairs = {key: (_at(there, path), _at(here, path)) for key, path in SAME_MACHINE.items()}
    return [
        (key, formatting.clean(one, 80), formatting.clean(other, 80))
        for key, (one, other) in pairs.items()
        if one != other
    ]


def _at(fact: object, path: tuple[str, ...]) -> str:
    for key in path:
        fact = fact.get(key) if isinstance(fact, Mapping) else getattr(fact, key, None)
    return "unknown" if fact is None else str(fact)


METHODS = {
    "generators": "Every generator loads the same server from one core with 32 connections, in a new order in every "
    "round. The server counts the requests. Ratios are taken within a round.",
    "lag": "How late a request is sent after its scheduled time, next to a loop that only sleeps to the same schedule: "
    "the limit of the machine.",
    "freeze": "The server freezes like a blocked event loop. The latencies can be computed from that, with the lowest "
    "percentile measured as the latency outside of the freeze. A closed loop sends nothing during the freeze, so few of "
    "its requests meet it.",
    "memory": "Resident memory of a process that has recorded so many latencies and written the files.",
    "overhead": "Starting the servers and Locust, waiting until they are ready, and stopping them.",
    "noise": "The same app under two names. Both methods measure each variant for the same time. The standard deviation "
    "is about zero, which is the true difference.",
    "probe": "A trivial endpoint with and without the probe in its server, taking turns. The interval is Student's t "
    "over the log ratios of the rounds.",
    "verdicts": "Six servers with the same code take turns. Two of them also run a loop that reduces their throughput "
    "by 5 % and 10 %. Rounds are as long as those of a standard run. They are shuffled and assembled to runs, and "
    "shuffled again when they are used up. Runs of different shuffles share rounds, and pairs of one run share servers, "
    "so the counts say less than those of as many independent runs.",
}
"""How each part was measured."""


@dataclass(frozen=True)
class PartSummary:
    """A part on the page."""

    name: str
    method: str
    when: str
    """Number of rounds, seed and time."""


@dataclass(frozen=True)
class CalibrationPage:
    """What the template gets."""

    headline: str
    summary: str
    verdict: str
    """``12 of 13 met``; empty if nothing was measured."""
    targets: tuple[CalibrationTarget, ...]
    charts: tuple[str, ...]
    missing: tuple[str, ...]
    problems: tuple[str, ...]
    parts: tuple[PartSummary, ...]
    null_server: str
    facts: tuple[tuple[str, str], ...]
    title: str = "Calibration"


def _page(calibration: Calibration, drawings: list[tuple[str, str]]) -> CalibrationPage:
    every = targets(calibration)
    broken = {problem.split(".csv:")[0] for problem in calibration.problems}
    judged = [target for target in every if target.met is not None]
    summary = _summary(calibration)
    return CalibrationPage(
        headline=_headline(calibration) or "Nothing to report yet",
        summary=f"On this machine {summary}." if summary else "",
        verdict=f"{sum(target.met is True for target in judged)} of {len(judged)} met" if judged else "",
        targets=tuple(every),
        charts=tuple(inline(svg, alt) for svg, alt in drawings),
        missing=tuple(part for part in PARTS if not calibration.rows[part] and part not in broken),
        problems=tuple(formatting.clean(problem) for problem in calibration.problems),
        parts=tuple(_part_summary(calibration, part) for part in PARTS if calibration.rows[part]),
        null_server=formatting.clean(calibration.record.null_server, 80) or "not recorded",
        facts=tuple(flat("", asdict(calibration.record.machine))),
    )


def _headline(calibration: Calibration) -> str:
    """The speed of the generator, and the smallest difference that can be seen."""
    clauses = []
    if rates_rps := [row.requests_per_s for row in calibration.generators if row.generator == OUR_GENERATOR]:
        clauses.append(f"{three_digits(statistics.median(rates_rps))} requests/s from one core")
    if turns := figures.noise_spread(calibration.noise, TAKING_TURNS):
        clauses.append(f"identical variants {formatting.share(turns.value)} apart".replace(" %", "\N{NO-BREAK SPACE}%"))
    return " and ".join(clauses) or ("Some parts were measured" if any(calibration.rows.values()) else "")


def _part_summary(calibration: Calibration, part: str) -> PartSummary:
    record = calibration.record.parts.get(part)
    numbers = {row.round for row in calibration.rows[part] if not isinstance(row, MemoryRow)}
    rounds = len(numbers) or (record.rounds if record else 1)
    words = [f"{rounds} {formatting.plural(rounds, 'round')}"]
    if record is not None:
        words.append(f"seed {record.seed}")
    if record is not None and 0 <= record.measured_unix_s < MAX_UNIX_S:
        words.append(utc(record.measured_unix_s))
    return PartSummary(part, METHODS[part], ", ".join(words))
