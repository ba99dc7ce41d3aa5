"""run.json: the one place where a run and its scenarios are declared, and where a run is resumed."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from bench.model import Load, Plan, Scenario, Variant
from bench.model.errors import UsageError
from bench.planning.catalogue import ROOT
from bench.results import files
from bench.results.schema import (
    SCHEMA,
    BoundRecord,
    GitRecord,
    LoadRecord,
    MachineRecord,
    RunRecord,
    ScenarioRecord,
    SweepRecord,
    VariantRecord,
)
from bench.running.fingerprint import SCENARIO_PACKAGES, versions
from bench.running.serving import ServedApp, resolve_all

COMPARED = ("load", "sweep", "seed", "measure_s", "path", "endpoint")
"""What must be the same for two rounds to be rounds of one measurement; the variants are compared one by one."""


@dataclass(frozen=True)
class Invocation:
    """How a run was started, and where."""

    profile: str
    command: Callable[[Sequence[str], int], str]
    """Makes the command line that measures these scenarios again, with this seed."""
    machine: MachineRecord
    git: GitRecord | None


def open_run(run: Path, plan: Plan, invocation: Invocation) -> RunRecord:
    """Make run.json, or add the plan's scenario to the one that is there.

    UsageError where the run was measured on another machine, or holds the scenario under another plan.
    """
    path = run / "run.json"
    record = _read(path) if path.exists() else _new(run, invocation)
    _check_machine(run.name, record.machine, invocation.machine)
    declared = declare_scenario(plan, invocation.profile)
    name = plan.scenario.name
    before = record.scenarios.get(name)
    if before is not None:
        _check_same(run.name, name, before, declared)
        _check_harness(run.name, record.git, invocation.git)
        if declared.rounds <= before.rounds:
            return record
    return _declare(path, record, plan, invocation)


def update_run(run: Path, plan: Plan, invocation: Invocation) -> RunRecord:
    """Declare the plan's scenario in run.json, in place of what stands there: for a run that grows trial by trial."""
    path = run / "run.json"
    return _declare(path, _read(path) if path.exists() else _new(run, invocation), plan, invocation)


def _declare(path: Path, record: RunRecord, plan: Plan, invocation: Invocation) -> RunRecord:
    scenarios = {**record.scenarios, plan.scenario.name: declare_scenario(plan, invocation.profile)}
    record = replace(record, scenarios=scenarios, command=invocation.command(tuple(scenarios), plan.seed))
    files.write_record(path, record)
    return record


def declare_scenario(plan: Plan, profile: str) -> ScenarioRecord:
    """The plan's scenario as run.json has it."""
    scenario, load = plan.scenario, plan.load
    apps = resolve_all(scenario)
    return ScenarioRecord(
        question=scenario.question,
        path=scenario.path,
        endpoint=scenario.endpoint,
        load=load_record(load),
        seed=plan.seed,
        rounds=plan.rounds_per_load,
        measure_s=plan.measure_s,
        profile=profile,
        variants=tuple(
            VariantRecord(
                name=variant.name,
                role=variant.role,
                summary=variant.summary,
                file=apps[variant.name].source_file,
                source=apps[variant.name].source,
                workers=variant.workers,
                uvicorn_options=variant.uvicorn_options,
                control_of=variant.control_of,
                bound=_bound(variant, load),
            )
            for variant in scenario.variants
        ),
        claims=scenario.claims,
        services=scenario.services,
        packages=versions(SCENARIO_PACKAGES),
        parallel=scenario.parallel,
        conditions=_conditions(scenario, apps),
        sweep=tuple(
            SweepRecord(load_record(each), {variant.name: _bound(variant, each) for variant in scenario.variants})
            for each in plan.sweep
        ),
    )


def _conditions(scenario: Scenario, apps: Mapping[str, ServedApp]) -> dict[str, str]:
    """Digests of everything that decides what is measured and that has no field of its own."""
    files_of_load = [ROOT / name for name in scenario.locustfile.split(",")]
    conditions: dict[str, object] = {
        "method": scenario.method,
        "body": scenario.body,
        "health path": scenario.health_path,
        "statuses": scenario.statuses,
        "locustfile": [path.read_text(encoding="utf-8") if path.is_file() else str(path) for path in files_of_load],
        "locustfile options": scenario.locust_args,
        **{f"own server for {name}": _address(url) for name, url in scenario.own_services},
    }
    for name, app in apps.items():
        conditions |= {
            f"target of {name}": app.url or app.target,
            f"environment of {name}": sorted(app.environment.items()),
            f"interpreter of {name}": app.python,
            f"sidecars of {name}": app.sidecars,
        }
    return {name: hashlib.sha256(repr(value).encode()).hexdigest()[:16] for name, value in conditions.items()}


def _address(url: str) -> str:
    """Where a service is, without its name and password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}{parts.path}"


def load_record(load: Load) -> LoadRecord:
    """A load as the results have it."""
    return LoadRecord(load.name, load.model, load.users, load.rate_rps)


def seed_of(run: Path) -> int | None:
    """The seed of the run's first scenario; None where there is no readable run yet."""
    try:
        record = files.read_record(run / "run.json", RunRecord)
    except files.BrokenFile:
        return None
    return next((scenario.seed for scenario in record.scenarios.values()), None)


def _read(path: Path) -> RunRecord:
    try:
        return files.read_record(path, RunRecord)
    except files.BrokenFile as error:
        raise UsageError(f"{error}; choose another --run") from None


def _new(run: Path, invocation: Invocation) -> RunRecord:
    return RunRecord(SCHEMA, run.name, time.time(), "", invocation.machine, invocation.git, {})


def _bound(variant: Variant, load: Load) -> BoundRecord | None:
    bound = variant.bound
    if bound is None:
        return None
    return BoundRecord(
        formula=bound.formula,
        kind=bound.kind,
        service_s=bound.service_s,
        places=None if math.isinf(bound.places) else bound.places,
        max_rps=bound.max_rps(load.users, load.rate_rps),
        min_latency_s=bound.min_latency_s(load.users),
    )


def _check_machine(run: str, before: MachineRecord, now: MachineRecord) -> None:
    differing = next(_differences(before, now), None)
    if differing is not None:
        raise UsageError(f"run {run!r} was measured elsewhere: {differing}; choose another --run")


def _differences(before: object, now: object, path: str = "") -> Iterator[str]:
    """What both records know and do not agree on, a line each. A package that only one has is no difference."""
    if is_dataclass(before) and is_dataclass(now):
        for each in fields(before):
            yield from _differences(getattr(before, each.name), getattr(now, each.name), f"{path} {each.name}".strip())
    elif isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted(before.keys() & now.keys()):
            yield from _differences(before[key], now[key], f"{path} {key}".strip())
    elif before != now:
        yield f"{path} {before}, now {now}"


def _check_harness(run: str, before: GitRecord | None, now: GitRecord | None) -> None:
    if before is not None and now is not None and before.revision != now.revision:
        revisions = f"{before.revision[:10]}, now {now.revision[:10]}"
        raise UsageError(
            f"run {run!r} was measured by another revision of this harness ({revisions}); choose another --run"
        )


def _check_same(run: str, scenario: str, before: ScenarioRecord, now: ScenarioRecord) -> None:
    differing = next(_differing(before, now), None)
    if differing is not None:
        raise UsageError(f"run {run!r} has measured {scenario} with {differing}; choose another --run")


def _differing(before: ScenarioRecord, now: ScenarioRecord) -> Iterator[str]:
    earlier = {variant.name: variant for variant in before.variants}
    names = [variant.name for variant in now.variants]
    if list(earlier) != names:
        yield f"other variants ({', '.join(earlier)}; now {', '.join(names)})"
        return
    for name in COMPARED:
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            yield f"another {name} ({_short(old)}, now {_short(new)})"
    for variant in now.variants:
        for each in fields(variant):
            if getattr(variant, each.name) != getattr(earlier[variant.name], each.name):
                yield f"another {each.name} of {variant.name}"
    for name in {**before.conditions, **now.conditions}:
        if before.conditions.get(name) != now.conditions.get(name):
            yield f"another {name}"
    for difference in _differences(before.packages, now.packages):
        yield f"another version of {difference}"


def _short(value: object) -> str:
    if isinstance(value, LoadRecord):
        return value.name
    if isinstance(value, SweepRecord):
        return value.load.name
    if isinstance(value, tuple):
        return ", ".join(map(_short, value)) or "none"
    return str(value)
