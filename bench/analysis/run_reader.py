"""Reads a run's folder: run.json, and the trials of a scenario's complete rounds as ScenarioTables.

    run = read_run(Path("results/2026-11-23"))
    tables = read_scenario(run, run.scenarios[0])

Only complete rounds count: every variant has its trial.json there. A trial whose files are cut short, changed or not
decodable is excluded, by name; the others count. Only a broken run.json raises BrokenFile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.analysis.tables import ExcludedTrial, IncompleteRound, Run, ScenarioInfo, ScenarioTables, VariantInfo
from bench.analysis.trial_reader import (
    LATENCY_COLUMNS,
    SERVER_COLUMNS,
    STALL_COLUMNS,
    TRIAL_COLUMNS,
    TURN_COLUMNS,
    TrialTables,
    read_trial,
)
from bench.model import Claim
from bench.results import files, layout, schema
from bench.results.schema import BoundRecord, RunRecord, ScenarioRecord, SweepRecord, VariantRecord


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
    measured: list[TrialTables] = []
    troubles: list[ExcludedTrial] = []
    for number in complete:
        for variant in scenario.all_variants:
            folder = layout.trial_folder(run.folder, scenario.name, variant.name, scenario.load, number)
            outcome = read_trial(run.folder, folder, scenario.name, variant.name, number)
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
        excluded=tuple(troubles),
        incomplete_rounds=left_out,
        facts={(one.row["variant"], one.row["round"]): one.facts for one in measured},
        services={name: version for one in measured for name, version in one.services.items()},
    )


def trial_files(run: Run, scenario: ScenarioInfo) -> Iterator[Path]:
    """The files that ``read_scenario`` would look at, in a fixed order; for fingerprints."""
    for number in _rounds(run.folder, scenario)[0]:
        for variant in scenario.all_variants:
            folder = layout.trial_folder(run.folder, scenario.name, variant.name, scenario.load, number)
            names = ("trial.json", *layout.TRIAL_FILES, *layout.PROBE_FILES)
            yield from (path for name in names for path in sorted(folder.glob(name)) if path.is_file())


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


def _rounds(folder: Path, scenario: ScenarioInfo) -> tuple[tuple[int, ...], tuple[IncompleteRound, ...]]:
    """The complete rounds, and the others with what they lack."""
    found: dict[int, set[str]] = {}
    for variant in scenario.all_variants:
        for place in (folder / scenario.name / variant.name / scenario.load).glob("*"):
            if not (place.name.isascii() and place.name.isdecimal() and place.is_dir()):
                continue
            done = found.setdefault(int(place.name), set())
            if (place / "trial.json").is_file():
                done.add(variant.name)
    names = tuple(variant.name for variant in scenario.all_variants)
    lacking = {number: tuple(n for n in names if n not in done) for number, done in sorted(found.items())}
    complete = tuple(number for number, missing in lacking.items() if not missing)
    return complete, tuple(
        IncompleteRound(scenario.name, number, missing) for number, missing in lacking.items() if missing
    )


def _joined(tables: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    """One table; names as categories, since they repeat in every row."""
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(columns))
    for name in ("variant", "endpoint", "kind"):
        if name in table:
            table[name] = table[name].astype("category")
    if "measured" in table:
        table["measured"] = table["measured"].astype(bool)
    return table
