"""The table of targets: what the harness must reach, and what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.analysis.intervals import mean_interval, spread_ratio
from bench.calibrate import calibration_figures as figures
from bench.calibrate.calibration_figures import PairedRatio, TriedVerdicts
from bench.calibrate.calibration_files import Calibration
from bench.calibrate.calibration_words import many, servers
from bench.calibrate.limits import (
    AIM_OF_WRK,
    LAG_RATE_RPS,
    MAX_CPU_OF_FAST_HTTP_USER,
    MAX_FALSE_SHARE,
    MAX_LAG_RATIO,
    MAX_MEMORY_MB,
    MAX_NOISE_RATIO,
    MAX_OFF_MS,
    MAX_OFF_SHARE,
    MIN_FOUND_SHARE,
    MIN_OF_FAST_HTTP_USER,
    MIN_OF_WRK,
    MIN_PROBED_RATIO,
    OVERHEAD_PER_SERVER_S,
    OVERHEAD_S,
    max_overhead_s,
)
from bench.calibrate.rows import FAST_HTTP_USER, ONE_AFTER_ANOTHER, OUR_GENERATOR, TAKING_TURNS, WRK
from bench.model import PROFILES
from bench.report.text import formatting


@dataclass(frozen=True)
class CalibrationTarget:
    """One row of the table: the target, the figure, and whether it is met. None: not measured."""

    name: str
    target: str
    """The limit in words: ``at least 10 ×``."""  # noqa: RUF001
    figure: str
    note: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """In words, since not everyone sees the colour."""
        return {True: "met", False: "not met", None: "not measured"}[self.met]


def targets(calibration: Calibration) -> list[CalibrationTarget]:
    """Every target, with the figure that was measured."""
    rows = calibration.generators
    return [
        _at_least(
            f"Throughput relative to {FAST_HTTP_USER}",
            MIN_OF_FAST_HTTP_USER,
            figures.throughput_ratio(rows, OUR_GENERATOR, FAST_HTTP_USER),
        ),
        _at_least(
            f"Throughput relative to {WRK}", MIN_OF_WRK, figures.throughput_ratio(rows, OUR_GENERATOR, WRK), AIM_OF_WRK
        ),
        _at_most(
            f"CPU per request relative to {FAST_HTTP_USER}",
            MAX_CPU_OF_FAST_HTTP_USER,
            figures.cpu_ratio(rows, OUR_GENERATOR, FAST_HTTP_USER),
        ),
        *(
            _at_most(
                f"Lag at {LAG_RATE_RPS:,} requests/s relative to a bare sleep loop, {'p99' if p99 else 'p50'}",
                MAX_LAG_RATIO,
                figures.lag_ratio(calibration.lag, LAG_RATE_RPS, p99),
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


def _at_least(name: str, minimum: float, ratio: PairedRatio | None, aim: float | None = None) -> CalibrationTarget:
    target = f"at least {minimum:g} ×" + (f", aim {aim:g} ×" if aim else "")  # noqa: RUF001
    return _ratio_target(name, target, ratio, ratio is not None and ratio.median >= minimum)


def _at_most(name: str, maximum: float, ratio: PairedRatio | None) -> CalibrationTarget:
    return _ratio_target(name, f"at most {maximum:g} ×", ratio, ratio is not None and ratio.median <= maximum)  # noqa: RUF001


def _ratio_target(name: str, target: str, ratio: PairedRatio | None, met: bool) -> CalibrationTarget:
    if ratio is None:
        return CalibrationTarget(name, target, formatting.DASH, "", None)
    return CalibrationTarget(name, target, _exactly(ratio.median), _range(ratio), met)


def _exactly(ratio: float, like: float | None = None) -> str:
    """With enough digits to see on which side of the target it is: as many as ``like`` has."""
    return f"{ratio:.{3 if (like or ratio) < 0.2 else 2}f} ×"  # noqa: RUF001


def _range(ratio: PairedRatio) -> str:
    if ratio.rounds == 1:
        return "one round"
    span = formatting.span(_exactly(ratio.low, ratio.median), _exactly(ratio.high, ratio.median))
    return f"median of {ratio.rounds} rounds, {span}"


def _freeze_target(calibration: Calibration) -> CalibrationTarget:
    name = "Response times of a server that freezes, against the computed ones"
    target = f"within {100 * MAX_OFF_SHARE:g} % or {MAX_OFF_MS:g} ms"
    found = figures.deviations(calibration.freeze)
    if not found:
        return CalibrationTarget(name, target, formatting.DASH, "", None)
    worst = max(found, key=lambda deviation: deviation.off_ms)
    beyond = [d for d in found if d.off_ms > max(MAX_OFF_MS, MAX_OFF_SHARE * d.expected_ms)]
    figure = f"{worst.off_ms:.1f} ms, {100 * worst.off_share:.2f} %"
    note = f"largest deviation, at p{worst.percentile:g}"
    if beyond:
        note += f"; beyond: {', '.join(f'p{at:g}' for at in sorted({d.percentile for d in beyond}))}"
    return CalibrationTarget(name, target, figure, note, not beyond)


def _noise_target(calibration: Calibration) -> CalibrationTarget:
    name, target = f"Noise of {TAKING_TURNS} relative to {ONE_AFTER_ANOTHER}", f"at most {MAX_NOISE_RATIO:.2f} ×"  # noqa: RUF001
    turns, after = (figures.noise_spread(calibration.noise, method) for method in (TAKING_TURNS, ONE_AFTER_ANOTHER))
    if turns is None or after is None or after.value == 0:
        return CalibrationTarget(name, target, formatting.DASH, "", None)
    ratio = turns.value / after.value
    interval = spread_ratio(turns, after)
    note = f"95 % interval {formatting.span(*(_exactly(end, ratio) for end in interval))}, " if interval else ""
    return CalibrationTarget(
        name,
        target,
        _exactly(ratio),
        f"{note}{turns.n} {formatting.plural(turns.n, 'round')}",
        ratio <= MAX_NOISE_RATIO,
    )


def _memory_target(calibration: Calibration) -> CalibrationTarget:
    rows = calibration.memory
    growth = figures.growth_mb(rows)
    name, target = (
        "Memory of the recorder",
        f"at most {MAX_MEMORY_MB:g} MB more at 10 million requests than at 100 thousand",
    )
    if growth is None:
        return CalibrationTarget(name, target, formatting.DASH, "", None)
    fewest, most = (many(pick(row.requests for row in rows)) for pick in (min, max))
    return CalibrationTarget(name, target, f"{growth:+.1f} MB", f"from {fewest} to {most}", growth <= MAX_MEMORY_MB)


def _overhead_target(calibration: Calibration) -> CalibrationTarget:
    name = "Time a group of N servers takes beyond its load"
    target = f"at most {OVERHEAD_S:g} + {OVERHEAD_PER_SERVER_S:g}·N s"
    middle = figures.overheads_s(calibration.overhead)
    if not middle:
        return CalibrationTarget(name, target, formatting.DASH, "", None)
    worst = max(middle, key=lambda servers: middle[servers] - max_overhead_s(servers))
    over_s = middle[worst] - max_overhead_s(worst)
    note = f"of {max_overhead_s(worst):.1f} s with {servers(worst)}, the closest to its limit; median of rounds"
    return CalibrationTarget(name, target, f"{middle[worst]:.2f} s", note, over_s <= 0)


def _probe_target(calibration: Calibration) -> CalibrationTarget:
    name, target = "Throughput with the probe relative to without", f"95 % interval above {MIN_PROBED_RATIO:g} ×"  # noqa: RUF001
    interval = mean_interval([row.log_ratio for row in calibration.probe])
    if interval is None:
        return CalibrationTarget(name, target, formatting.DASH, "", None)
    mean = f"{math.exp(interval.mean):.3f} ×"  # noqa: RUF001
    if interval.low is None or interval.high is None:
        return CalibrationTarget(name, target, mean, "one round, no interval", False)
    low, high = math.exp(interval.low), math.exp(interval.high)
    return CalibrationTarget(
        name, target, mean, f"{low:.3f} to {high:.3f}, {len(calibration.probe)} rounds", low > MIN_PROBED_RATIO
    )


def _verdict_targets(calibration: Calibration) -> Iterator[CalibrationTarget]:
    """False alarms and true findings of standard and thorough runs, assembled from the rounds of this calibration."""
    rows = calibration.verdicts
    standard, thorough = (PROFILES[name].rounds for name in ("standard", "thorough"))
    same = figures.tried_verdicts(rows, 0, standard)
    yield _tried_target(
        "Identical variants called different",
        f"at most {formatting.share(MAX_FALSE_SHARE)} of pairs, {standard} rounds each",
        same,
        same.different if same else 0,
        f"; {formatting.share(same.equivalent / same.pairs)} proven equivalent" if same else "",
        lambda share: share <= MAX_FALSE_SHARE,
    )
    for percent, rounds in ((10, standard), (5, thorough)):
        found = figures.tried_verdicts(rows, percent, rounds)
        by = figures.slowed_by(rows, percent)
        yield _tried_target(
            f"A slowdown of {percent} % found",
            f"in at least {formatting.share(MIN_FOUND_SHARE)} of comparisons, {rounds} rounds each",
            found,
            found.slower if found else 0,
            f"; {100 * by[0]:.1f} % more CPU per request, {100 * by[1]:.1f} % less throughput" if by else "",
            lambda share: share >= MIN_FOUND_SHARE,
        )


def _tried_target(
    name: str, target: str, tried: TriedVerdicts | None, count: int, note_end: str, met: Callable[[float], bool]
) -> CalibrationTarget:
    if tried is None:
        return CalibrationTarget(name, target, formatting.DASH, "", None)
    note = f"{tried.runs} runs assembled from the rounds; {tried.disjoint} share no round{note_end}"
    return CalibrationTarget(name, target, f"{count} of {tried.pairs}", note, met(count / tried.pairs))
