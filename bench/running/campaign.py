"""All lineups of a run's scenario, round by round, with resume. What is measured, and how it is shown, comes in."""

from __future__ import annotations

import fcntl
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.model import Load, Plan, Round, ServerGroup, Trial, Variant
from bench.model.errors import UsageError
from bench.results import files, layout, schema
from bench.running.fingerprint import SCENARIO_PACKAGES, versions
from bench.running.serving import resolve_all


class CampaignObserver(Protocol):
    """Is told how a campaign goes, to show it."""

    def planned(self, rounds: list[Round], kept: int) -> None:
        """These rounds will be measured; so many were already there."""

    def lineup(self, lineup: ServerGroup) -> None:
        """This lineup comes next."""

    def phase(self, word: str) -> None:
        """It is starting, loading or stopping."""

    def measured(self, lineup: ServerGroup, trials: list[Trial]) -> None:
        """It has ended, with these trials."""


@dataclass(frozen=True)
class Outcome:
    """What a campaign measured now, and what it found done."""

    trials: tuple[Trial, ...]
    rounds_kept: int

    @property
    def troubled(self) -> tuple[Trial, ...]:
        """Trials that are failed or invalid."""
        return tuple(trial for trial in self.trials if trial.status != "ok")


Measure = Callable[[ServerGroup, Callable[[str], None]], list[Trial]]


def run_campaign(
    plan: Plan, run: Path, measure: Measure, watch: CampaignObserver, fresh: Callable[[], None] = lambda: None
) -> Outcome:
    """Measure every round of ``plan`` that ``run`` does not have yet.

    A round that was cut short is measured again whole, so that its comparisons stay paired. ``fresh`` is called before
    each: it puts the services that the scenario needs back to their first state.
    """
    missing = [made for made in plan.rounds if not round_is_complete(run, plan, made)]
    kept = len(plan.rounds) - len(missing)
    watch.planned(missing, kept)
    trials: list[Trial] = []
    for made in missing:
        _forget(run, plan, made)
        fresh()
        for lineup in made.groups:
            watch.lineup(lineup)
            measured = measure(lineup, watch.phase)
            watch.measured(lineup, measured)
            trials += measured
    return Outcome(tuple(trials), kept)


def round_is_complete(run: Path, plan: Plan, made: Round) -> bool:
    """Whether every variant has its record of the round, and it can be read."""
    return all(_is_recorded(folder) for folder in _folders(run, plan, made))


def _is_recorded(folder: Path) -> bool:
    try:
        trial = files.read_json(folder / "trial.json")
        files.check_files(folder, trial["files"])
    except (files.BrokenFile, AttributeError, KeyError, TypeError):  # cut, or not a trial's record at all
        return False
    return True


def _folders(run: Path, plan: Plan, made: Round) -> list[Path]:
    return [layout.trial_folder(run, plan.scenario.name, name, made.load.name, made.number) for name in plan.variants]


def _forget(run: Path, plan: Plan, made: Round) -> None:
    for folder in _folders(run, plan, made):
        shutil.rmtree(folder, ignore_errors=True)


# run.json


def open_run(run: Path, plan: Plan, profile: str, options: list[str], header: Callable[[], dict[str, Any]]) -> None:
    """Make ``run.json``, or add the plan's scenario to the one that is there; ``options`` are the command line's.

    UsageError where the run holds the scenario under another plan: its rounds could not be compared with these.
    """
    path = run / "run.json"
    if path.exists():
        try:
            content = files.read_json(path)
        except files.BrokenFile as error:
            raise UsageError(f"{error}; choose another --run") from None
        if not isinstance(content.get("scenarios"), dict):
            raise UsageError(f"{path}: not a run's record, it has no scenarios; choose another --run")
        _check_machine(run.name, content.get("machine"), header()["machine"])
    else:
        content = {
            "schema": schema.SCHEMA,
            "name": run.name,
            "created_unix_s": time.time(),
            **header(),
            "scenarios": {},
        }
    entry = entry_of(plan, profile)
    before = content["scenarios"].get(plan.scenario.name)
    if before is not None:
        _check_same(run.name, plan.scenario.name, before, entry)
    if before is None or entry["rounds"] > before["rounds"]:
        content["scenarios"][plan.scenario.name] = entry
        sessions = [f"bench({name})" for name in content["scenarios"]]
        content["command"] = shlex.join(["nox", "-s", *sessions, "--", *options, "--seed", str(plan.seed)])
        files.write_json(path, content)


def seed_of(run: Path) -> int | None:
    """The seed that the run's scenarios were planned with; None where there is none yet."""
    try:
        entries = files.read_json(run / "run.json")["scenarios"].values()
        return int(next(iter(entries))["seed"])
    except (files.BrokenFile, AttributeError, KeyError, TypeError, StopIteration):
        return None


def _check_machine(run: str, before: Any, now: dict[str, Any]) -> None:
    """UsageError naming the first thing that both fingerprints know and do not agree on."""
    differing = next(_differences(before, now), None)
    if differing is not None:
        raise UsageError(f"run {run!r} was measured elsewhere: {differing}; choose another --run")


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        # Only what both have: each scenario's session has packages of its own.
        for key in before.keys() & now.keys():
            yield from _differences(before[key], now[key], f"{path} {key}".strip())
    elif before != now:
        yield f"{path} {before}, now {now}"


COMPARED = ("load", "sweep", "seed", "measure_s", "variants", "path", "endpoint")
"""What must be the same for two rounds to be rounds of one measurement."""


def _check_same(run: str, scenario: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    for key in COMPARED:
        if before.get(key) != now.get(key):
            differing = _differing_variants(before.get(key), now[key]) if key == "variants" else None
            differing = differing or f"another {key} ({_short(before.get(key))}, now {_short(now.get(key))})"
            raise UsageError(f"run {run!r} has measured {scenario} with {differing}; choose another --run")


def _differing_variants(before: Any, now: list[dict[str, Any]]) -> str:
    earlier = {variant["name"]: variant for variant in before or ()}
    if list(earlier) != [variant["name"] for variant in now]:
        return f"other variants ({', '.join(earlier)}; now {', '.join(variant['name'] for variant in now)})"
    changed = [(v["name"], key) for v in now for key in v if v[key] != earlier[v["name"]].get(key)]
    return " and ".join(f"another {key} of {name}" for name, key in changed)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return str(value["name"] if isinstance(value, dict) else value or "none")


def entry_of(plan: Plan, profile: str) -> dict[str, Any]:
    """The plan's scenario as ``run.json`` declares it (schema.py, RUN)."""
    scenario, load = plan.scenario, plan.load
    apps = resolve_all(scenario)
    sweep = [{**each.as_json(), "laws": {v.name: _law(v, each) for v in scenario.variants}} for each in plan.sweep]
    return {
        "question": scenario.question,
        "path": scenario.path,
        "endpoint": scenario.endpoint,
        "services": list(scenario.services),
        "packages": versions(SCENARIO_PACKAGES),
        "parallel": scenario.parallel,
        "load": load.as_json(),
        **({"sweep": sweep} if sweep else {}),
        "seed": plan.seed,
        "rounds": plan.rounds_per_load,
        "measure_s": plan.measure_s,
        "profile": profile,
        "variants": [
            {
                "name": variant.name,
                "role": variant.role,
                "summary": variant.summary,
                "file": apps[variant.name].source_file,
                "source": apps[variant.name].source,
                "workers": variant.workers,
                "uvicorn_options": list(variant.uvicorn_options),
                "twin": variant.control_of,
                "law": _law(variant, load),
            }
            for variant in scenario.variants
        ],
        "claims": [asdict(claim) for claim in scenario.claims],
    }


def _law(variant: Variant, load: Load) -> dict[str, Any] | None:
    law = variant.bound
    if law is None:
        return None
    return {
        "formula": law.formula,
        "kind": law.kind,
        "service_s": law.service_s,
        "servers": None if law.places == float("inf") else law.places,
        "ceiling_rps": law.max_rps(load.users, load.rate_rps),
        "latency_s": law.min_latency_s(load.users),
    }


@contextmanager
def measurement_lock(results: Path) -> Iterator[None]:
    """Hold the results folder for measuring; UsageError where another harness measures: each would spoil the other."""
    with (results / ".measuring").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another measurement into {results} is under way; two at once spoil each other") from None
        yield
