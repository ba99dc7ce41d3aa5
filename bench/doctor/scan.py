"""The doctor's measurement: find out what the app offers, make scenarios of it, and measure them.

discovery = discover(request)
complete = measure(discovery, ScanRun(folder, seed, header), progress)
"""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bench.doctor.openapi import Operations, Selection, operations
from bench.doctor.scenarios import (
    LOADED_S,
    MAX_LOADED_S,
    DoctorTarget,
    alone_measure_s,
    alone_scenario,
    health_request,
    loaded_measure_s,
    loaded_scenarios,
    path_template,
)
from bench.model import AppSource, Plan, ServerGroup, Status
from bench.model.errors import UsageError
from bench.model.requests import AnsweredRequest, SampleRequest, SkippedOperation
from bench.planning.schedule import make_plan
from bench.results import files, schema
from bench.results.schema import (
    DoctorRecord,
    EndpointRecord,
    ExcerptRecord,
    FunctionRecord,
    GitRecord,
    MachineRecord,
    RunRecord,
    SkippedRecord,
    StartUpRecord,
)
from bench.running.campaign import CampaignObserver, run_campaign
from bench.running.group import OnPhase, run_group
from bench.running.preflight import AppFacts, RunningApp, inspect_app, started_app
from bench.running.run_record import declare_scenario
from bench.running.temporary import OwnedFolder

MIN_EXCERPT_MS = 100.0
"""A line that held the server for less, over all trials, is not shown."""
EXCERPT_LINES = 3
"""Lines shown before and after a blamed line."""
MAX_REASONS = 3
"""Operations that an error message names, with the reason why they cannot be measured."""
MAX_MEASUREMENTS = 2
"""An endpoint with an invalid trial is measured once more, and longer. The usual causes: another program ran, or the
endpoint is so slow under load that it answered nothing."""


@dataclass(frozen=True)
class ScanRequest:
    """What the user asked the doctor to measure."""

    app: AppSource
    environment: Mapping[str, str] = field(default_factory=dict)
    """More environment variables of the app's server, from an env file."""
    options: tuple[str, ...] = ()
    """uvicorn's."""
    selection: Selection = field(default_factory=Selection)
    document: str | None = None
    """Path of the OpenAPI document; None for the one that the app names."""
    paths: tuple[str, ...] = ()
    """Endpoints to measure in place of those in the document."""
    health_path: str | None = None
    """What the health probe requests; None for the fastest endpoint."""
    users: int = 32
    measure_s: float = LOADED_S
    """Seconds at each endpoint under load; slow endpoints get more."""


@dataclass(frozen=True)
class Discovery:
    """What was found out before the measurement."""

    facts: AppFacts
    answered: tuple[AnsweredRequest, ...]
    skipped: tuple[SkippedOperation, ...]
    health: AnsweredRequest
    start_up: StartUpRecord


@dataclass(frozen=True)
class ScanRun:
    """Where a scan is recorded."""

    folder: Path
    seed: int
    machine: MachineRecord
    git: GitRecord | None
    command: str
    """Command line that measures the same again."""


# Before the measurement


def discover(request: ScanRequest) -> Discovery:
    """Start the app and try what it offers. UsageError when it cannot be served, or nothing can be measured."""
    app = request.app
    facts = inspect_app(app, request.environment)
    document = request.document or facts.openapi_url
    if document is None and not request.paths:
        raise UsageError(
            f"{app.target} has its OpenAPI document switched off (openapi_url is None): name its endpoints with --path"
        )
    if document is not None and not document.startswith("/"):
        raise UsageError(f"{app.target} has its OpenAPI document at {document}: name its path with --openapi")
    watched = replace(app, code_folders=tuple(filter(None, (facts.package,))), watch_start_up=True)
    first_path = document or request.paths[0]
    with started_app(watched, request.environment, request.options, first_path) as running:
        found = _operations(request, running, document)
        answered, unanswered = running.try_all(found.requests)
        start_up = StartUpRecord(running.ready_s, running.start_up_stalls())
    skipped = (*found.skipped, *unanswered)
    if not answered:
        raise UsageError(f"{app.target} has no operation that can be measured: {_reasons(skipped)}")
    return Discovery(facts, answered, skipped, health_request(answered, request.health_path), start_up)


def _operations(request: ScanRequest, running: RunningApp, document: str | None) -> Operations:
    if request.paths:
        headers = request.selection.headers
        return Operations(tuple(SampleRequest(f"GET {path}", "GET", path, headers) for path in request.paths), ())
    assert document is not None
    try:
        return operations(running.document(document), request.selection)
    except ValueError as error:
        raise UsageError(f"{request.app.target}: {error}") from None


def _reasons(skipped: Sequence[SkippedOperation]) -> str:
    if not skipped:
        return "its document lists none"
    more = f"; and {len(skipped) - MAX_REASONS} more" if len(skipped) > MAX_REASONS else ""
    return "; ".join(f"{each.name}: {each.reason}" for each in skipped[:MAX_REASONS]) + more


# The measurement


def scan(
    request: ScanRequest,
    discovery: Discovery,
    run: ScanRun,
    observe: Callable[[Sequence[Plan]], CampaignObserver],
) -> bool:
    """Measure every endpoint. Whether all of them could be measured."""
    with OwnedFolder("scan") as temporary:  # requests may hold secrets, so they are no results
        requests_file = temporary.path / "requests.json"
        files.write_json(requests_file, _requests(discovery))
        plans = _plans(request, discovery, run.seed, requests_file)
        record = _record(request, discovery, run, plans)
        files.write_record(run.folder / "run.json", record)
        observer = observe(plans)
        complete = [_measure(plan, run.folder, observer) for plan in plans]
    assert record.doctor is not None
    found = tuple(excerpts(run.folder, _code_folders(request, discovery.facts)))
    files.write_record(run.folder / "run.json", replace(record, doctor=replace(record.doctor, excerpts=found)))
    return all(complete)


def _requests(discovery: Discovery) -> dict[str, object]:
    return {
        "schema": schema.SCHEMA,
        "prober": asdict(discovery.health.request),
        "requests": [asdict(each.request) for each in discovery.answered],
    }


def _plans(request: ScanRequest, discovery: Discovery, seed: int, requests_file: Path) -> list[Plan]:
    target = DoctorTarget(
        replace(request.app, code_folders=tuple(filter(None, (discovery.facts.package,)))),
        request.options,
        discovery.answered,
        discovery.health,
        request.users,
        str(requests_file),
        tuple(request.environment.items()),
        tuple(request.selection.secret_values()),
    )
    alone = alone_scenario(target)
    plans = [make_plan(alone, alone.default_load, 1, alone_measure_s(target), seed)]
    for scenario, each in zip(loaded_scenarios(target), discovery.answered, strict=True):
        plans.append(make_plan(scenario, scenario.default_load, 1, loaded_measure_s(each, request.measure_s), seed))
    return plans


def _measure(plan: Plan, folder: Path, observer: CampaignObserver) -> bool:
    """Measure one scenario. Whether its trial is evidence."""
    for left in reversed(range(MAX_MEASUREMENTS)):
        statuses = _statuses(plan, folder, observer)
        if "invalid" not in statuses:
            return "failed" not in statuses
        if left:
            shutil.rmtree(folder / plan.scenario.name)
            plan = make_plan(plan.scenario, plan.load, 1, max(plan.measure_s, MAX_LOADED_S), plan.seed)
    return False


def _statuses(plan: Plan, folder: Path, observer: CampaignObserver) -> set[Status]:
    def measure(group: ServerGroup, on_phase: OnPhase) -> list[schema.TrialRecord]:
        return run_group(plan.scenario, group, folder, on_phase)

    outcome = run_campaign(plan, folder, measure, observer, max_repeats=0)
    return {trial.status for trial in outcome.trials}


# Records


def _record(request: ScanRequest, discovery: Discovery, run: ScanRun, plans: Sequence[Plan]) -> RunRecord:
    return RunRecord(
        schema=schema.SCHEMA,
        name=run.folder.name,
        created_unix_s=time.time(),
        command=run.command,
        machine=run.machine,
        git=run.git,
        scenarios={plan.scenario.name: declare_scenario(plan, "doctor") for plan in plans},
        doctor=_doctor_record(request, discovery, plans[1:]),
    )


def _doctor_record(request: ScanRequest, discovery: Discovery, loaded: Sequence[Plan]) -> DoctorRecord:
    facts = discovery.facts
    return DoctorRecord(
        app=request.app.target,
        python=facts.python,
        uvicorn=facts.uvicorn,
        watched=not request.app.url,
        users=request.users,
        health_probe=discovery.health.name,
        endpoints=tuple(
            EndpointRecord(plan.scenario.name, each.name, path_template(each), each.alone_s)
            for plan, each in zip(loaded, discovery.answered, strict=True)
        ),
        skipped=tuple(SkippedRecord(each.name, each.reason) for each in discovery.skipped),
        functions=tuple(_functions_of_app(facts.functions, _code_folders(request, facts))),
        start_up=discovery.start_up,
    )


def _functions_of_app(functions: Iterable[FunctionRecord], folders: Sequence[Path]) -> Iterator[FunctionRecord]:
    """Functions of the app's own code, each once, with its file as the probe names it."""
    seen = set()
    for function in functions:
        path = Path(function.file)
        inside = next((path.relative_to(folder) for folder in folders if path.is_relative_to(folder)), None)
        if inside is not None and (function.file, function.first) not in seen:
            seen.add((function.file, function.first))
            yield replace(function, file=str(inside))


def _code_folders(request: ScanRequest, facts: AppFacts) -> tuple[Path, ...]:
    """The folders that the probe's file names are relative to."""
    if request.app.url:
        return ()
    folders = [Path(request.app.folder)]
    if facts.package:
        folders.append(Path(facts.package).parent)
    return tuple(folder.resolve() for folder in folders)


def excerpts(run: Path, folders: Sequence[Path]) -> Iterator[ExcerptRecord]:
    """The source lines around each line that held a server, as they are now."""
    held: dict[tuple[str, int], float] = {}
    for path in run.glob("*/*/*/*/stalls-*.csv"):
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["file"] and (row["line"] or "").isdecimal():
                    location = (row["file"], int(row["line"]))
                    held[location] = held.get(location, 0.0) + float(row["stalled_ms"] or 0)
    for file, line in (location for location, stalled_ms in held.items() if stalled_ms >= MIN_EXCERPT_MS):
        found = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if found is not None:
            text = found.read_text(encoding="utf-8", errors="replace").splitlines()
            first = max(1, line - EXCERPT_LINES)
            yield ExcerptRecord(file, line, first, tuple(text[first - 1 : line + EXCERPT_LINES]))
