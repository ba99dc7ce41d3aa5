"""The doctor's measurement: makes scenarios of what an app offers (discovery.py), and measures them.

complete = scan(request, discovery, ScanRun(folder, seed, machine, git, command), progress.begin)
"""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bench.doctor.discovery import Discovery, ScanRequest, reset_data
from bench.doctor.login import Headers, credentials, with_headers
from bench.doctor.scenarios import (
    ALONE,
    HEALTH_PROBE,
    MAX_LOADED_S,
    DoctorTarget,
    alone_measure_s,
    alone_scenario,
    loaded_measure_s,
    loaded_scenarios,
    path_template,
)
from bench.doctor.static_check import suspected_lines
from bench.model import Plan, ServerGroup, Status
from bench.model.requests import BlockedRequest
from bench.planning.schedule import make_plan
from bench.results import files, layout, schema
from bench.results.control_messages import TargetRecord
from bench.results.schema import (
    BlockedRecord,
    DoctorRecord,
    EndpointRecord,
    ExcerptRecord,
    FunctionRecord,
    GitRecord,
    HeldLineRecord,
    MachineRecord,
    RunRecord,
    SkippedRecord,
)
from bench.running.campaign import CampaignObserver, run_campaign
from bench.running.group import GroupHooks, OnPhase, run_group
from bench.running.preflight import AppFacts
from bench.running.preflight_server import Answered, client, send_once
from bench.running.probe_setup import holder_of_the_loop
from bench.running.run_record import declare_scenario
from bench.running.temporary import OwnedFolder

MIN_EXCERPT_MS = 100.0
"""A line that held the server for less, over all trials, is not shown."""
EXCERPT_LINES = 3
"""Lines shown before and after a blamed line."""
MAX_MEASUREMENTS = 2
"""An endpoint with an invalid trial is measured once more, and longer. The usual causes: another program ran, or the
endpoint is so slow under load that it answered nothing."""


@dataclass(frozen=True)
class ScanRun:
    """Where a scan is recorded."""

    folder: Path
    seed: int
    machine: MachineRecord
    git: GitRecord | None
    command: str
    """Command line that measures the same again."""


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
        plans = _plans(request, discovery, run.seed, requests_file)
        record = _record(request, discovery, run, plans)
        files.write_record(run.folder / "run.json", record)
        observer = observe(plans)
        measurement = _Measurement(request, discovery, run.folder, requests_file, observer)
        complete = [measurement.of(plan) for plan in plans]
    assert record.doctor is not None
    doctor = _with_what_was_not_measured(record.doctor, measurement)
    record = replace(record, doctor=doctor)
    assert record.doctor is not None
    found = tuple(excerpts(run.folder, _code_folders(request, discovery.facts), _held_before(record.doctor)))
    files.write_record(run.folder / "run.json", replace(record, doctor=replace(record.doctor, excerpts=found)))
    return all(complete)


def _plans(request: ScanRequest, discovery: Discovery, seed: int, requests_file: Path) -> list[Plan]:
    target = DoctorTarget(
        replace(request.app, code_folders=discovery.facts.code_folders),
        request.options,
        discovery.answered,
        discovery.health,
        request.users,
        str(requests_file),
        tuple(request.environment.items()),
        discovery.secrets,
    )
    alone = alone_scenario(target)
    plans = [make_plan(alone, alone.default_load, 1, alone_measure_s(target), seed)]
    for scenario, each in zip(loaded_scenarios(target), discovery.answered, strict=True):
        plans.append(make_plan(scenario, scenario.default_load, 1, loaded_measure_s(each, request.measure_s), seed))
    return plans


@dataclass(frozen=True)
class _Measurement:
    """Measures one scenario after the other."""

    request: ScanRequest
    discovery: Discovery
    folder: Path
    requests_file: Path
    """What the load generator sends. It holds secrets, so it is temporary."""
    observer: CampaignObserver
    frozen: list[BlockedRecord] = field(default_factory=list)
    """Endpoints under whose load the server answered nobody."""
    limited: list[SkippedRecord] = field(default_factory=list)
    """Endpoints whose load a rate limiter refused."""

    def of(self, plan: Plan) -> bool:
        """Measure one scenario. Whether its trial says something."""
        for left in reversed(range(MAX_MEASUREMENTS)):
            trials = self._trials(plan)
            statuses: set[Status] = {trial.status for trial in trials}
            if "invalid" not in statuses:
                return "failed" not in statuses
            if refused := _refused_by_a_limiter(plan.scenario.endpoint, trials):  # and would refuse again
                self.limited.append(SkippedRecord(plan.scenario.endpoint, refused, "rate limit"))
                return False
            if not left and (frozen := self._frozen(plan, trials)) is not None:
                self.frozen.append(frozen)
                return True
            if left:
                shutil.rmtree(self.folder / plan.scenario.name)
                plan = make_plan(plan.scenario, plan.load, 1, max(plan.measure_s, MAX_LOADED_S), plan.seed)
        return False

    def _frozen(self, plan: Plan, trials: Sequence[schema.TrialRecord]) -> BlockedRecord | None:
        """The endpoint, where nothing was answered under its load and the line that held the loop is known."""
        scenario = plan.scenario
        for trial in trials:
            main = trial.facts.endpoints.get(scenario.endpoint) if trial.facts else None
            if trial.facts is None or scenario.name == ALONE or (main and main.finished):
                continue
            place = layout.trial_folder(self.folder, scenario.name, trial.variant, trial.load.name, trial.round)
            holder = holder_of_the_loop(place, trial.facts.turns)
            if holder is not None:
                seconds = holder.measured_s
                return BlockedRecord(scenario.endpoint, scenario.path, seconds, True, holder.line, under_load=True)
        return None

    def _trials(self, plan: Plan) -> Sequence[schema.TrialRecord]:
        def measure(group: ServerGroup, on_phase: OnPhase) -> list[schema.TrialRecord]:
            self._write_requests(self.discovery.login_headers)
            return run_group(plan.scenario, group, self.folder, GroupHooks(on_phase, self._prepare))

        return run_campaign(plan, self.folder, measure, self.observer, max_repeats=0).trials

    def _prepare(self, targets: tuple[TargetRecord, ...]) -> None:
        """Put the data back, and log in to the server: what it gives belongs to it alone."""
        if self.request.reset:
            reset_data(self.request)
        if self.discovery.login_request is None:
            return
        (target,) = targets
        with client(target.url) as http:
            outcome = send_once(http, self.discovery.login_request)
        if isinstance(outcome, Answered):
            headers = self.discovery.login_headers
            forms = credentials(outcome.content, outcome.headers)
            self._write_requests(next((form for form in forms if _scheme(form) == _scheme(headers)), headers))

    def _write_requests(self, headers: Headers) -> None:
        """Write what the load generator sends, with what a login gave."""
        content = {
            "schema": schema.SCHEMA,
            "changes": self.discovery.login_request is not None,
            "prober": asdict(with_headers(self.discovery.health.request, headers)),
            "requests": [
                {**asdict(with_headers(each.request, headers)), "is_long": each.is_long}
                for each in self.discovery.answered
            ],
        }
        files.write_json(self.requests_file, content)


def _refused_by_a_limiter(endpoint: str, trials: Sequence[schema.TrialRecord]) -> str:
    """What a rate limiter did to the endpoint's requests, in words; empty where none refused any."""
    for trial in trials:
        facts = trial.facts.endpoints.get(endpoint) if trial.facts else None
        if facts and (refused := facts.statuses.get("429", 0)):
            return f"its rate limiter answered with status 429, {refused:,} of {facts.started:,} times"
    return ""


def _with_what_was_not_measured(doctor: DoctorRecord, measurement: _Measurement) -> DoctorRecord:
    """The record with the endpoints whose load said something else than figures."""
    limited = {each.name for each in measurement.limited}
    return replace(
        doctor,
        blocked=(*doctor.blocked, *measurement.frozen),
        endpoints=tuple(each for each in doctor.endpoints if each.endpoint not in limited),
        skipped=(*doctor.skipped, *(each for each in measurement.limited if each.name != HEALTH_PROBE)),
    )


def _scheme(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The form in which a token is sent: the headers' names, and the word before the token."""
    return [(name, value.rpartition(" ")[0] if name == "Authorization" else "") for name, value in headers]


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
            EndpointRecord(
                plan.scenario.name,
                each.name,
                path_template(each),
                each.alone_s,
                each.is_long,
                each.first_byte_s,
                each.request.source,
                each.first_s,
            )
            for plan, each in zip(loaded, discovery.answered, strict=True)
        ),
        skipped=tuple(SkippedRecord(each.name, each.reason, each.group) for each in discovery.skipped),
        functions=tuple(_functions_of_app(facts.functions, _code_folders(request, facts))),
        start_up=discovery.start_up,
        blocked=tuple(map(_blocked_record, discovery.blocked)),
        driven=discovery.driven,
        suspected=() if request.app.url else tuple(suspected_lines(Path(request.app.folder))),
        packages=facts.packages,
    )


def _blocked_record(each: BlockedRequest) -> BlockedRecord:
    by = each.by
    line = HeldLineRecord(by.file, by.line, by.function, by.callee, each.blocked_s) if by else None
    path = each.name.partition(" ")[2]
    return BlockedRecord(each.name, path, each.blocked_s, each.at_least, line, each.request.source)


def _held_before(doctor: DoctorRecord) -> set[tuple[str, int]]:
    """The lines that held the app outside the measurement."""
    lines = [*(each.by for each in doctor.blocked if each.by), *doctor.start_up.stalls, *doctor.driven]
    return {(each.file, each.line) for each in lines if 1000 * each.stalled_s >= MIN_EXCERPT_MS}


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


def excerpts(run: Path, folders: Sequence[Path], more: set[tuple[str, int]]) -> Iterator[ExcerptRecord]:
    """The source lines around each line that held a server, and around ``more`` lines, as they are now."""
    held: dict[tuple[str, int], float] = {}
    for path in run.glob("*/*/*/*/stalls-*.csv"):
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["file"] and (row["line"] or "").isdecimal():
                    location = (row["file"], int(row["line"]))
                    held[location] = held.get(location, 0.0) + float(row["stalled_ms"] or 0)
    long_enough = {location for location, stalled_ms in held.items() if stalled_ms >= MIN_EXCERPT_MS}
    for file, line in sorted(long_enough | more):
        found = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if found is not None:
            text = found.read_text(encoding="utf-8", errors="replace").splitlines()
            first = max(1, line - EXCERPT_LINES)
            yield ExcerptRecord(file, line, first, tuple(text[first - 1 : line + EXCERPT_LINES]))
