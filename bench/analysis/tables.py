"""Read a run's folder into tidy tables. The one place that knows how files become rows, and that cuts the warm-up.

    run = read_run(Path("results/2026-11-23"))      # what was asked: run.json
    frames = read_scenario(run, run.scenarios[0])   # what was measured: all trials of one scenario

Only complete rounds count (schema.py: every variant has its trial.json there). A file that is cut short, changed or
not decodable refuses its own trial, by name; the others go on. Only a broken run.json raises BrokenFile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from bench.analysis import telemetry
from bench.analysis.statistics import Floats, Latencies, add, latencies
from bench.model import HEALTH_PATH, Claim
from bench.results import files, layout, schema
from bench.results.schema import (
    BoundRecord,
    DoctorRecord,
    GitRecord,
    MachineRecord,
    RunRecord,
    ScenarioRecord,
    SweepRecord,
    TrialFacts,
    TrialRecord,
    VariantRecord,
)

HEALTH_ENDPOINT = f"GET {HEALTH_PATH}"

EDGE_S = 1e-3
"""Slack when an interval is placed in a turn: stamps are printed with few decimals, and no interval is this short."""

REFUSED = "refused"
"""A trial whose files cannot be trusted to be whole. Not a status that a trial can have itself."""

LATENCY_COLUMNS = ("variant", "round", "endpoint", "kind", "start_s", "end_s", "measured", "value_us", "count")
TRIAL_COLUMNS = (
    "variant",
    "round",
    "origin_s",
    "measured_s",
    "generator_cpu_cores",
    "server_cpu_cores",
    "loop_cpu_cores",
    "workers",
    "cores",
    "group",
)
TURN_COLUMNS = ("variant", "round", "pass_number", "start_s", "warm_until_s", "end_s")
SERVER_COLUMNS = ("variant", "round", "measured", "at_s", *telemetry.LAGS, *telemetry.SUMS)
STALL_COLUMNS = ("variant", "round", "measured_ms", *telemetry.STALL_COLUMNS)


@dataclass(frozen=True)
class VariantInfo:
    """A variant as run.json declares it. The bound's fields are None, or empty, where no bound is known."""

    name: str
    role: str
    summary: str
    file: str
    source: str
    formula: str
    kind: str
    max_rps: float | None
    min_latency_s: float | None
    control_of: str = ""
    """The variant that it is the same as, measured twice to see the noise; empty for a variant of its own."""


@dataclass(frozen=True)
class ScenarioInfo:
    """A scenario as run.json declares it; ``record`` is that part of run.json whole.

    ``variants`` are those to be shown. ``controls`` are A/A controls: measured like the others, they only show the noise.
    """

    name: str
    question: str
    path: str
    load: str
    users: int | None
    rate_rps: float | None
    seed: int | None
    rounds: int
    measure_s: float | None
    profile: str
    variants: tuple[VariantInfo, ...]
    record: ScenarioRecord
    controls: tuple[VariantInfo, ...] = ()
    claims: tuple[Claim, ...] = ()
    sweep: tuple[ScenarioInfo, ...] = ()
    """The same under each other load that it was measured under; without claims, which are about its own load."""

    @property
    def everyone(self) -> tuple[VariantInfo, ...]:
        """Variants and A/A controls: all that a round needs to be complete."""
        return (*self.variants, *self.controls)

    @property
    def baseline(self) -> str:
        """What every variant is compared with: the first fix that is declared, where there is none the first variant.

        Declared and not measured: the best of a run is the best by luck, too. Empty where there are no variants.
        """
        fixes = [variant.name for variant in self.variants if variant.role == "fix"]
        return next(iter([*fixes, *(variant.name for variant in self.variants)]), "")

    @property
    def endpoint(self) -> str:
        """The endpoint that the users ask for, named as in Locust."""
        return self.record.endpoint

    @property
    def kind(self) -> str:
        """The kind of latency that is the headline: response time where a timetable drives, else service time."""
        return "service" if self.rate_rps is None else "response"

    def variant(self, name: str) -> VariantInfo:
        """The variant or twin called ``name``; KeyError when there is none."""
        return {variant.name: variant for variant in self.everyone}[name]


@dataclass(frozen=True)
class Run:
    """What run.json says, with the folder it lies in."""

    folder: Path
    name: str
    created_unix_s: float | None
    command: str
    """As a shell would take it."""
    machine: MachineRecord
    git: GitRecord | None
    scenarios: tuple[ScenarioInfo, ...]
    doctor: DoctorRecord | None = None
    """What only a run of the doctor has."""


@dataclass(frozen=True)
class ExcludedTrial:
    """A trial that is no evidence, and why. ``status`` is invalid, failed or refused; ``where`` is relative."""

    scenario: str
    variant: str
    round: int
    status: str
    reasons: tuple[str, ...]
    log_tail: str
    where: str


@dataclass(frozen=True)
class IncompleteRound:
    """A round that was cut short, and the variants it still lacks. It is measured again on resume."""

    scenario: str
    round: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class ScenarioTables:
    """All that was measured of one scenario.

    ``trials``: one row a trial that is evidence: variant, round, origin_s (the first measured moment on the trial's
    own clock), measured_s; and NaN where unknown: generator_cpu_cores, server_cpu_cores (over the measured parts),
    loop_cpu_cores (of them, by the loops' own threads), workers (that were watched) and cores (that the server had);
    and group (whose servers were up together).
    ``turns``: one row a turn of such a trial.
    ``counts``: schema.COUNTS_COLUMNS with variant and round before them.
    ``latencies``: LATENCY_COLUMNS; one row per interval and histogram bucket. Values are the *highest equivalent*
    value of the bucket, in us, as HdrHistogram's own tools print them (at most 0.1 % above the truth).
    ``server``: what the probe saw, a row a moment, workers put together (telemetry.merged); ``stalls``: the pieces of
    stalls, with measured_ms: how much of each lies within the measured parts. Both lack trials without telemetry.
    In all of them times are seconds after the trial's first measured moment: warm-up is negative.
    """

    scenario: ScenarioInfo
    trials: pd.DataFrame
    counts: pd.DataFrame
    latencies: pd.DataFrame
    turns: pd.DataFrame
    server: pd.DataFrame
    stalls: pd.DataFrame
    troubles: tuple[ExcludedTrial, ...]
    left_out: tuple[IncompleteRound, ...]
    services: Mapping[str, str] = field(default_factory=dict)
    """Versions of the servers behind the variants: ``{"postgres": "18.4"}``."""

    @cached_property
    def _measured(self) -> dict[tuple[str, str, str, int], tuple[Floats, Floats]]:
        rows = self.latencies[self.latencies["measured"]]
        grouped = rows.groupby(["variant", "endpoint", "kind", "round"], observed=True, sort=False)
        return {
            (str(variant), str(endpoint), str(kind), int(str(number))): (
                part["value_us"].to_numpy(dtype=float),
                part["count"].to_numpy(dtype=float),
            )
            for (variant, endpoint, kind, number), part in grouped
        }

    @property
    def variants(self) -> tuple[VariantInfo, ...]:
        """The variants that have evidence, A/A controls excluded, in the catalogue's order."""
        seen = set(self.trials["variant"])
        return tuple(variant for variant in self.scenario.variants if variant.name in seen)

    def rounds(self, variant: str) -> tuple[int, ...]:
        """The rounds in which ``variant`` gave evidence, ascending."""
        return tuple(sorted(int(n) for n in self.trials.loc[self.trials["variant"] == variant, "round"]))

    def watched_rounds(self, variant: str) -> tuple[int, ...]:
        """Those of them in which its server was watched by the probe, with samples of the measured parts."""
        rows = self.server[(self.server["variant"] == variant) & self.server["measured"]]
        return tuple(sorted(int(number) for number in rows["round"].unique()))

    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that were asked, the scenario's own first."""
        seen = set(self.counts["endpoint"]) | set(self.latencies["endpoint"])
        return tuple(sorted(seen, key=lambda name: (name != self.scenario.endpoint, name)))

    def has_kind(self, endpoint: str, kind: str) -> bool:
        """Whether any measured interval of ``endpoint`` recorded ``kind``."""
        return any(key[1] == endpoint and key[2] == kind for key in self._measured)

    def headline_kind(self, endpoint: str) -> str:
        """``response`` where a timetable asks the endpoint (the health prober always has one), else ``service``."""
        if endpoint == self.scenario.endpoint:
            return self.scenario.kind
        return "response" if self.has_kind(endpoint, "response") or endpoint == HEALTH_ENDPOINT else "service"

    def round_latencies(self, variant: str, endpoint: str, number: int, kind: str | None = None) -> Latencies:
        """Measured latencies of one trial with the ages of its unanswered requests; the headline kind by default.

        ``carried`` requests are left out: they belong to the cohort before, whose other members were not seen.
        Ages count from the intended start; for service time that is a little early where requests were sent late.
        """
        kind = kind or self.headline_kind(endpoint)
        nothing = (np.empty(0), np.empty(0))
        finished = self._measured.get((variant, endpoint, kind, number), nothing)
        censored = self._measured.get((variant, endpoint, "unfinished", number), nothing)
        return latencies(*finished, *censored)

    def pooled_latencies(self, variant: str, endpoint: str, kind: str | None = None) -> Latencies:
        """The histograms of all rounds, added."""
        return add(self.round_latencies(variant, endpoint, number, kind) for number in self.rounds(variant))


def read_run(folder: Path) -> Run:
    """Read run.json. BrokenFile when it is missing, cut short, of another schema, or lacks what it must say."""
    path = folder / "run.json"
    record = files.read_record(path, RunRecord)
    try:
        scenarios = tuple(_scenario(name, declared) for name, declared in record.scenarios.items())
    except ValueError as error:
        raise files.BrokenFile(f"{path}: {error}") from None
    return Run(
        folder=folder,
        name=record.name or folder.name,
        created_unix_s=record.created_unix_s,
        command=record.command,
        machine=record.machine,
        git=record.git,
        scenarios=scenarios,
        doctor=record.doctor,
    )


def read_scenario(run: Run, scenario: ScenarioInfo) -> ScenarioTables:
    """Read every trial of ``scenario``'s complete rounds."""
    complete, left_out = _rounds(run.folder, scenario)
    measured: list[Measured] = []
    troubles: list[ExcludedTrial] = []
    for number in complete:
        for variant in scenario.everyone:
            folder = layout.trial_folder(run.folder, scenario.name, variant.name, scenario.load, number)
            outcome = _trial(run.folder, folder, scenario.name, variant.name, number)
            if isinstance(outcome, ExcludedTrial):
                troubles.append(outcome)
            else:
                measured.append(outcome)
    return ScenarioTables(
        scenario=scenario,
        trials=pd.DataFrame([one.row for one in measured], columns=list(TRIAL_COLUMNS)),
        counts=_joined([one.counts for one in measured], ("variant", "round", *schema.COUNTS_COLUMNS)),
        latencies=_joined([one.latencies for one in measured], LATENCY_COLUMNS),
        turns=_joined([one.turns for one in measured], TURN_COLUMNS),
        server=_joined([one.server for one in measured if one.server is not None], SERVER_COLUMNS),
        stalls=_joined([one.stalls for one in measured if one.stalls is not None], STALL_COLUMNS),
        troubles=tuple(troubles),
        left_out=left_out,
        services={name: version for one in measured for name, version in one.services.items()},
    )


def trial_files(run: Run, scenario: ScenarioInfo) -> Iterator[Path]:
    """The files that ``read_scenario`` would look at, in a fixed order; for fingerprints."""
    for number in _rounds(run.folder, scenario)[0]:
        for variant in scenario.everyone:
            folder = layout.trial_folder(run.folder, scenario.name, variant.name, scenario.load, number)
            names = ("trial.json", *layout.TRIAL_FILES, *layout.PROBE_FILES)
            yield from (path for name in names for path in sorted(folder.glob(name)) if path.is_file())


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


def _scenario(name: str, record: ScenarioRecord) -> ScenarioInfo:
    bounds = {variant.name: variant.bound for variant in record.variants}
    everyone = _variants(record, bounds)
    scenario = ScenarioInfo(
        name=_folder_name(name),
        question=record.question or name,
        path=record.path,
        load=_folder_name(record.load.name),
        users=record.load.users,
        rate_rps=record.load.rate_rps,
        seed=record.seed,
        rounds=record.rounds,
        measure_s=record.measure_s,
        profile=record.profile,
        variants=tuple(variant for variant in everyone if not variant.control_of),
        record=record,
        controls=tuple(variant for variant in everyone if variant.control_of),
        claims=tuple(map(_checked, record.claims)),
    )
    return replace(scenario, sweep=tuple(_under(scenario, other) for other in record.sweep))


def _under(scenario: ScenarioInfo, other: SweepRecord) -> ScenarioInfo:
    everyone = _variants(scenario.record, other.bounds)
    return replace(
        scenario,
        load=_folder_name(other.load.name),
        users=other.load.users,
        rate_rps=other.load.rate_rps,
        variants=tuple(variant for variant in everyone if not variant.control_of),
        controls=tuple(variant for variant in everyone if variant.control_of),
        claims=(),
    )


def _variants(record: ScenarioRecord, bounds: Mapping[str, BoundRecord | None]) -> tuple[VariantInfo, ...]:
    return tuple(_variant(variant, bounds.get(variant.name)) for variant in record.variants)


def _variant(record: VariantRecord, bound: BoundRecord | None) -> VariantInfo:
    return VariantInfo(
        name=_folder_name(record.name),
        role=record.role,
        summary=record.summary or record.name,
        file=record.file,
        source=record.source,
        formula=bound.formula if bound else "",
        kind=bound.kind if bound else "",
        max_rps=bound.max_rps if bound else None,
        min_latency_s=bound.min_latency_s if bound else None,
        control_of=record.control_of,
    )


def _checked(claim: Claim) -> Claim:
    """The claim; ValueError when it compares with something that is not positive."""
    for comparison in claim.comparisons:
        if not (comparison.factor > 0 and (isinstance(comparison.other, str) or comparison.other > 0)):
            raise ValueError("a claim compares with a positive number")
    return claim


def _folder_name(name: object) -> str:
    """Names become folders and file names: nothing that climbs out of the run's folder."""
    if not isinstance(name, str) or not re.fullmatch(r"[^/\\\0.][^/\\\0]*", name):
        raise ValueError(f"{str(name)[:80]!r} cannot be the name of a folder")
    return name


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _rounds(folder: Path, scenario: ScenarioInfo) -> tuple[tuple[int, ...], tuple[IncompleteRound, ...]]:
    """The complete rounds, and the others with what they lack."""
    found: dict[int, set[str]] = {}
    for variant in scenario.everyone:
        for place in (folder / scenario.name / variant.name / scenario.load).glob("*"):
            if not (place.name.isascii() and place.name.isdecimal() and place.is_dir()):
                continue
            done = found.setdefault(int(place.name), set())
            if (place / "trial.json").is_file():
                done.add(variant.name)
    names = tuple(variant.name for variant in scenario.everyone)
    lacking = {number: tuple(n for n in names if n not in done) for number, done in sorted(found.items())}
    complete = tuple(number for number, missing in lacking.items() if not missing)
    return complete, tuple(
        IncompleteRound(scenario.name, number, missing) for number, missing in lacking.items() if missing
    )


@dataclass(frozen=True)
class Measured:
    """One trial that is evidence, as its parts of the ScenarioTables. ``server`` and ``stalls`` are None without telemetry."""

    row: dict[str, Any]
    counts: pd.DataFrame
    latencies: pd.DataFrame
    turns: pd.DataFrame
    server: pd.DataFrame | None
    stalls: pd.DataFrame | None
    services: dict[str, str]


def _trial(run: Path, folder: Path, scenario: str, variant: str, number: int) -> Measured | ExcludedTrial:
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


def _evidence(folder: Path, trial: TrialRecord, seen: telemetry.Telemetry | None) -> Measured:
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
    }
    counts = _read_counts(folder / "counts.csv", origin_s)
    histograms = _read_histograms(folder / "requests.hlog", origin_s, parts)
    samples = stalls = None
    if seen is not None:
        row |= _of_telemetry(seen, parts, [(start, end) for start, _, end in turns])
        samples, stalls = _cut(seen, origin_s, parts)
    turn_table = _turns(trial.facts, origin_s)
    measured = Measured(row, counts, histograms, turn_table, samples, stalls, dict(trial.services))
    for table in (measured.counts, measured.latencies, measured.turns, samples, stalls):
        if table is not None:
            table.insert(0, "variant", trial.variant)
            table.insert(1, "round", trial.round)
    return measured


def _of_telemetry(
    seen: telemetry.Telemetry, parts: list[tuple[float, float]], turns: list[tuple[float, float]]
) -> dict[str, float]:
    return {
        "server_cpu_cores": telemetry.used_cores(seen.samples, "cpu_s", parts, turns),
        "loop_cpu_cores": telemetry.used_cores(seen.samples, "loop_cpu_s", parts, turns),
        "workers": float(seen.samples["worker"].nunique()),
    }


def _cut(
    seen: telemetry.Telemetry, origin_s: float, parts: list[tuple[float, float]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the probe saw, with what lies within the measured parts told from what does not."""
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
            raise ValueError("other columns than schema.py documents")
        numbers = [column for column in schema.COUNTS_COLUMNS if column != "endpoint"]
        if table.isna().to_numpy().any():
            raise ValueError("a row is not whole")
        table[numbers] = table[numbers].astype(float)
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise files.BrokenFile(f"{path}: not readable ({_said(error)})") from None
    table[["start_s", "end_s"]] -= origin_s
    return table


def _read_histograms(path: Path, origin_s: float, parts: list[tuple[float, float]]) -> pd.DataFrame:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise files.BrokenFile(f"{path}: cannot be read ({_said(error)})") from None
    columns: dict[str, list[Any]] = {name: [] for name in LATENCY_COLUMNS[2:-2]}
    values: list[NDArray[np.int64]] = []
    counts: list[NDArray[np.int64]] = []
    for line_number, line in enumerate(lines, start=1):
        if not line.startswith("Tag="):
            continue
        try:
            endpoint, kind, start_s, length_s, (value_us, count) = _interval(line)
        except Exception as error:  # zlib, base64, struct and hdrh each raise their own; all mean the same here
            raise files.BrokenFile(f"{path}: line {line_number} cannot be decoded ({_said(error)})") from None
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


def _joined(tables: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    """One table; names as categories, since they repeat in every row."""
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(columns))
    for name in ("variant", "endpoint", "kind"):
        if name in table:
            table[name] = table[name].astype("category")
    if "measured" in table:
        table["measured"] = table["measured"].astype(bool)
    return table
