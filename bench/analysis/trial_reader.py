"""Reads the files of one trial into tables. The only place where the warm-up is cut off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from bench.analysis import telemetry
from bench.analysis.survival import Floats
from bench.analysis.tables import REFUSED, ExcludedTrial
from bench.results import files, layout, schema
from bench.results.schema import EDGE_S, TrialFacts, TrialRecord

LATENCY_COLUMNS = ("variant", "round", "endpoint", "kind", "start_s", "end_s", "measured", "value_us", "count")
TRIAL_COLUMNS = (
    "variant",
    "round",
    "origin_s",
    "measured_s",
    "generator_cpu_cores",
    "server_cpu_cores",
    "worker_cpu_cores",
    "loop_cpu_cores",
    "workers",
    "cores",
    "group",
    "attempt",
    "measured_turns",
    "turns_taken_again",
)
TURN_COLUMNS = ("variant", "round", "pass_number", "start_s", "warm_until_s", "end_s")
SERVER_COLUMNS = ("variant", "round", "measured", "at_s", *telemetry.LAGS, *telemetry.SUMS)
STALL_COLUMNS = ("variant", "round", "measured_ms", *telemetry.STALL_COLUMNS)


@dataclass(frozen=True)
class TrialTables:
    """One trial that is evidence, as its parts of the ScenarioTables. ``server`` and ``stalls`` are None without telemetry."""

    row: dict[str, Any]
    counts: pd.DataFrame
    latencies: pd.DataFrame
    turns: pd.DataFrame
    server: pd.DataFrame | None
    stalls: pd.DataFrame | None
    services: dict[str, str]
    facts: TrialFacts


def read_trial(run: Path, folder: Path, scenario: str, variant: str, number: int) -> TrialTables | ExcludedTrial:
    """The tables of one trial, or why it is excluded."""
    where = str(folder.relative_to(run))
    try:
        trial = files.read_record(folder / "trial.json", TrialRecord)
        if trial.status != "ok":
            files.check_files(folder, trial.files)
            reasons = trial.reasons or ("no reason given",)
            return ExcludedTrial(scenario, variant, number, trial.status, reasons, trial.log_tail, where)
        for name in layout.TRIAL_FILES:
            if name not in trial.files:
                raise files.BrokenFile(f"{folder / name}: not listed in trial.json, though the trial is ok")
        files.check_files(folder, trial.files)
        return _evidence(folder, trial, telemetry.read_telemetry(folder, dict(trial.files)))
    except files.BrokenFile as error:
        return ExcludedTrial(scenario, variant, number, REFUSED, (str(error).replace(f"{run}/", ""),), "", where)


def _evidence(folder: Path, trial: TrialRecord, seen: telemetry.Telemetry | None) -> TrialTables:
    if trial.facts is None:
        raise files.BrokenFile(f"{folder / 'trial.json'}: no facts, though the trial is ok")
    turns = _measured_turns(folder, trial.facts)
    parts = [(warm_until, end) for _, warm_until, end in turns]
    origin_s = min(start for start, _ in parts)
    row = {
        "variant": trial.variant,
        "round": trial.round,
        "origin_s": origin_s,
        "measured_s": sum(end - start for start, end in parts),
        "generator_cpu_cores": _or_nan(trial.facts.generator_cpu_cores_max),
        "cores": float(len(trial.cores.server)) if trial.cores.server else float("nan"),
        "group": trial.group,
        "attempt": trial.attempt,
        "measured_turns": len(turns),
        "turns_taken_again": sum(turn.taken_again for turn in trial.facts.turns),
    }
    counts = _read_counts(folder / "counts.csv", origin_s)
    histograms = _read_histograms(folder / "requests.hlog", origin_s, parts)
    samples = stalls = None
    if seen is not None:
        row |= _of_telemetry(seen, parts, [(start, end) for start, _, end in turns])
        samples, stalls = _cut(seen, origin_s, parts)
    turn_table = _turns(trial.facts, origin_s)
    measured = TrialTables(row, counts, histograms, turn_table, samples, stalls, dict(trial.services), trial.facts)
    for table in (measured.counts, measured.latencies, measured.turns, samples, stalls):
        if table is not None:
            table.insert(0, "variant", trial.variant)
            table.insert(1, "round", trial.round)
    return measured


def _of_telemetry(
    seen: telemetry.Telemetry, parts: list[tuple[float, float]], turns: list[tuple[float, float]]
) -> dict[str, float]:
    own = telemetry.used_cores(seen.samples, "cpu_s", parts, turns)
    children = telemetry.used_cores(seen.samples, "children_cpu_s", parts, turns)
    return {
        "server_cpu_cores": own + (0.0 if math.isnan(children) else children),
        "worker_cpu_cores": own,
        "loop_cpu_cores": telemetry.used_cores(seen.samples, "loop_cpu_s", parts, turns),
        "workers": float(seen.samples["worker"].nunique()),
    }


def _cut(
    seen: telemetry.Telemetry, origin_s: float, parts: list[tuple[float, float]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the probe saw. ``measured`` marks what lies within the measured parts."""
    samples = telemetry.merged(seen.samples)
    at_s = samples["at_s"].to_numpy(float)
    measured = np.zeros(len(at_s), dtype=bool)
    for start, end in parts:
        measured |= (at_s >= start) & (at_s <= end)
    samples.insert(0, "measured", measured)
    stalls = seen.stalls.copy()
    stalls.insert(0, "measured_ms", telemetry.within_ms(stalls, parts))
    samples["at_s"] -= origin_s
    stalls["at_s"] -= origin_s
    return samples, stalls


def _turns(facts: TrialFacts, origin_s: float) -> pd.DataFrame:
    """The turns in their order, the warm-up of the fresh server included."""
    rows = [
        (turn.pass_number, turn.start_s - origin_s, turn.warm_until_s - origin_s, turn.end_s - origin_s)
        for turn in facts.turns
    ]
    return pd.DataFrame(rows, columns=list(TURN_COLUMNS[2:]))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _measured_turns(folder: Path, facts: TrialFacts) -> list[tuple[float, float, float]]:
    """(start_s, warm_until_s, end_s) of each turn with a measured part: this is where the warm-up is cut.

    The fresh server's first turn is warm-up from end to end and has no such part.
    """
    edges = [(turn.start_s, turn.warm_until_s, turn.end_s) for turn in facts.turns]
    turns = [edge for edge in edges if edge[2] - edge[1] > EDGE_S]
    if not turns:
        raise files.BrokenFile(f"{folder / 'trial.json'}: no turn has a measured part, though the trial is ok")
    return turns


def _read_counts(path: Path, origin_s: float) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"endpoint": str})
        if list(table.columns) != list(schema.COUNTS_COLUMNS) or not isinstance(table.index, pd.RangeIndex):
            raise ValueError("other columns than docs/file-formats.md documents")
        numbers = [column for column in schema.COUNTS_COLUMNS if column != "endpoint"]
        if table.isna().to_numpy().any():
            raise ValueError("a row is not whole")
        table[numbers] = table[numbers].astype(float)
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise files.BrokenFile(f"{path}: not readable ({_error_text(error)})") from None
    table[["start_s", "end_s"]] -= origin_s
    return table


def _read_histograms(path: Path, origin_s: float, parts: list[tuple[float, float]]) -> pd.DataFrame:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise files.BrokenFile(f"{path}: cannot be read ({_error_text(error)})") from None
    columns: dict[str, list[Any]] = {name: [] for name in LATENCY_COLUMNS[2:-2]}
    values: list[NDArray[np.int64]] = []
    counts: list[NDArray[np.int64]] = []
    for line_number, line in enumerate(lines, start=1):
        if not line.startswith("Tag="):
            continue
        try:
            endpoint, kind, start_s, length_s, (value_us, count) = _interval(line)
        except Exception as error:  # zlib, base64, struct and hdrh each raise their own; all mean the same here
            raise files.BrokenFile(f"{path}: line {line_number} cannot be decoded ({_error_text(error)})") from None
        middle_s = start_s + length_s / 2
        measured = any(start - EDGE_S < middle_s < end + EDGE_S for start, end in parts)
        described = (endpoint, kind, start_s - origin_s, start_s - origin_s + length_s, measured)
        for column, item in zip(columns.values(), described, strict=True):
            column.append(item)
        values.append(value_us)
        counts.append(count)
    lengths = [len(value_us) for value_us in values]
    table = pd.DataFrame({name: _repeated(column, lengths, name) for name, column in columns.items()})
    table["value_us"] = np.concatenate([*values, np.empty(0, np.int64)])
    table["count"] = np.concatenate([*counts, np.empty(0, np.int64)])
    return table


def _repeated(column: list[Any], lengths: list[int], name: str) -> NDArray[Any]:
    kinds = {"endpoint": object, "kind": object, "measured": bool}
    return np.repeat(np.asarray(column, dtype=kinds.get(name, float)), lengths)


def _interval(line: str) -> tuple[str, str, float, float, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    tag, start, length, _, payload = line.removeprefix("Tag=").split(",", 4)
    endpoint, _, kind = tag.rpartition(":")
    if not endpoint:
        raise ValueError("the tag is not endpoint:kind")
    return unquote(endpoint), kind, float(start), float(length), decode(payload)


def decode_kinds(path: Path, facts: TrialFacts, endpoint: str) -> dict[str, tuple[Floats, Floats]]:
    """{kind: (values in us, counts)} of one endpoint over the measured parts of a trial's requests.hlog."""
    parts = [(warm_until, end) for _, warm_until, end in _measured_turns(path.parent, facts)]
    table = _read_histograms(path, 0.0, parts)
    rows = table[table["measured"] & (table["endpoint"] == endpoint)]

    def columns(kind: str) -> tuple[Floats, Floats]:
        chosen = rows[rows["kind"] == kind]
        return chosen["value_us"].to_numpy(float), chosen["count"].to_numpy(float)

    return {kind: columns(kind) for kind in schema.KINDS}


def decode(payload: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One histogram of requests.hlog as (highest equivalent values in us, counts), only the buckets in use."""
    decoded = HdrHistogram.decode(payload)
    buckets = np.frombuffer(decoded.counts, dtype=np.uint64)
    index = np.flatnonzero(buckets)
    half, magnitude = decoded.sub_bucket_half_count, decoded.sub_bucket_half_count_magnitude
    octave = (index >> magnitude) - 1
    place = (index & (half - 1)) + np.where(octave < 0, 0, half)
    shift = np.maximum(octave, 0) + decoded.unit_magnitude
    return ((place + 1) << shift) - 1, buckets[index].astype(np.int64)


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
