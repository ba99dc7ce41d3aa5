"""What ``nox -s calibrate`` left in results/calibration/: read, checked, and turned into figures. No words, no charts.

A part that was not measured has no rows. One whose file is broken has none either, and a line in ``troubles``.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from bench.analysis.comparisons import log_ratio, rotation_pairs, verdict_of
from bench.analysis.statistics import Spread, spread_about_zero
from bench.model import bounds
from bench.results import files

OURS, FAST, WRK, BARE = "HubHttpUser", "FastHttpUser", "wrk", "bare loop"
TURNS, AFTER = "taking turns", "one after another"

LARGEST = 1e12
"""No column's unit makes a larger number of anything that a machine can measure; one in a file is a broken file."""


@dataclass(frozen=True)
class GeneratorRow:
    """One generator in one round, on one core."""

    round: int
    generator: str
    requests_per_s: float
    cpu_us_per_request: float


@dataclass(frozen=True)
class LagRow:
    """How late the open model sent, or the bare loop woke up."""

    round: int
    generator: str
    rate_rps: int
    p50_us: float
    p99_us: float
    sent_share: float


@dataclass(frozen=True)
class FreezeRow:
    """One percentile seen of a server that stands still ``freeze_s`` in every ``every_s``."""

    round: int
    model: str
    kind: str
    percentile: float
    value_ms: float
    freeze_s: float
    every_s: float
    offered_rps: float


@dataclass(frozen=True)
class MemoryRow:
    """The recorder's resident set after so many requests."""

    requests: int
    resident_mb: float


@dataclass(frozen=True)
class OverheadRow:
    """What a lineup took beyond its load."""

    round: int
    servers: int
    overhead_s: float


@dataclass(frozen=True)
class ProbeRow:
    """ln(with / without) of the throughput of a server with the probe in it, in one round."""

    round: int
    log_ratio: float
    measured_s: float


@dataclass(frozen=True)
class NoiseRow:
    """ln(first / second) of two identical variants in one round."""

    round: int
    method: str
    log_ratio: float
    measured_s: float
    took_s: float


@dataclass(frozen=True)
class VerdictRow:
    """One turn of a variant. 0 % slowed are all the same code; the CPU per request is the whole round's."""

    round: int
    rotation: int
    variant: str
    slowed_percent: int
    rate_rps: float
    cpu_us_per_request: float


@dataclass(frozen=True)
class Calibration:
    """What is in the folder. ``parts`` is calibration.json's: when each was measured, rounds, seed."""

    folder: Path
    machine: dict[str, Any]
    null_server: str
    parts: dict[str, dict[str, Any]]
    generators: tuple[GeneratorRow, ...]
    lag: tuple[LagRow, ...]
    freeze: tuple[FreezeRow, ...]
    memory: tuple[MemoryRow, ...]
    overhead: tuple[OverheadRow, ...]
    noise: tuple[NoiseRow, ...]
    probe: tuple[ProbeRow, ...]
    verdicts: tuple[VerdictRow, ...]
    troubles: tuple[str, ...]


PARTS = ("generators", "lag", "freeze", "memory", "overhead", "noise", "probe", "verdicts")

Row = TypeVar("Row")


def read_calibration(folder: Path) -> Calibration:
    """Read everything that is there. Never raises for what a file holds: see ``troubles``."""
    troubles: list[str] = []
    header = _header(folder, troubles)
    parts = header.get("parts")
    known = {name: part for name, part in parts.items() if isinstance(part, dict)} if isinstance(parts, dict) else {}

    def rows(name: str, kind: type[Row]) -> tuple[Row, ...]:
        path = folder / f"{name}.csv"
        if not path.exists() and name not in known:
            return ()
        try:
            if "bytes" in known.get(name, {}):
                files.check_files(folder, {path.name: known[name]["bytes"]})
            return _rows(path, kind)
        except files.BrokenFile as error:
            troubles.append(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
            return ()

    machine = header.get("machine")
    return Calibration(
        folder,
        machine if isinstance(machine, dict) else {},
        str(header.get("null_server") or ""),
        known,
        rows("generators", GeneratorRow),
        rows("lag", LagRow),
        rows("freeze", FreezeRow),
        rows("memory", MemoryRow),
        rows("overhead", OverheadRow),
        rows("noise", NoiseRow),
        rows("probe", ProbeRow),
        rows("verdicts", VerdictRow),
        tuple(troubles),
    )


def _header(folder: Path, troubles: list[str]) -> dict[str, Any]:
    path = folder / "calibration.json"
    if not path.exists():
        return {}
    try:
        return files.read_json(path)
    except files.BrokenFile as error:
        troubles.append(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
        return {}


SIGNED = ("log_ratio", "overhead_s", "slowed_percent")
"""Columns that may be zero or negative. No other can."""


def _rows(path: Path, kind: type[Row]) -> tuple[Row, ...]:
    """The rows of one file, every column checked; BrokenFile says which line."""
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise files.BrokenFile(f"{path}: cannot be read ({error})") from None
    header = lines[0] if lines else []
    wanted = {field.name: str(field.type) for field in fields(kind)}  # type: ignore[arg-type]
    if missing := [name for name in wanted if name not in header]:
        raise files.BrokenFile(f"{path}: has no column {', '.join(missing)}; measure it again")
    if len(lines) < 2:
        raise files.BrokenFile(f"{path}: has no rows")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise files.BrokenFile(f"{path}: line {number} has {len(line)} columns of {len(header)}; it was cut short")
        texts = dict(zip(header, line, strict=True))
        try:
            rows.append(kind(**{name: _value(name, type_, texts[name]) for name, type_ in wanted.items()}))
        except ValueError as error:
            raise files.BrokenFile(f"{path}: line {number}: {error}") from None
    return tuple(rows)


def _value(name: str, type_: str, text: str) -> str | int | float:
    if type_ == "str":
        return text
    try:
        value = int(text) if type_ == "int" else float(text)
    except ValueError:
        raise ValueError(f"{name} is {text[:40]!r}, not a number") from None
    if not abs(value) < LARGEST or (value <= 0 and name not in SIGNED):
        raise ValueError(f"{name} cannot be {text[:40]}")
    if name == "percentile" and value >= 100:
        raise ValueError(f"{name} cannot be {text[:40]}")
    return value


@dataclass(frozen=True)
class Ratio:
    """Of two that took turns: the median over rounds of each round's own ratio, and the range."""

    median: float
    low: float
    high: float
    rounds: int


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> Ratio | None:
    """one / other round by round; None where they share no round."""
    ratios = [one[number] / other[number] for number in sorted(one.keys() & other.keys())]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), len(ratios)) if ratios else None


def by_round(rows: Iterable[Row], value: Callable[[Row], float]) -> dict[int, float]:
    """{round: value}."""
    return {row.round: value(row) for row in rows}  # type: ignore[attr-defined]


def throughput_ratio(rows: Sequence[GeneratorRow], one: str, other: str) -> Ratio | None:
    """Requests/s of one generator by another's."""
    rates = [by_round((r for r in rows if r.generator == name), lambda r: r.requests_per_s) for name in (one, other)]
    return paired(*rates)


def cpu_ratio(rows: Sequence[GeneratorRow], one: str, other: str) -> Ratio | None:
    """CPU per request of one generator by another's."""
    costs = [
        by_round((r for r in rows if r.generator == name), lambda r: r.cpu_us_per_request) for name in (one, other)
    ]
    return paired(*costs)


def lag_ratio(rows: Sequence[LagRow], rate_rps: int, p99: bool) -> Ratio | None:
    """Our lag by the bare loop's, at one rate."""
    at_rate = [row for row in rows if row.rate_rps == rate_rps]
    lags = [
        by_round((r for r in at_rate if r.generator == name), lambda r: r.p99_us if p99 else r.p50_us)
        for name in (OURS, BARE)
    ]
    return paired(*lags)


@dataclass(frozen=True)
class Deviation:
    """A measured percentile and what arithmetic says of it."""

    percentile: float
    measured_ms: float
    expected_ms: float

    @property
    def off_ms(self) -> float:
        """How far apart they are."""
        return abs(self.measured_ms - self.expected_ms)

    @property
    def off_share(self) -> float:
        """The same as a share of what arithmetic says."""
        return self.off_ms / self.expected_ms


def open_response(rows: Sequence[FreezeRow]) -> list[FreezeRow]:
    """Response times in the open model."""
    return [row for row in rows if (row.model, row.kind) == ("open", "response")]


def closed_service(rows: Sequence[FreezeRow]) -> list[FreezeRow]:
    """Service times in the closed model: what most load generators print."""
    return [row for row in rows if (row.model, row.kind) == ("closed", "service")]


def unfrozen_ms(rows: Sequence[FreezeRow]) -> float:
    """What a request takes that does not meet the freeze: the lowest percentile measured, median over rounds."""
    lowest = min(row.percentile for row in rows)
    return statistics.median(row.value_ms for row in rows if row.percentile == lowest)


def deviations(rows: Sequence[FreezeRow]) -> list[Deviation]:
    """Every round's open response times against arithmetic."""
    measured = open_response(rows)
    base_ms = unfrozen_ms(measured) if measured else 0.0
    return [
        Deviation(r.percentile, r.value_ms, bounds.frozen_response_ms(r.percentile, base_ms, r.freeze_s, r.every_s))
        for r in measured
    ]


def growth_mb(rows: Sequence[MemoryRow]) -> float | None:
    """Resident MB more at the most requests than at the fewest; None with fewer than two numbers of requests."""
    fewest, most = (pick(rows, key=lambda row: row.requests, default=None) for pick in (min, max))
    if fewest is None or most is None or fewest.requests == most.requests:
        return None
    return most.resident_mb - fewest.resident_mb


def overheads_s(rows: Sequence[OverheadRow]) -> dict[int, float]:
    """{servers: median over rounds}, ascending."""
    return {
        servers: statistics.median(row.overhead_s for row in rows if row.servers == servers)
        for servers in sorted({row.servers for row in rows})
    }


def noise_spread(rows: Sequence[NoiseRow], method: str) -> Spread | None:
    """Standard deviation of the log ratio about zero: identical variants have a log ratio of 0 by construction."""
    return spread_about_zero([row.log_ratio for row in rows if row.method == method])


RUNS = 10
"""Runs that verdicts are tried on, put together from the measured rounds."""


@dataclass(frozen=True)
class Tried:
    """Verdicts on pairs of which the truth is known, over ``runs`` runs, of which ``disjoint`` share no round."""

    pairs: int
    different: int
    """Called faster or slower, which of identical pairs is a false alarm and of slowed ones right if it is slower."""
    slower: int
    equivalent: int
    runs: int
    disjoint: int


def tried_verdicts(rows: Sequence[VerdictRow], percent: int, rounds: int, seed: int = 1) -> Tried | None:
    """Verdicts of runs of ``rounds`` rounds on the variants slowed by ``percent`` against those that are not.

    With 0 per cent: on each pair of identical variants. None where there are not as many rounds.

    The rounds are shuffled and cut into runs; once they are used up, shuffled again and cut again, until there are
    RUNS. Runs from one shuffle share no round; those from different shuffles do, so they are not independent.
    """
    rates = _complete(rows)
    runs, disjoint = _runs(sorted(rates), rounds, seed)
    names = {row.variant: row.slowed_percent for row in rows}
    same = sorted(name for name, slowed in names.items() if slowed == 0)
    pairs = (
        list(itertools.combinations(same, 2))
        if percent == 0
        else [(name, other) for name, slowed in sorted(names.items()) if slowed == percent for other in same]
    )
    if not runs or not pairs:
        return None
    found = [
        verdict_of([_log_ratio(rates[number], one, other) for number in run]) for run in runs for one, other in pairs
    ]
    slower, faster = found.count("slower"), found.count("faster")
    return Tried(len(found), slower + faster, slower, found.count("equivalent"), len(runs), disjoint)


def slowed_by(rows: Sequence[VerdictRow], percent: int) -> tuple[float, float] | None:
    """By what share more CPU a request of the slowed variant took, and by what share less it served; medians.

    Against each of those that are not slowed, round by round.
    """
    names = {row.variant: row.slowed_percent for row in rows}
    same, slowed = ([name for name, by in names.items() if by == wanted] for wanted in (0, percent))
    cpu_us = {(row.round, row.variant): row.cpu_us_per_request for row in rows}
    more_cpu, less_served = [], []
    for number, rates in _complete(rows).items():
        for one, other in itertools.product(slowed, same):
            more_cpu.append(cpu_us[number, one] / cpu_us[number, other] - 1)
            less_served.append(1 - math.exp(_log_ratio(rates, one, other)))
    return (statistics.median(more_cpu), statistics.median(less_served)) if more_cpu else None


Turns = dict[str, dict[int, float]]
"""Of one round: {variant: {rotation: requests/s}}."""


def _log_ratio(rates: Turns, one: str, other: str) -> float:
    return log_ratio(rotation_pairs(rates[one], rates[other]))


def _complete(rows: Sequence[VerdictRow]) -> dict[int, Turns]:
    """The rounds in which every variant has every turn."""
    rounds: dict[int, Turns] = {}
    for row in rows:
        rounds.setdefault(row.round, {}).setdefault(row.variant, {})[row.rotation] = row.rate_rps
    names = {row.variant for row in rows}
    return {
        number: turns
        for number, turns in rounds.items()
        if turns.keys() == names and len({tuple(sorted(rates)) for rates in turns.values()}) == 1
    }


def _runs(numbers: Sequence[int], rounds: int, seed: int) -> tuple[list[list[int]], int]:
    """RUNS runs, and how many of them are disjoint: those of the first shuffle."""
    draw, runs = random.Random(seed), list[list[int]]()
    while len(numbers) >= rounds and len(runs) < RUNS:
        shuffled = draw.sample(list(numbers), len(numbers))
        runs += [shuffled[at : at + rounds] for at in range(0, len(numbers) - rounds + 1, rounds)]
    return runs[:RUNS], min(RUNS, len(numbers) // rounds)
