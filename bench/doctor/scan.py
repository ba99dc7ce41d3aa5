"""The doctor's visit: looks at the app once, makes scenarios of what it offers, and has them measured."""

from __future__ import annotations

import csv
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.doctor.openapi import Operations, SampleRequest, Selection, SkippedOperation, operations
from bench.doctor.scenarios import (
    ALONE,
    LOADED_MOST_S,
    LOADED_S,
    alone_s,
    alone_scenario,
    loaded_s,
    loaded_scenarios,
    prober_of,
)
from bench.model import AppSource, Plan, Scenario
from bench.model.errors import UsageError
from bench.planning.schedule import make_plan
from bench.results import files, schema
from bench.running.campaign import CampaignObserver, entry_of, run_campaign
from bench.running.group import run_group
from bench.running.preflight import AnsweredRequest, RunningApp, inspect, scouted

DOCUMENT = "/openapi.json"
"""Where FastAPI has it, unless the app says otherwise."""
EXCERPT_LEAST_MS = 100.0
"""Who held a server for less, over all trials, is not shown."""
EXCERPT_AROUND = 3
"""Lines shown before and after one."""
REASONS_SAID = 3
"""Operations that a refusal names, with why they cannot be asked."""
TRIES = 2
"""An endpoint whose figures are not to be trusted is measured once more, and longer: mostly something else ran
meanwhile, or it is quick alone and so slow for many that none of them was answered."""


@dataclass(frozen=True)
class ScanRequest:
    """What the user asked to be looked at."""

    app: AppSource
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that its server gets besides: of an env file."""
    options: tuple[str, ...] = ()
    """uvicorn's."""
    wishes: Selection = field(default_factory=Selection)
    document: str | None = None
    """Path of its OpenAPI document, where the app does not tell."""
    paths: tuple[str, ...] = ()
    """Ask these in place of what the document has."""
    prober: str | None = None
    """Path that the prober asks; by default the cheapest."""
    users: int = 32
    measure_s: float = LOADED_S
    """At every endpoint, under load; longer where one is slow."""


@dataclass(frozen=True)
class Discovery:
    """What was found out before anything was measured."""

    facts: dict[str, Any]
    answered: tuple[AnsweredRequest, ...]
    left_out: tuple[SkippedOperation, ...]
    prober: AnsweredRequest
    start_up: dict[str, Any]


def take_history(patient: ScanRequest) -> Discovery:
    """Look at the app and try what it offers; UsageError where it cannot be served, or offers nothing to measure."""
    facts = inspect(patient.app, patient.environment)
    app = replace(patient.app, code_folders=tuple(filter(None, (facts["package"],))), watch_start_up=True)
    document = patient.document or facts.get("openapi_url", DOCUMENT)
    if document is None and not patient.paths:
        raise UsageError(
            f"{app.target} has its OpenAPI document switched off (openapi_url is None): name its endpoints with --path"
        )
    if document is not None and not document.startswith("/"):
        raise UsageError(f"{app.target} has its OpenAPI document at {document}: name a path here with --openapi")
    with scouted(app, patient.environment, patient.options, document or patient.paths[0]) as seen:
        found = _found(patient, seen, document)
        answered, silent = seen.ask(found.checks)
        start_up = {"ready_s": seen.ready_s, "stalls": [asdict(stall) for stall in seen.start_up_stalls()]}
    left_out = (*found.left_out, *silent)
    if not answered:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in left_out[:REASONS_SAID]) or "it has no operations"
        reasons += f"; and {len(left_out) - REASONS_SAID} more" if len(left_out) > REASONS_SAID else ""
        raise UsageError(f"{app.target} offers nothing that could be measured: {reasons}")
    return Discovery(facts, tuple(answered), left_out, prober_of(answered, patient.prober), start_up)


def _found(patient: ScanRequest, seen: RunningApp, document: str | None) -> Operations:
    if patient.paths:
        headers = patient.wishes.headers
        return Operations(tuple(SampleRequest(f"GET {path}", "GET", path, headers) for path in patient.paths), ())
    assert document is not None
    try:
        return operations(seen.document(document), patient.wishes)
    except ValueError as error:
        raise UsageError(f"{patient.app.target}: {error}") from None


def examine(
    patient: ScanRequest,
    history: Discovery,
    run: Path,
    seed: int,
    header: Mapping[str, Any],
    watched: Callable[[Sequence[Plan]], CampaignObserver],
) -> bool:
    """Measure every endpoint into ``run``; whether all of them could be."""
    with tempfile.TemporaryDirectory() as temporary:  # the checks may hold secrets, so they are no results
        checks = Path(temporary) / "checks.json"
        files.write_json(checks, _checks(history))
        plans = _plans(patient, history, seed, str(checks))
        record = {**header, **_record(run, patient, history, plans)}
        files.write_json(run / "run.json", record)
        watch = watched(plans)
        measured = [_measured(plan, run, watch) for plan in plans]
    record["doctor"]["excerpts"] = list(excerpts(run, _code_folders(patient, history)))
    files.write_json(run / "run.json", record)
    return all(measured)


def _plans(patient: ScanRequest, history: Discovery, seed: int, checks: str) -> list[Plan]:
    app = replace(patient.app, code_folders=tuple(filter(None, (history.facts["package"],))))
    answered, prober, users = history.answered, history.prober, patient.users
    alone = alone_scenario(app, patient.options, answered, checks)
    loaded = loaded_scenarios(app, patient.options, answered, prober, users, checks)
    lengths = {ALONE: alone_s(answered, prober)} | {
        scenario.name: loaded_s(each, patient.measure_s) for scenario, each in zip(loaded, answered, strict=True)
    }
    environment = tuple(patient.environment.items())
    return [
        make_plan(_with(scenario, environment), scenario.default_load, 1, lengths[scenario.name], seed)
        for scenario in (alone, *loaded)
    ]


def _with(scenario: Scenario, environment: tuple[tuple[str, str], ...]) -> Scenario:
    return replace(scenario, variants=tuple(replace(each, environment=environment) for each in scenario.variants))


def _measured(plan: Plan, run: Path, watch: CampaignObserver) -> bool:
    scenario = plan.scenario
    for tries_left in reversed(range(TRIES)):
        outcome = run_campaign(plan, run, lambda lineup, said: run_group(scenario, lineup, run, said), watch)
        statuses = {trial.status for trial in outcome.troubled}
        if "invalid" not in statuses:
            return not statuses
        if tries_left:
            shutil.rmtree(run / plan.scenario.name)
            plan = make_plan(plan.scenario, plan.load, 1, max(plan.measure_s, LOADED_MOST_S), plan.seed)
    return False


def _checks(history: Discovery) -> dict[str, Any]:
    return {
        "schema": schema.SCHEMA,
        "prober": asdict(history.prober.check),
        "requests": [asdict(each.check) for each in history.answered],
    }


def _record(run: Path, patient: ScanRequest, history: Discovery, plans: Sequence[Plan]) -> dict[str, Any]:
    alone, *loaded = plans
    endpoints = [
        {
            "scenario": plan.scenario.name,
            "endpoint": each.check.name,
            "path": each.check.path,
            "alone_s": each.alone_s,
        }
        for plan, each in zip(loaded, history.answered, strict=True)
    ]
    return {
        "schema": schema.SCHEMA,
        "name": run.name,
        "created_unix_s": time.time(),
        "command": shlex.join(_command(patient, alone.seed)),
        "scenarios": {plan.scenario.name: entry_of(plan, "doctor") for plan in plans},
        "doctor": {
            "app": patient.app.target,
            "python": history.facts["python"],
            "uvicorn": history.facts["uvicorn"],
            "watched": not patient.app.url,
            "users": patient.users,
            "prober": history.prober.check.name,
            "endpoints": endpoints,
            "left_out": [asdict(each) for each in history.left_out],
            "places": list(_own(history.facts["places"], _code_folders(patient, history))),
            "start_up": history.start_up,
        },
    }


def _command(patient: ScanRequest, seed: int) -> list[str]:
    """Near enough to look again; what only the user knows (files, headers) is left to the user."""
    app = ["--url", patient.app.url] if patient.app.url else [patient.app.target]
    factory = ["--factory"] if patient.app.factory else []
    users = ["--users", str(patient.users)] if patient.users != ScanRequest.users else []
    options = ["--", *patient.options] if patient.options else []
    return ["nox", "-s", "doctor", "--", *app, *factory, *users, "--seed", str(seed), *options]


def _own(places: Iterable[dict[str, Any]], folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Functions of the app's own code, each once, with its file as the probe names it."""
    seen = set()
    for place in places:
        path = Path(place["file"])
        inside = next((path.relative_to(folder) for folder in folders if path.is_relative_to(folder)), None)
        if inside is not None and (place["file"], place["first"]) not in seen:
            seen.add((place["file"], place["first"]))
            yield {**place, "file": str(inside)}


def _code_folders(patient: ScanRequest, history: Discovery) -> tuple[Path, ...]:
    """What the probe's file names are relative to."""
    if patient.app.url:
        return ()
    folders = [Path(patient.app.folder)]
    if history.facts["package"]:
        folders.append(Path(history.facts["package"]).parent)
    return tuple(folder.resolve() for folder in folders)


def excerpts(run: Path, folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The lines around whatever held a server up, as they are now: [{file, line, first, text}]."""
    held: dict[tuple[str, int], float] = {}
    for path in run.glob("*/*/*/*/stalls-*.csv"):
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["file"] and (row["line"] or "").isdecimal():
                    place = (row["file"], int(row["line"]))
                    held[place] = held.get(place, 0.0) + float(row["stalled_ms"] or 0)
    for file, line in (place for place, stalled_ms in held.items() if stalled_ms >= EXCERPT_LEAST_MS):
        found = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if found is None:
            continue
        text = found.read_text(encoding="utf-8", errors="replace").splitlines()
        first = max(1, line - EXCERPT_AROUND)
        yield {"file": file, "line": line, "first": first, "text": text[first - 1 : line + EXCERPT_AROUND]}
