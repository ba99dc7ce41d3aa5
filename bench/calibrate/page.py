"""results/calibration/ as a page of its own, and as the sentences that every run's page quotes of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis.statistics import mean_interval, spread_ratio
from bench.calibrate import analysis as measured
from bench.calibrate import charts as charts
from bench.calibrate.analysis import AFTER, FAST, OURS, TURNS, WRK, Calibration, Ratio, Tried, read_calibration
from bench.model import PROFILES
from bench.report.pages.index_page import flat, inline, utc
from bench.report.pages.section import environment
from bench.report.text import formatting
from bench.results import files

MOST_THROUGHPUT, SOME_OF_WRK, AIM_OF_WRK, MOST_CPU = 10.0, 0.7, 0.9, 0.1
"""By FastHttpUser's requests/s at least, by wrk's at least and as an aim, by FastHttpUser's CPU a request at most: a
generator as dear as the server that it measures measures itself."""
MOST_LAG = 1.5
"""By the bare loop's, which is the machine's own limit."""
MOST_OFF_SHARE, MOST_OFF_MS = 0.02, 2.0
"""From arithmetic, whichever is more: the histograms' own steps and a wake-up are within that."""
MOST_NOISE = 1 / 3
LEAST_PROBED = 0.98
"""By that of one after another: as good as nine times the rounds."""

MOST_FALSE, LEAST_FOUND = 0.1, 0.9
"""A true 5 % test calls at most 4 of 40 identical pairs different 95 times in 100."""

SAME_MACHINE: dict[str, tuple[str, ...]] = {
    "CPU model": ("cpu", "model"),
    "cores": ("cpu", "cores_logical"),
    "kernel": ("kernel",),
    "Python": ("python", "version"),
}
"""What two fingerprints must share for a calibration to speak of a run, and where they keep it."""


def draw_calibration(folder: Path) -> Path:
    """Write charts/ and index.html into ``folder`` and return the page. What is missing or broken is said there.

    Raises OSError when the folder cannot be written.
    """
    calibration = read_calibration(folder)
    drawings = charts.draw(calibration)
    shown = folder / "charts"
    for drawing in drawings:
        files.write_text(shown / f"{drawing.name}.svg", drawing.svg)
        files.write_bytes(shown / f"{drawing.name}.png", drawing.png)
    for gone in {*measured.PARTS} - {drawing.name for drawing in drawings}:
        for suffix in ("svg", "png"):
            (shown / f"{gone}.{suffix}").unlink(missing_ok=True)
    content = _page(calibration, [(drawing.svg, drawing.alt) for drawing in drawings])
    html = environment().get_template("calibration.html.j2").render(page=content, dash=formatting.DASH)
    files.write_text(folder / "index.html", html)
    return folder / "index.html"


def quote(folder: Path, machine: Mapping[str, Any]) -> tuple[str, ...]:
    """What a run on ``machine`` says of the calibration in ``folder``, in plain sentences; nothing if there is none.

    quote(Path("results/calibration"), run.machine)
    # ("On this machine the generator reaches 50,000 requests/s on one core (17 times less CPU …", )
    """
    if not folder.is_dir():
        return ()
    calibration = read_calibration(folder)
    differing = _differing(calibration.machine, machine)
    sentences = []
    if told := _told(calibration):
        sentences.append(f"On {'another' if differing else 'this'} machine {told}.")
        if differing:
            keys = "; ".join(f"{key}: {there} there, {here} here" for key, there, here in differing)
            sentences.append(f"That is not the machine of this run, so its limits here are not known ({keys}).")
    if calibration.troubles:
        sentences.append(f"Of the calibration was refused: {'; '.join(map(formatting.clean, calibration.troubles))}.")
    return tuple(sentences)


def _told(calibration: Calibration) -> str:
    """The three figures that bound what a run can see, as far as they were measured."""
    clauses = list(_clauses(calibration))
    if len(clauses) > 1:
        clauses[-1] = f"and {clauses[-1]}"
    return (", " if len(clauses) > 2 else " ").join(clauses)


def _clauses(calibration: Calibration) -> Iterator[str]:
    own = [row.requests_per_s for row in calibration.generators if row.generator == OURS]
    if own:
        cpu = measured.cpu_ratio(calibration.generators, FAST, OURS)
        less = f" ({cpu.median:.0f} times less CPU per request than {FAST})" if cpu and cpu.median > 1.5 else ""
        yield f"the generator reaches {charts.three_digits(statistics.median(own))} requests/s on one core{less}"
    lag_us = [row.p50_us for row in calibration.lag if (row.generator, row.rate_rps) == (OURS, charts.LAG_RATE_RPS)]
    if lag_us:
        subject = "" if own else "the generator "
        lag = charts.us(statistics.median(lag_us))
        yield f"{subject}sends with a median lag of {lag} at {charts.LAG_RATE_RPS:,} req/s"
    if turns := measured.noise_spread(calibration.noise, TURNS):
        yield f"two identical variants that take turns differ by {formatting.share(turns.value)} (standard deviation)"


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(key, there, here) of what makes two machines different."""
    pairs = {key: (_at(there, path), _at(here, path)) for key, path in SAME_MACHINE.items()}
    return [
        (key, formatting.clean(one, 80), formatting.clean(other, 80))
        for key, (one, other) in pairs.items()
        if one != other
    ]


def _at(mapping: Any, path: tuple[str, ...]) -> str:
    for key in path:
        mapping = mapping.get(key) if isinstance(mapping, Mapping) else None
    return "unknown" if mapping is None else str(mapping)


@dataclass(frozen=True)
class CalibrationTarget:
    """One line of the table: what is asked, what was measured, and whether that is enough; None: not measured."""

    name: str
    asked: str
    figure: str
    note: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """In words: colour alone says nothing to many."""
        return {True: "met", False: "not met", None: "not measured"}[self.met]


def targets(calibration: Calibration) -> list[CalibrationTarget]:
    """Everything that is asked of the harness and can be read off its calibration."""
    rows = calibration.generators
    return [
        _at_least(f"Requests/s, by {FAST}'s", MOST_THROUGHPUT, measured.throughput_ratio(rows, OURS, FAST)),
        _at_least(f"Requests/s, by {WRK}'s", SOME_OF_WRK, measured.throughput_ratio(rows, OURS, WRK), AIM_OF_WRK),
        _at_most(f"CPU per request, by {FAST}'s", MOST_CPU, measured.cpu_ratio(rows, OURS, FAST)),
        *(
            _at_most(
                f"{'p99' if p99 else 'p50'} of the lag at {charts.LAG_RATE_RPS:,} requests/s, by a bare sleep loop's",
                MOST_LAG,
                measured.lag_ratio(calibration.lag, charts.LAG_RATE_RPS, p99),
            )
            for p99 in (False, True)
        ),
        _freeze_target(calibration),
        _noise_target(calibration),
        _memory_target(calibration),
        _overhead_target(calibration),
        _probe_target(calibration),
        *_verdict_targets(calibration),
    ]


def _at_least(name: str, least: float, ratio: Ratio | None, aim: float | None = None) -> CalibrationTarget:
    asked = f"at least {least:g} ×" + (f", aim {aim:g} ×" if aim else "")  # noqa: RUF001
    return _ratio_target(name, asked, ratio, ratio is not None and ratio.median >= least)


def _at_most(name: str, most: float, ratio: Ratio | None) -> CalibrationTarget:
    return _ratio_target(name, f"at most {most:g} ×", ratio, ratio is not None and ratio.median <= most)  # noqa: RUF001


def _ratio_target(name: str, asked: str, ratio: Ratio | None, met: bool) -> CalibrationTarget:
    if ratio is None:
        return CalibrationTarget(name, asked, formatting.DASH, "", None)
    return CalibrationTarget(name, asked, _exactly(ratio.median), _range(ratio), met)


def _exactly(ratio: float, like: float | None = None) -> str:
    """Digits enough to see on which side of its target it is; as many as ``like`` has."""
    return f"{ratio:.{3 if (like or ratio) < 0.2 else 2}f} ×"  # noqa: RUF001


def _range(ratio: Ratio) -> str:
    if ratio.rounds == 1:
        return "one round"
    span = formatting.span(_exactly(ratio.low, ratio.median), _exactly(ratio.high, ratio.median))
    return f"median of {ratio.rounds} rounds, {span}"


def _freeze_target(calibration: Calibration) -> CalibrationTarget:
    name = "Response times of a server that freezes, against arithmetic"
    asked = f"within {100 * MOST_OFF_SHARE:g} % or {MOST_OFF_MS:g} ms"
    found = measured.deviations(calibration.freeze)
    if not found:
        return CalibrationTarget(name, asked, formatting.DASH, "", None)
    worst = max(found, key=lambda deviation: deviation.off_ms)
    beyond = [d for d in found if d.off_ms > max(MOST_OFF_MS, MOST_OFF_SHARE * d.expected_ms)]
    figure = f"{worst.off_ms:.1f} ms, {100 * worst.off_share:.2f} %"
    note = f"the largest, at p{worst.percentile:g}"
    if beyond:
        note += f"; beyond: {', '.join(f'p{at:g}' for at in sorted({d.percentile for d in beyond}))}"
    return CalibrationTarget(name, asked, figure, note, not beyond)


def _noise_target(calibration: Calibration) -> CalibrationTarget:
    name, asked = f"Noise of {TURNS}, by that of {AFTER}", f"at most {MOST_NOISE:.2f} ×"  # noqa: RUF001
    turns, after = (measured.noise_spread(calibration.noise, method) for method in (TURNS, AFTER))
    if turns is None or after is None or after.value == 0:
        return CalibrationTarget(name, asked, formatting.DASH, "", None)
    ratio = turns.value / after.value
    interval = spread_ratio(turns, after)
    note = f"95 % interval {formatting.span(*(_exactly(end, ratio) for end in interval))}, " if interval else ""
    return CalibrationTarget(name, asked, _exactly(ratio), f"{note}{turns.n} rounds", ratio <= MOST_NOISE)


def _memory_target(calibration: Calibration) -> CalibrationTarget:
    rows = calibration.memory
    growth = measured.growth_mb(rows)
    name, asked = (
        "Memory of the recorder",
        f"at most {charts.MEMORY_MB:g} MB more at 10 million requests than at 100 thousand",
    )
    if growth is None:
        return CalibrationTarget(name, asked, formatting.DASH, "", None)
    fewest, most = (charts.many(pick(row.requests for row in rows)) for pick in (min, max))
    return CalibrationTarget(name, asked, f"{growth:+.1f} MB", f"from {fewest} to {most}", growth <= charts.MEMORY_MB)


def _overhead_target(calibration: Calibration) -> CalibrationTarget:
    name = "A lineup of N servers, beyond its load"
    asked = f"at most {charts.OVERHEAD_S:g} + {charts.OVERHEAD_EACH_S:g}·N s"
    middle = measured.overheads_s(calibration.overhead)
    if not middle:
        return CalibrationTarget(name, asked, formatting.DASH, "", None)
    worst = max(middle, key=lambda servers: middle[servers] - charts.allowed_s(servers))
    over_s = middle[worst] - charts.allowed_s(worst)
    note = f"of {charts.allowed_s(worst):.1f} s with {charts.servers(worst)}, the tightest; median of rounds"
    return CalibrationTarget(name, asked, f"{middle[worst]:.2f} s", note, over_s <= 0)


def _probe_target(calibration: Calibration) -> CalibrationTarget:
    name, asked = "Throughput with the probe, by that without", f"95 % interval above {LEAST_PROBED:g} ×"  # noqa: RUF001
    interval = mean_interval([row.log_ratio for row in calibration.probe])
    if interval is None:
        return CalibrationTarget(name, asked, formatting.DASH, "", None)
    mean = f"{math.exp(interval.mean):.3f} ×"  # noqa: RUF001
    if interval.low is None or interval.high is None:
        return CalibrationTarget(name, asked, mean, "one round, no interval", False)
    low, high = math.exp(interval.low), math.exp(interval.high)
    return CalibrationTarget(
        name, asked, mean, f"{low:.3f} to {high:.3f}, {len(calibration.probe)} rounds", low > LEAST_PROBED
    )


def _verdict_targets(calibration: Calibration) -> Iterator[CalibrationTarget]:
    """False alarms and findings of standard and thorough runs, put together from the rounds of this calibration."""
    rows = calibration.verdicts
    standard, thorough = (PROFILES[name].rounds for name in ("standard", "thorough"))
    same = measured.tried_verdicts(rows, 0, standard)
    yield _tried_target(
        "Identical variants called different",
        f"at most {formatting.share(MOST_FALSE)} of pairs, {standard} rounds each",
        same,
        same.different if same else 0,
        f"; {formatting.share(same.equivalent / same.pairs)} proven equivalent" if same else "",
        lambda share: share <= MOST_FALSE,
    )
    for percent, rounds in ((10, standard), (5, thorough)):
        found = measured.tried_verdicts(rows, percent, rounds)
        by = measured.slowed_by(rows, percent)
        yield _tried_target(
            f"A slowdown of {percent} % found",
            f"in at least {formatting.share(LEAST_FOUND)} of comparisons, {rounds} rounds each",
            found,
            found.slower if found else 0,
            f"; {100 * by[0]:.1f} % more CPU a request, {100 * by[1]:.1f} % fewer requests/s" if by else "",
            lambda share: share >= LEAST_FOUND,
        )


def _tried_target(
    name: str, asked: str, tried: Tried | None, count: int, besides: str, met: Callable[[float], bool]
) -> CalibrationTarget:
    if tried is None:
        return CalibrationTarget(name, asked, formatting.DASH, "", None)
    note = f"{tried.runs} runs put together from the rounds, {tried.disjoint} of them of rounds of their own{besides}"
    return CalibrationTarget(name, asked, f"{count} of {tried.pairs}", note, met(count / tried.pairs))


REASONS = {
    "generators": "Every generator loads the same server from one core with 32 connections, in a new order in every "
    "round; the server counts the requests. Ratios are taken within a round.",
    "lag": "How late a request is sent after its moment in the timetable, beside a loop that does nothing but sleep to "
    "the same timetable: the machine's own limit.",
    "freeze": "The server stands still like a blocked event loop. What a request then takes can be computed, the "
    "lowest percentile measured being what it takes otherwise. A closed loop stops asking during the freeze, so few "
    "of its requests meet it.",
    "memory": "Resident memory of a process after it has recorded so many latencies through to the files.",
    "overhead": "Starting servers and Locust, waiting until they are ready, and stopping them.",
    "probe": "A trivial endpoint with the probe in its server and without, taking turns; the interval is Student's t "
    "over the rounds' log ratios.",
    "verdicts": "Six servers of the same code take turns; two of them count in a loop besides, for so long that they "
    "serve 5 and 10 % less. Rounds are as long as a standard run's, and are put together to runs of as many: "
    "shuffled and cut, and shuffled again when they are used up. Runs of different shuffles share rounds, and pairs of "
    "one run share servers, so the counts tell less than as many independent runs would.",
    "noise": "The same app under two names. Both ways measure each variant equally long; the standard deviation is "
    "about zero, the true difference.",
}
"""How each part was measured, in the words of the page."""


def _page(calibration: Calibration, drawn: list[tuple[str, str]]) -> dict[str, Any]:
    asked = targets(calibration)
    rows = _rows_of(calibration)
    refused = {trouble.split(".csv:")[0] for trouble in calibration.troubles}
    missing = [part for part in measured.PARTS if not rows[part] and part not in refused]
    judged = [target for target in asked if target.met is not None]
    told = _told(calibration)
    return {
        "title": "Calibration",
        "headline": _headline(calibration) or "Nothing to report yet",
        "told": f"On this machine {told}." if told else "",
        "summary": f"{sum(target.met is True for target in judged)} of {len(judged)} targets met" if judged else "",
        "targets": asked,
        "charts": [inline(svg, alt) for svg, alt in drawn],
        "missing": missing,
        "troubles": [formatting.clean(trouble) for trouble in calibration.troubles],
        "parts": [_part(calibration, part) for part in measured.PARTS if rows[part]],
        "null_server": formatting.clean(calibration.null_server, 80) or "not recorded",
        "facts": list(flat("", calibration.machine)),
    }


def _headline(calibration: Calibration) -> str:
    """How fast the generator is and how small a difference can be seen."""
    told = []
    if own := [row.requests_per_s for row in calibration.generators if row.generator == OURS]:
        told.append(f"{charts.three_digits(statistics.median(own))} requests/s from one core")
    if turns := measured.noise_spread(calibration.noise, TURNS):
        told.append(f"identical variants {formatting.share(turns.value)} apart".replace(" %", "\N{NO-BREAK SPACE}%"))
    return " and ".join(told) or ("Some parts were measured" if any(_rows_of(calibration).values()) else "")


def _rows_of(calibration: Calibration) -> dict[str, tuple[Any, ...]]:
    return {part: getattr(calibration, part) for part in measured.PARTS}


def _part(calibration: Calibration, part: str) -> dict[str, str]:
    known = calibration.parts.get(part, {})
    rounds, at = known.get("rounds"), known.get("measured_unix_s")
    numbers = {row.round for row in getattr(calibration, part) if hasattr(row, "round")}
    counted = len(numbers) or (rounds if isinstance(rounds, int) else 1)
    when = utc(at) if isinstance(at, int | float) and 0 <= at < 1e11 else ""
    seed = f", seed {formatting.clean(known['seed'], 40)}" if "seed" in known else ""
    return {
        "name": part,
        "how": REASONS[part],
        "when": f"{counted} {'round' if counted == 1 else 'rounds'}{seed}{f', {when}' if when else ''}",
    }
