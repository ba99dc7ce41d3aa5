"""Measures one group: its servers come up, the load takes its turns on them, and everything stops.

The stages and their results:

    start_group    GroupServer for each variant    (group_servers.py)
    _wait_for_load LoadResult                      (the generator: locust_process.py, or the web UI's)
    write_trial    TrialRecord for each variant    (trial_record.py)
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.model import Scenario, ServerGroup
from bench.results import layout
from bench.results.control_messages import LoadFailed, PlannedTurn, RunTurns, TargetRecord, TurnsDone
from bench.results.schema import TimingsRecord, TrialRecord
from bench.running.cores import cores_for
from bench.running.group_servers import GroupServer, GroupSetup, all_ended, not_started, pin, start_group, with_failures
from bench.running.locust_process import LoadGenerator, locustfile_options, start_locust
from bench.running.processes import StartError, stop_all
from bench.running.redaction import Redactor, secret_values
from bench.running.services import Services
from bench.running.temporary import OwnedFolder
from bench.running.trial_record import GroupResult, LoadResult, write_trial

POLL_S = 0.05
"""How often servers and services are checked while the load lasts."""
ANY_SERVER = "http://127.0.0.1"
"""For ``--host`` of users that request from the servers of the turns."""

Phase = Literal["starting", "loading", "stopping"]
OnPhase = Callable[[Phase], None]


@dataclass(frozen=True)
class GroupHooks:
    """What is called while a group is measured."""

    on_phase: OnPhase = lambda _: None
    """Told what the group is doing."""
    before_load: Callable[[tuple[TargetRecord, ...]], None] = lambda _: None
    """Given the servers that are ready, before any load reaches them."""


NO_HOOKS = GroupHooks()


def run_group(
    scenario: Scenario,
    group: ServerGroup,
    run: Path,
    hooks: GroupHooks = NO_HOOKS,
    services: Services | None = None,
    generator: LoadGenerator | None = None,
) -> list[TrialRecord]:
    """Measure a group, and write ``trial.json`` for each of its variants. Returns the records in the group's order.

    ``services`` are those that the scenario needs, in their first state. A Locust is started for the group, unless
    ``generator`` is one that runs already. What cannot be measured is a failed trial with its reason. Only errors of
    the harness itself and KeyboardInterrupt are raised, after everything has stopped.
    """
    services = services or Services((), run)
    folders = {name: _fresh_folder(run, group, name) for name in group.variants}
    redact = Redactor(secret_values(scenario))
    with OwnedFolder("group") as temporary:
        # A program that is killed cannot tidy up: it takes this folder for the machine's temporary one.
        environment = {**services.environment, "TMPDIR": str(temporary.folder("tmp"))}
        setup = GroupSetup(
            scenario, group, folders, environment, temporary.folder("logs"), cores_for(scenario.parallel)
        )
        try:
            result = _measure(setup, services, generator, hooks)
        finally:
            _publish_logs(setup, run, redact)
        return [write_trial(result, server, redact) for server in result.servers]


def _publish_logs(setup: GroupSetup, run: Path, redact: Redactor) -> None:
    """Put the logs into the results, without secrets."""
    for variant, folder in setup.folders.items():
        for log in (setup.logs / variant).glob("*.log"):
            redact.publish(log, folder / log.name)
    published = layout.logs_folder(run, setup.scenario.name) / f"{setup.group.name}.locust.log"
    redact.publish(setup.locust_log, published)


def _fresh_folder(run: Path, group: ServerGroup, variant: str) -> Path:
    folder = layout.trial_folder(run, group.scenario, variant, group.load.name, group.round)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _measure(setup: GroupSetup, services: Services, generator: LoadGenerator | None, hooks: GroupHooks) -> GroupResult:
    begun_s = time.perf_counter()
    ready_s = None
    servers = not_started(setup)
    load = LoadResult(log=setup.locust_log)
    processes = [] if generator is None else generator.processes
    with ExitStack() as channels, ExitStack() as stopping:  # the processes stop before their channels close
        stopping.callback(stop_all, processes)
        stopping.callback(hooks.on_phase, "stopping")

        def started_locust(host: str) -> LoadGenerator:
            locust = start_locust(setup.scenario, setup.group, host, setup.locust_log, setup.generator_cores)
            channels.callback(locust.close)
            processes.extend(locust.processes)
            return locust

        hooks.on_phase("starting")
        try:
            if generator is None and not setup.scenario.has_think_time:
                generator = started_locust(ANY_SERVER)
            servers = start_group(setup, services, processes)
            ready_s = time.perf_counter() - begun_s
            targets = tuple(server.target for server in servers if server.target is not None)
            if targets and generator is None:  # users that are not ours do not wait until a server is ready
                generator = started_locust(targets[0].url)
            if targets and generator is not None:
                pin(servers, setup.server_cores)
                hooks.before_load(targets)
                generator.begin(run_turns(setup, targets))
                hooks.on_phase("loading")
                load = _wait_for_load(generator, servers, services)
                servers = with_failures(servers, services)
        except StartError as error:  # Locust's; a server's is a failure of its own trial
            load = LoadResult(failure=str(error), log=setup.locust_log)
    total_s = time.perf_counter() - begun_s
    timings = TimingsRecord(ready_s, total_s, total_s - setup.group.load_s)
    return GroupResult(setup, servers, load, services.versions, timings)


def run_turns(setup: GroupSetup, targets: tuple[TargetRecord, ...]) -> RunTurns:
    """The message that starts the load: the turns of the servers that are ready."""
    names = {target.variant for target in targets}
    turns = tuple(
        PlannedTurn(turn.variant, turn.pass_number, turn.warmup_s, turn.measure_s, turn.stagger_s)
        for turn in setup.group.turns
        if turn.variant in names
    )
    options = locustfile_options(setup.scenario, setup.group.load)
    cores = len(setup.server_cores or (0,))
    return RunTurns(targets, turns, setup.group.seed, setup.scenario.locustfile, options, cores)


def _wait_for_load(generator: LoadGenerator, servers: tuple[GroupServer, ...], services: Services) -> LoadResult:
    result: TurnsDone | LoadFailed | None = None
    until_s = time.perf_counter() + generator.max_load_s
    while result is None and not all_ended(servers) and services.failure() is None:
        if time.perf_counter() > until_s:
            result = LoadFailed(f"locust did not end within {generator.max_load_s:.0f} s")
        else:
            result = generator.result(POLL_S)
    facts = result.facts if isinstance(result, TurnsDone) else {}
    failure = result.reason if isinstance(result, LoadFailed) else None
    return LoadResult(facts, failure, generator.log, generator.pid)
