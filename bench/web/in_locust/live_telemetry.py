"""What the probe writes while it writes it: the server's last minute, for the tab "Event loop"."""

from __future__ import annotations

import csv
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from bench.analysis.server_state import Sums, diagnose
from bench.results import schema

SHOWN_S = 60.0
RECENT_S = 5.0
"""The current blame and what the server is doing are about so long: shorter, and one stall of many users fills it."""
MAX_BLAMED = 5

Row = dict[str, str]


class Tail:
    """One growing CSV file: each call gives the rows that are new."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path = path
        self._columns = columns
        self._offset = 0

    def rows(self) -> list[Row]:
        """What was written since, whole lines only; empty while there is no file."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        read = csv.DictReader(whole.decode("utf-8", "replace").splitlines(), self._columns)
        return [row for row in read if row["at_s"] != "at_s" and None not in row.values()]


class Worker:
    """One process of the server: its samples and its stalls of the last minute."""

    def __init__(self, samples: Path) -> None:
        stalls = samples.with_name(samples.name.replace("server", "stalls"))
        self._files = (Tail(samples, schema.SERVER_COLUMNS), Tail(stalls, schema.STALLS_COLUMNS))
        self.samples: deque[Row] = deque()
        self._kept = (self.samples, deque[Row]())

    def read(self, now_s: float) -> None:
        """Take in what is new, and forget what is old."""
        for file, rows in zip(self._files, self._kept, strict=True):
            rows.extend(file.rows())
            while rows and float(rows[0]["at_s"]) < now_s - SHOWN_S:
                rows.popleft()

    def since(self, moment_s: float) -> tuple[list[Row], list[Row]]:
        """Its samples and its stalls from ``moment_s`` on."""
        samples, stalls = ([row for row in rows if float(row["at_s"]) >= moment_s] for rows in self._kept)
        return samples, stalls


class LiveTelemetry:
    """The probe's files in one trial's folder, followed."""

    def __init__(self, folder: Path, cores: int) -> None:
        self._folder = folder
        self._cores = cores
        self._workers: dict[str, Worker] = {}

    def read(self) -> dict[str, Any]:
        """Read on and say how things are, as ui.js shows it: series, the blamed, and what the server is doing.

        ``series`` is {column: [[seconds ago, value] ...]}, put together second by second: the worst lag of any worker,
        everything else summed over them. A column that nothing is known of is empty.
        """
        now_s = perf_counter()
        for path in sorted(self._folder.glob("server-*.csv")):
            self._workers.setdefault(path.name, Worker(path))
        workers = list(self._workers.values())
        for worker in workers:
            worker.read(now_s)
        recent = [worker.since(now_s - RECENT_S) for worker in workers]
        found = diagnose(_sums(recent, self._cores))
        return {
            "series": {name: _series(workers, column, now_s, how) for name, (column, how) in SERIES.items()},
            "blamed": _blamed(row for _, stalls in recent for row in stalls),
            "category": found.category,
            "evidence": found.evidence,
        }


SERIES = {
    "lag_ms": ("lag_max_ms", "worst"),
    "tokens_borrowed": ("tokens_borrowed", "last"),
    "tokens_waiting": ("tokens_waiting", "last"),
    "tokens_total": ("tokens_total", "last"),
    "cpu_cores": ("cpu_s", "rate"),
}
"""What is shown: the column it comes from, and how a second of a worker's rows becomes one value."""


def _series(workers: Iterable[Worker], column: str, now_s: float, how: str) -> list[list[float]]:
    seconds: dict[int, list[float]] = defaultdict(list)
    for worker in workers:
        points = [(now_s - float(row["at_s"]), float(row[column])) for row in worker.samples if row[column]]
        for second, value in _by_second(points, how).items():
            seconds[second].append(value)
    together = max if how == "worst" else sum
    return [[second, round(float(together(values)), 3)] for second, values in sorted(seconds.items(), reverse=True)]


def _by_second(points: list[tuple[float, float]], how: str) -> dict[int, float]:
    """{whole seconds ago: value} of one worker's points (seconds ago, value), the oldest first."""
    found: dict[int, float] = {}
    if how == "rate":
        for (before_ago, before), (ago, value) in _steps(points):
            found[int(ago)] = max(0.0, value - before) / (before_ago - ago)
        return found
    for ago, value in points:
        found[int(ago)] = max(value, found.get(int(ago), value)) if how == "worst" else value
    return found


def _steps(points: list[tuple[float, float]]) -> Iterable[tuple[tuple[float, float], tuple[float, float]]]:
    """Pairs of points that lie about a second apart."""
    if not points:
        return
    before = points[0]
    for point in points[1:]:
        if before[0] - point[0] >= 0.95:
            yield before, point
            before = point


def _blamed(stalls: Iterable[Row]) -> list[dict[str, Any]]:
    """The places that held the server up, the worst first: kind, where, callee, stalled_ms."""
    stalled_ms: dict[tuple[str, str, str], float] = defaultdict(float)
    for row in stalls:
        where = f"{row['file']}:{row['line']} {row['function']}" if row["file"] else "no code of the app"
        stalled_ms[row["kind"], where, row["callee"]] += float(row["stalled_ms"])
    worst = sorted(stalled_ms.items(), key=lambda item: -item[1])[:MAX_BLAMED]
    return [
        {"kind": kind, "where": where, "callee": callee, "stalled_ms": round(total)}
        for (kind, where, callee), total in worst
    ]


def _sums(workers: list[tuple[list[Row], list[Row]]], cores: int) -> Sums:
    """(samples, stalls) of each worker over the last RECENT_S, added up. Lags are shown by themselves."""
    samples = [rows for rows, _ in workers]
    stalls = [row for _, rows in workers for row in rows]
    worker_s = RECENT_S * max(1, len(workers))
    held_s = {kind: _held_s(row for row in stalls if row["kind"] == kind) for kind in schema.STALL_KINDS}
    own_s = _held_s(row for row in stalls if row["kind"] == "loop" and row["file"])
    return Sums(
        rows=sum(map(len, samples)),
        workers=max(1, len(workers)),
        cores=cores,
        loop_stalled=min(1.0, held_s["loop"] / worker_s),
        gil_stalled=min(1.0, held_s["gil"] / worker_s),
        exhausted=min(1.0, held_s["threadpool"] / worker_s),
        own=own_s / held_s["loop"] if held_s["loop"] else 0.0,
        tokens_borrowed=_mean(samples, "tokens_borrowed"),
        tokens_total=_mean(samples, "tokens_total"),
        tokens_waiting=_mean(samples, "tokens_waiting"),
        cpu_cores=_rate(samples, "cpu_s"),
        loop_cpu_cores=_rate(samples, "loop_cpu_s"),
        in_flight=_mean(samples, "in_flight"),
    )


def _held_s(stalls: Iterable[Row]) -> float:
    return sum(float(row["stalled_ms"]) for row in stalls) / 1e3


def _mean(workers: list[list[Row]], column: str) -> float | None:
    """The workers' means, summed; None where nothing is known."""
    known = [values for rows in workers if (values := [float(row[column]) for row in rows if row[column]])]
    return sum(map(fmean, known)) if known else None


def _rate(workers: list[list[Row]], column: str) -> float | None:
    """By how much a counter grows a second, summed over the workers; None where no two rows tell."""
    known = [
        (float(rows[-1][column]) - float(rows[0][column])) / (float(rows[-1]["at_s"]) - float(rows[0]["at_s"]))
        for rows in workers
        if len(rows) > 1 and rows[0][column] and rows[-1][column]
    ]
    return sum(known) if known else None
