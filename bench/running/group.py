"""One lineup: its servers come up, Locust takes its turns on them, everything stops, and each trial gets its record."""

from __future__ import annotations

import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.model import HEALTH_PATH, Load, Scenario, ServerGroup, Status, Variant
from bench.planning.catalogue import ROOT
from bench.results import files, layout
from bench.results.schema import (
    SCHEMA,
    ClockRecord,
    CoresRecord,
    EndpointFacts,
    LoadRecord,
    PidsRecord,
    TimingsRecord,
    TrialFacts,
    TrialRecord,
    TurnRecord,
)
from bench.running import probe_setup
from bench.running.cores import Cores, cores_for
from bench.running.log_tail import tail
from bench.running.ports import free_port
from bench.running.processes import Process, StartError, exit_text, start, stop_all
from bench.running.services import Services
from bench.running.serving import (
    SIDECAR_DEADLINE_S,
    StartedServer,
    clean_environment,
    resolve,
    start_server,
    start_sidecar,
    wait_for_text,
    wait_until_served,
)
from bench.running.validity import Evidence, judge

SLACK_S = 20.0
"""Locust may take so much longer than its turns, for starting, draining and writing, before it counts as hung."""
LOOK_EVERY_S = 0.05


class Generator(Protocol):
    """A Locust that is up already and outlives the lineup. It ends the load itself: nobody else limits its length."""

    running: list[Process]
    """Is filled with all that the lineup starts, so that another thread can ask it to stop."""

    @property
    def pid(self) -> int:
        """Of its process."""

    @property
    def log(self) -> Path:
        """Where its reasons are to be found."""

    def wait(self, timeout_s: float) -> int | None:
        """0 once the load is over and its facts are written, None while it lasts, another status when it failed."""

    def poll(self) -> int | None:
        """The same without waiting."""


@dataclass
class _Server:
    variant: Variant
    port: int
    log: Path
    started: StartedServer | None = None
    process: Process | None = None
    beside: list[Process] = field(default_factory=list)
    failure: str | None = None
    failure_log: Path | None = None
    """Where the reason is to be found, if not in the server's own log."""
    ready_s: float | None = None

    @property
    def url(self) -> str:
        return (self.variant.app.url if self.variant.app else "") or f"http://127.0.0.1:{self.port}"


@dataclass
class _Course:
    """How a lineup went, filled in as it goes."""

    cores: Cores | None
    services: Services
    temporary: str
    """The folder that programs take for the machine's temporary one: one that is killed cannot tidy up."""
    generator: Generator | None = None
    servers: list[_Server] = field(default_factory=list)
    locust: Process | Generator | None = None
    lineup_file: Path = Path()
    locust_log: Path = Path()
    locust_pid: int | None = None
    generator_failure: str | None = None
    facts: dict[str, TrialFacts] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


def run_group(
    scenario: Scenario,
    lineup: ServerGroup,
    run: Path,
    watch: Callable[[str], None] = lambda _: None,
    services: Services | None = None,
    generator: Generator | None = None,
) -> list[TrialRecord]:
    """Measure one lineup and write ``trial.json`` for each of its variants; returns them in the lineup's order.

    ``watch`` hears what is going on in a word: starting, loading, stopping. ``services`` are those that the scenario
    needs, in their fresh state. A Locust is started for the lineup, unless ``generator`` is one that takes it. What
    cannot be measured ends as a failed trial with its reason; only the harness's own errors and KeyboardInterrupt come
    out, with everything stopped.
    """
    folders = {name: _fresh_folder(run, lineup, name) for name in lineup.variants}
    with tempfile.TemporaryDirectory(prefix="async-bench-", ignore_cleanup_errors=True) as temporary:
        course = _Course(cores_for(scenario.parallel), services or Services((), run), temporary, generator)
        _go(scenario, lineup, run, folders, course, watch)
    return [_record(scenario, lineup, server, folders[server.variant.name], course) for server in course.servers]


def _go(
    scenario: Scenario,
    lineup: ServerGroup,
    run: Path,
    folders: dict[str, Path],
    course: _Course,
    watch: Callable[[str], None],
) -> None:
    """Start everything, have the load take its turns, and stop everything, whatever happens."""
    running: list[Process] = [] if course.generator is None else course.generator.running
    begun_s = time.perf_counter()
    try:
        watch("starting")
        course.servers = [_Server(scenario.variant(n), free_port(), folders[n] / "server.log") for n in lineup.variants]
        if not scenario.has_think_time:
            _have_locust(scenario, lineup, run, course, running)
        _start_servers(scenario, folders, course, running)
        _start_companions(folders, course, running)
        _wait_ready(course, scenario.health_path)
        _wait_companions(course)
        course.timings["ready_s"] = time.perf_counter() - begun_s
        ready = [server for server in course.servers if server.failure is None]
        if ready and scenario.has_think_time:  # users of other people's own do not wait for a server to be there
            _have_locust(scenario, lineup, run, course, running)
        if ready and course.locust is not None:
            _pin(ready, course)
            _write_lineup(course.lineup_file, lineup, ready, folders)
            watch("loading")
            limit_s = lineup.load_s + SLACK_S if course.generator is None else math.inf
            _wait_loaded(course.locust, limit_s, ready, course)
            course.facts = _read_facts(course.lineup_file)
    finally:
        try:
            watch("stopping")
        finally:
            stop_all(running)
    course.timings["total_s"] = time.perf_counter() - begun_s
    course.timings["overhead_s"] = course.timings["total_s"] - lineup.load_s


def _fresh_folder(run: Path, lineup: ServerGroup, variant: str) -> Path:
    folder = layout.trial_folder(run, lineup.scenario, variant, lineup.load.name, lineup.round)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _start_servers(scenario: Scenario, folders: dict[str, Path], course: _Course, running: list[Process]) -> None:
    missing = course.services.failure()
    for server in course.servers:
        name = server.variant.name
        if missing is not None and not (server.variant.app and server.variant.app.url):
            server.failure, server.failure_log = missing.reason, missing.log
            continue
        try:
            started = start_server(resolve(scenario, name), folders[name], _handed_over(server, course))
        except StartError as error:
            server.failure = str(error)
            continue
        server.started, server.process, server.port = started, started.process, started.port
        if started.process is not None:
            running.append(started.process)


def _handed_over(server: _Server, course: _Course) -> dict[str, str]:
    """Where its services are, where it may put temporary files, and what its variant sets."""
    return {**course.services.environment, "TMPDIR": course.temporary}


def _start_companions(folders: dict[str, Path], course: _Course, running: list[Process]) -> None:
    for server in course.servers:
        if server.process is None:
            continue
        assert server.started is not None
        for companion in server.variant.sidecars:
            try:
                cores = course.cores.server if course.cores else None
                environment = _handed_over(server, course)
                process = start_sidecar(server.started.app, companion, folders[server.variant.name], environment, cores)
            except StartError as error:
                server.failure = str(error)
                break
            server.beside.append(process)
            running.append(process)


def _wait_companions(course: _Course) -> None:
    until_s = time.perf_counter() + SIDECAR_DEADLINE_S
    for server in course.servers:
        for process, companion in zip(server.beside, server.variant.sidecars, strict=False):
            if server.failure is None and (reason := wait_for_text(process, companion.ready, until_s)):
                server.failure, server.failure_log = f"{companion.name} {reason}", process.log


def _pin(servers: list[_Server], course: _Course) -> None:
    # Only now: starting costs each a second of CPU, and the generator's core is idle until the load begins.
    for server in servers:
        if course.cores is not None and server.process is not None:
            server.process.pin(course.cores.server)


def lineup_file_of(lineup: ServerGroup, run: Path) -> Path:
    """The file that tells Locust what to do, once the servers are ready."""
    return layout.logs_folder(run, lineup.scenario) / f"{lineup.name}.json"


def _have_locust(scenario: Scenario, lineup: ServerGroup, run: Path, course: _Course, running: list[Process]) -> None:
    lineup_file = course.lineup_file = lineup_file_of(lineup, run)
    for leftover in (lineup_file, lineup_file.with_suffix(".facts.json")):
        leftover.unlink(missing_ok=True)
    if course.generator is None:
        _start_locust(scenario, lineup, course, running)
        return
    course.locust, course.locust_log = course.generator, course.generator.log
    course.locust_pid = course.generator.pid


def _start_locust(scenario: Scenario, lineup: ServerGroup, course: _Course, running: list[Process]) -> None:
    course.locust_log = course.lineup_file.parent / f"{lineup.name}.locust.log"
    try:
        locust = course.locust = start(
            locust_command(scenario, lineup, course.lineup_file, course.servers[0].url),
            name="locust",
            log=course.locust_log,
            env=clean_environment(),
            cwd=ROOT,
            cores=course.cores.generator if course.cores else None,
        )
    except StartError as error:
        course.generator_failure = str(error)
        return
    running.append(locust)
    course.locust_pid = locust.pid


def locust_command(scenario: Scenario, lineup: ServerGroup, lineup_file: Path, host: str) -> list[str]:
    """Locust's own command line; the file that it names appears when the servers are ready.

    ``host`` is for users who do not know of lineups: theirs has one server.
    """
    load = lineup.load
    users = load.users or 1  # a timetable needs one user to hold it
    users += 0 if scenario.has_think_time else 1  # the health prober
    return [
        *(sys.executable, "-m", "locust", "--locustfile", scenario.locustfile, "--headless", "--only-summary"),
        *("--users", str(users), "--spawn-rate", str(users), "--host", host),
        *behaviour_options(scenario, load),
        *("--lineup", str(lineup_file)),
    ]


def behaviour_options(scenario: Scenario, load: Load) -> tuple[str, ...]:
    """What the scenario's locustfile is told: the options that it has defined itself."""
    if scenario.locust_args is not None:
        return scenario.locust_args
    return (
        *("--path", scenario.path, "--health-path", scenario.health_path),
        *(("--health-name", HEALTH_PATH) if scenario.health_path != HEALTH_PATH else ()),
        *(("--method", scenario.method) if scenario.method != "GET" else ()),
        *(("--body", scenario.body) if scenario.body else ()),
        *(("--rate", f"{load.rate_rps:g}") if load.rate_rps is not None else ()),
    )


def _wait_ready(course: _Course, path: str) -> None:
    started = [server.started for server in course.servers if server.started is not None]
    reasons = wait_until_served(started, path)
    for server in course.servers:
        server.failure = server.failure or reasons.get(server.variant.name)


def _write_lineup(path: Path, lineup: ServerGroup, ready: list[_Server], folders: dict[str, Path]) -> None:
    names = {server.variant.name for server in ready}
    targets = [{"variant": s.variant.name, "url": s.url, "folder": str(folders[s.variant.name])} for s in ready]
    turns = [
        {
            "variant": turn.variant,
            "rotation": turn.pass_number,
            "warmup_s": turn.warmup_s,
            "measure_s": turn.measure_s,
            "stagger_s": turn.stagger_s,
        }
        for turn in lineup.turns
        if turn.variant in names
    ]
    files.write_text(path, json.dumps({"targets": targets, "turns": turns, "seed": lineup.seed}, indent=2))


def _wait_loaded(locust: Process | Generator, limit_s: float, ready: list[_Server], course: _Course) -> None:
    until_s = time.perf_counter() + limit_s
    with _failures_noted(ready, course.services):
        while locust.wait(LOOK_EVERY_S) is None:
            if time.perf_counter() > until_s:
                course.generator_failure = f"locust did not end within {limit_s:.0f} s"
                return
            if all(server.process is not None and server.process.poll() is not None for server in ready):
                return
            if course.services.failure() is not None:
                return
        if (status := locust.poll()) != 0:
            course.generator_failure = f"locust ended with status {status}"


@contextmanager
def _failures_noted(servers: list[_Server], services: Services) -> Iterator[None]:
    yield
    missing = services.failure()
    for server in servers:
        status = server.process.poll() if server.process is not None else None
        if missing is not None:
            server.failure, server.failure_log = missing.reason, missing.log
        elif status is not None:
            server.failure = f"the server {exit_text(status)} while it was measured"
        for process in server.beside:
            if server.failure is None and (status := process.poll()) is not None:
                server.failure = f"{process.name} {exit_text(status)} while it was measured"
                server.failure_log = process.log


def _read_facts(lineup_file: Path) -> dict[str, TrialFacts]:
    try:
        content = json.loads(lineup_file.with_suffix(".facts.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return {name: _facts_record(facts) for name, facts in content["targets"].items()}


def _facts_record(facts: dict[str, Any]) -> TrialFacts:
    """A target's facts as the load generator wrote them."""
    turns = tuple(
        TurnRecord(t["rotation"], t["start_s"], t["warm_until_s"], t["end_s"], t["quiet"], t["late_s"])
        for t in facts["turns"]
    )
    endpoints = {
        name: EndpointFacts(**{**each, "failed_in_warmup": each["failed_in_warmup"], "errors": tuple(each["errors"])})
        for name, each in facts["endpoints"].items()
    }
    return TrialFacts(
        turns,
        endpoints,
        facts["generator_cpu_cores_max"],
        facts["generator_cpu_cores_mean"],
        facts["generator_waiting_share_mean"],
    )


def _record(scenario: Scenario, lineup: ServerGroup, server: _Server, folder: Path, course: _Course) -> TrialRecord:
    name = server.variant.name
    facts = course.facts.get(name)
    status, reasons = _verdict(scenario, lineup, server, facts, course, folder)
    log = course.locust_log if status == "failed" and server.failure is None else server.failure_log or server.log
    cores, timings = course.cores, course.timings
    trial = TrialRecord(
        schema=SCHEMA,
        scenario=scenario.name,
        variant=name,
        round=lineup.round,
        load=LoadRecord(lineup.load.name, lineup.load.model, lineup.load.users, lineup.load.rate_rps),
        group=lineup.name,
        position=lineup.variants.index(name) + 1,
        status=status,
        reasons=reasons,
        log_tail=tail(log) if status != "ok" else "",
        clock=ClockRecord(time.perf_counter(), time.time()),
        timings=TimingsRecord(timings.get("ready_s"), timings.get("total_s"), timings.get("overhead_s")),
        pids=PidsRecord(server.process.pid if server.process else None, course.locust_pid),
        cores=CoresRecord(cores.server, cores.generator) if cores else CoresRecord(),
        port=server.port,
        services=course.services.versions,
        facts=facts,
        files=files.file_sizes(folder),
    )
    files.write_record(folder / "trial.json", trial)
    return trial


def _verdict(
    scenario: Scenario, lineup: ServerGroup, server: _Server, facts: TrialFacts | None, course: _Course, folder: Path
) -> tuple[Status, tuple[str, ...]]:
    if server.failure is not None:
        return "failed", (server.failure,)
    if course.generator_failure is not None:
        return "failed", (course.generator_failure,)
    if facts is None:
        return "failed", ("Locust reported nothing of this trial",)
    evidence = Evidence(
        facts,
        scenario.endpoint,
        lineup.load,
        server.variant.bound,
        sum(turn.measure_s for turn in lineup.turns if turn.variant == server.variant.name),
        scenario.secondary_endpoints,
        scenario.has_think_time,
    )
    reasons = judge(evidence)
    if server.variant.probed:
        missing = probe_setup.missing_telemetry(folder, facts.turns, server.variant.workers)
        reasons += (missing,) if missing else ()
    return ("invalid", reasons) if reasons else ("ok", ())
