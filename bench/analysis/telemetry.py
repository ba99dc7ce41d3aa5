"""What the probe wrote in a server: read, merged over its workers, and added up to who is to blame.

    telemetry = read_telemetry(folder, ["server-7.csv", "stalls-7.csv"])
    merged(telemetry.samples)    # what the server was like, moment by moment
    blame(telemetry.stalls)      # whose lines held it up, the worst first

Times are as the probe wrote them; tables.py cuts the warm-up. A server may have several workers, each with files of
its own and none with a clock of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.survival import Floats
from bench.results import files, schema

Part = tuple[float, float]

GRID_S = 0.1
"""The moments at which several workers are put together: how often each of them writes."""

LAGS = ("lag_ms", "lag_max_ms")
"""Of workers at a moment the largest counts: somebody's request is waiting there."""
SUMS = (
    "tokens_borrowed",
    "tokens_total",
    "tokens_waiting",
    "threads",
    "cpu_s",
    "children_cpu_s",
    "rss_mb",
    "connections",
    "in_flight",
)
"""Of workers at a moment the sum counts."""

SAMPLE_COLUMNS = ("worker", *schema.SERVER_COLUMNS)
STALL_COLUMNS = ("worker", *schema.STALLS_COLUMNS)
TEXTS = ("kind", "file", "function", "callee")

LOOP_KINDS = ("loop", "gil")
"""Kinds of stall during which no request is served. Time without a free thread is another sum: the loop runs meanwhile."""


@dataclass(frozen=True)
class Telemetry:
    """The probe's rows of one trial, of all workers: SAMPLE_COLUMNS and STALL_COLUMNS, by worker and time."""

    samples: pd.DataFrame
    stalls: pd.DataFrame


@dataclass(frozen=True)
class Blame:
    """One place that stalls are charged to. ``file`` is empty where none of the app's own code was on the stack.

    ``share`` is of the stalled time of its sort: the loop's (LOOP_KINDS), or the time without a free thread.
    """

    kind: str
    file: str
    line: int | None
    function: str
    callee: str
    share: float
    stalled_ms: float
    stalls: int
    longest_ms: float


def read_telemetry(folder: Path, names: Iterable[str]) -> Telemetry | None:
    """Read the probe's files among ``names``; None where there are none: an older run, or a server without a probe.

    Raises BrokenFile for one that is not as schema.py documents it. A last line without its end is what a SIGKILL
    leaves behind, and is dropped.
    """
    listed = set(names)
    workers = sorted(int(found[1]) for name in listed if (found := re.fullmatch(r"server-(\d{1,18})\.csv", name)))
    if not workers:
        return None
    samples, stalls = [], []
    for worker in workers:
        path = folder / f"stalls-{worker}.csv"
        if path.name not in listed:
            raise files.BrokenFile(f"{path}: not listed in trial.json, though server-{worker}.csv is")
        samples.append(_rows(folder / f"server-{worker}.csv", schema.SERVER_COLUMNS, worker))
        stalls.append(_rows(path, schema.STALLS_COLUMNS, worker))
    together = pd.concat(samples, ignore_index=True)
    if together["at_s"].max() - together["at_s"].min() > LONGEST_S:
        raise files.BrokenFile(f"{folder / 'server-*.csv'}: rows that lie more than a day apart")
    return Telemetry(together, pd.concat(stalls, ignore_index=True))


def _rows(path: Path, columns: Sequence[str], worker: int) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        table = pd.read_csv(StringIO(whole), dtype=str, keep_default_na=False)
        if list(table.columns) != list(columns) or not isinstance(table.index, pd.RangeIndex):
            raise ValueError("other columns than docs/file-formats.md documents")
        for column in columns:
            if column not in TEXTS:
                table[column] = _numbers(table[column])
        if columns is schema.STALLS_COLUMNS:
            _check_stalls(table)
        if table["at_s"].isna().any():
            raise ValueError("a row without a time")
    except (OSError, ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise files.BrokenFile(f"{path}: not readable ({type(error).__name__}: {error})") from None
    table.insert(0, "worker", worker)
    return table.sort_values("at_s", kind="stable", ignore_index=True)


def _numbers(column: pd.Series[str]) -> pd.Series[float]:
    """Empty cells become NaN; anything else must be a number of this world."""
    numbers = pd.to_numeric(column.where(column != "")).astype(float)
    given = numbers[column != ""].to_numpy()
    if not np.isfinite(given).all() or (np.abs(given) > LARGEST).any():
        raise ValueError("a cell that is not a number")
    return numbers


LARGEST = 1e15
"""No time, count or size in these files comes near it: a microsecond count of thirty years."""


LONGEST_S = 86_400.0
"""From a trial's first row to its last: no trial comes near it, and a grid of that length still fits into memory."""


def _check_stalls(table: pd.DataFrame) -> None:
    if not table["kind"].isin(schema.STALL_KINDS).all():
        raise ValueError(f"a kind that is none of {schema.STALL_KINDS}")
    if table[["stall", "stalled_ms"]].isna().to_numpy().any() or (table["stalled_ms"] < 0).any():
        raise ValueError("a stall without its number or its time")


def merged(samples: pd.DataFrame) -> pd.DataFrame:
    """One row a moment: the samples of a single worker as they are, those of several on a common grid of GRID_S.

    There, the lag is the largest of the workers': of those that wrote within the cell, and of the next row of those
    that did not (its maximum reaches back). Everything else is summed, each worker as it was last seen; one that has
    not begun or has ended adds nothing.
    """
    columns = ["at_s", *LAGS, *SUMS]
    workers = [part for _, part in samples.groupby("worker", sort=True)]
    if len(workers) <= 1:
        return samples[columns].reset_index(drop=True)
    begin_s = math.floor(samples["at_s"].min() / GRID_S)
    end_s = math.ceil(samples["at_s"].max() / GRID_S)
    grid = np.arange(begin_s, end_s + 1) * GRID_S
    placed = [_on_grid(part, grid) for part in workers]
    table: dict[str, Any] = {"at_s": grid}
    for column in LAGS:
        table[column] = pd.concat([part[column] for part in placed], axis=1).max(axis=1).to_numpy()
    for column in SUMS:
        table[column] = pd.concat([part[column] for part in placed], axis=1).sum(axis=1, min_count=1).to_numpy()
    return pd.DataFrame(table, columns=columns)


def _on_grid(part: pd.DataFrame, grid: Floats) -> pd.DataFrame:
    at_s = part["at_s"].to_numpy(float)
    last = np.searchsorted(at_s, grid, side="right") - 1
    following = np.minimum(last + 1, len(at_s) - 1)
    away = (grid <= at_s[0] - GRID_S) | (grid >= at_s[-1] + GRID_S)
    cell = np.searchsorted(grid, at_s, side="left")
    table = pd.DataFrame(index=range(len(grid)))
    for column in SUMS:
        table[column] = part[column].to_numpy(float)[np.maximum(last, 0)]
    for column in LAGS:
        within = part[column].groupby(cell).max().reindex(table.index)
        table[column] = within.fillna(pd.Series(part[column].to_numpy(float)[following]))
    table[away] = np.nan
    return table


def used_cores(samples: pd.DataFrame, column: str, parts: Sequence[Part], turns: Sequence[Part] = ()) -> float:
    """CPU seconds a second within ``parts``, all workers together; NaN where the rows do not tell.

    Only the time from one row to the next that lies within a part whole is counted. At its edges a server goes from
    busy to idle between two rows, and sharing that out would make short turns seem cheaper than they are.

    Where no part is long enough for two rows, ``turns`` count instead, each from its first request to its last: a
    server uses next to nothing before and after, so the rows around a turn hold what it cost. Without turns, NaN.
    """
    workers = [part[part[column].notna()] for _, part in samples.groupby("worker")]
    series = [(each["at_s"].to_numpy(float), each[column].to_numpy(float)) for each in workers]
    for cores_of, spans in ((_cores_within, parts), (_cores_around, turns)):
        known = [cores for at_s, used_s in series if not math.isnan(cores := cores_of(at_s, used_s, spans))]
        if known:
            return math.fsum(known)
    return math.nan


def _cores_within(at_s: Floats, used_s: Floats, parts: Sequence[Part]) -> float:
    within = np.zeros(max(0, len(at_s) - 1), dtype=bool)
    for begin_s, end_s in parts:
        within |= (at_s[:-1] >= begin_s) & (at_s[1:] <= end_s)
    seconds = float(np.diff(at_s)[within].sum())
    return float(np.diff(used_s)[within].sum()) / seconds if seconds > 0 else math.nan


def _cores_around(at_s: Floats, used_s: Floats, turns: Sequence[Part]) -> float:
    around, seconds = np.zeros(max(0, len(at_s) - 1), dtype=bool), 0.0
    for begin_s, end_s in turns:
        before = int(np.searchsorted(at_s, begin_s, side="right")) - 1
        after = int(np.searchsorted(at_s, end_s, side="left"))
        if before >= 0 and after < len(at_s):
            around[before:after] = True  # one row may lie between two turns: what it saw is counted once
            seconds += end_s - begin_s
    return float(np.diff(used_s)[around].sum()) / seconds if seconds > 0 else math.nan


def within_ms(stalls: pd.DataFrame, parts: Sequence[Part]) -> Floats:
    """How much of each stall's piece lies within ``parts``."""
    begun_s = stalls["at_s"].to_numpy(float)
    ended_s = begun_s + stalls["stalled_ms"].to_numpy(float) / 1e3
    shared_s = np.zeros(len(stalls))
    for begin_s, end_s in parts:
        shared_s += np.clip(np.minimum(ended_s, end_s) - np.maximum(begun_s, begin_s), 0.0, None)
    return shared_s * 1e3


def blame(stalls: pd.DataFrame) -> tuple[Blame, ...]:
    """Who is charged for the measured stalls, the largest share first, the loop's stalls before the threadpool's.

    ``stalls``: ScenarioTables.stalls of one variant. A stall is identified by its round, worker and number; its longest is what one
    place held of a single stall.
    """
    counted = stalls[stalls["measured_ms"] > 0]
    if not len(counted):
        return ()
    held = counted["kind"].isin(LOOP_KINDS)
    total_ms = {flag: float(counted.loc[held == flag, "measured_ms"].sum()) for flag in (True, False)}
    places = counted.assign(line=counted["line"].fillna(-1)).groupby(
        ["kind", "file", "line", "function", "callee"], sort=True, observed=True
    )
    found = []
    for (kind, file, line, function, callee), part in places:
        each_ms = part.groupby(["round", "worker", "stall"])["measured_ms"].sum()
        stalled_ms = float(each_ms.sum())
        found.append(
            Blame(
                kind=str(kind),
                file=str(file),
                line=int(float(str(line))) if float(str(line)) >= 1 else None,
                function=str(function),
                callee=str(callee),
                share=min(1.0, round(stalled_ms / total_ms[kind in LOOP_KINDS], 9)),
                stalled_ms=stalled_ms,
                stalls=len(each_ms),
                longest_ms=float(each_ms.max()),
            )
        )
    return tuple(sorted(found, key=lambda one: (one.kind not in LOOP_KINDS, -one.stalled_ms)))
