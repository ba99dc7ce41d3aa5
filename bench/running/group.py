"""One lineup: its servers come up, Locust takes its turns on them, everything stops, and each trial gets its record."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.model import HEALTH_PATH, Load, Scenario, ServerGroup, Status, Trial, Variant
from bench.planning.catalogue import ROOT, app_dir_of, app_of
from bench.results import files, layout, schema
from bench.running import probe_setup
from bench.running.cores import Cores, cores_for
from bench.running.log_tail import tail
from bench.running.ports import free_port
from bench.running.processes import Process, StartError, exit_text, start, stop_all
from bench.running.readiness import wait_until_ready
from bench.running.services import Services
from bench.running.validity import Evidence, judge

READY_WITHIN_S = 15.0
"""A server that has not answered by then never will: starting takes 1 s, on a busy machine 3."""
APP_READY_WITHIN_S = 60.0
"""Likewise for an app that is not the catalogue's: some import half of PyPI, or wait for a database."""
SLACK_S = 20.0
"""Locust may take so much longer than its turns, for starting, draining and writing, before it counts as hung."""
COMPANION_READY_WITHIN_S = 15.0
"""Likewise for what runs beside a server: Celery takes 3 s."""
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
    facts: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


def run_group(
    scenario: Scenario,
    lineup: ServerGroup,
    run: Path,
    watch: Callable[[str], None] = lambda _: None,
    services: Services | None = None,
    generator: Generator | None = None,
) -> list[Trial]:
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
        _wait_workers(folders, course)
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
        if server.variant.app and server.variant.app.url:
            continue  # it runs already, and is not ours to stop
        if missing is not None:
            server.failure, server.failure_log = missing.reason, missing.log
            continue
        try:
            server.process = start(
                server_command(scenario, server.variant, server.port),
                name=name,
                log=server.log,
                env={**server_environment(scenario, server.variant, folders[name]), **_handed_over(server, course)},
                cwd=server_folder(server.variant),
            )
            running.append(server.process)
        except StartError as error:
            server.failure = str(error)


def _handed_over(server: _Server, course: _Course) -> dict[str, str]:
    """Where its services are, where it may put temporary files, and what its variant sets."""
    return {**course.services.environment, "TMPDIR": course.temporary, **dict(server.variant.environment)}


def _start_companions(folders: dict[str, Path], course: _Course, running: list[Process]) -> None:
    for server in course.servers:
        if server.process is None:
            continue
        for companion in server.variant.sidecars:
            program, *arguments = companion.command
            try:
                process = start(
                    [interpreter(server.variant) if program == "python" else program, *arguments],
                    name=companion.name,
                    log=folders[server.variant.name] / f"{companion.name}.log",
                    env={**clean_environment(), **_handed_over(server, course)},
                    cwd=server_folder(server.variant),
                    cores=course.cores.server if course.cores else None,
                )
            except StartError as error:
                server.failure = str(error)
                break
            server.beside.append(process)
            running.append(process)


def _wait_companions(course: _Course) -> None:
    until_s = time.perf_counter() + COMPANION_READY_WITHIN_S
    for server in course.servers:
        for process, companion in zip(server.beside, server.variant.sidecars, strict=False):
            if server.failure is None and (reason := _wait_said(process, companion.ready, until_s)):
                server.failure, server.failure_log = f"{companion.name} {reason}", process.log


def _wait_said(process: Process, word: str, until_s: float) -> str | None:
    """None once ``word`` stands in the log of ``process``, else why it never will."""
    while word not in process.log.read_text(encoding="utf-8", errors="replace"):
        if process.poll() is not None:
            return "ended while starting"
        if time.perf_counter() > until_s:
            return f"was not ready within {COMPANION_READY_WITHIN_S:g} s"
        time.sleep(LOOK_EVERY_S)
    return None


def _pin(servers: list[_Server], course: _Course) -> None:
    # Only now: starting costs each a second of CPU, and the generator's core is idle until the load begins.
    for server in servers:
        if course.cores is not None and server.process is not None:
            server.process.pin(course.cores.server)


def interpreter(variant: Variant) -> str:
    """What runs a variant's server: the app's own interpreter where it has one."""
    return (variant.app.python if variant.app else "") or sys.executable


def server_folder(variant: Variant) -> Path:
    """Where a variant's server runs, as its user would start it: an app may open files by their relative names."""
    return Path(variant.app.folder) if variant.app else ROOT


def server_command(scenario: Scenario, variant: Variant, port: int) -> list[str]:
    """The command that serves a variant, as anybody could type it (with ``server_environment``)."""
    factory = ("--factory",) if variant.app and variant.app.factory else ()
    served = probe_setup.FACTORY_WORDS if variant.probed else (*factory, app_of(scenario, variant.name))
    return [
        *(interpreter(variant), "-m", "uvicorn", *served),
        *("--app-dir", str(app_dir_of(scenario, variant.name))),
        *("--host", "127.0.0.1", "--port", str(port), "--no-access-log"),
        *(("--workers", str(variant.workers)) if variant.workers > 1 else ()),
        *variant.uvicorn_options,
    ]


def server_environment(scenario: Scenario, variant: Variant, folder: Path) -> dict[str, str]:
    """What a variant's server runs with: the probe is in it, and writes into ``folder``."""
    if not variant.probed:
        return clean_environment()
    target, code = app_of(scenario, variant.name), [app_dir_of(scenario, variant.name)]
    if variant.app is None:
        return probe_setup.environment(clean_environment(), target, folder, code)
    code += map(Path, variant.app.code_folders)
    return probe_setup.environment(
        clean_environment(), target, folder, code, factory=variant.app.factory, start_up=variant.app.watch_start_up
    )


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


def clean_environment() -> dict[str, str]:
    """Our environment without what would change a server or the load behind the harness's back."""
    skipped = ("LOCUST_", "UVICORN_", "LOOP_PROBE_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(skipped) and k != "WEB_CONCURRENCY"}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _wait_ready(course: _Course, path: str) -> None:
    started = {s.variant.name: (s.process, f"{s.url}{path}") for s in course.servers if s.process is not None}
    own = all(server.variant.app is None for server in course.servers)
    reasons = wait_until_ready(started, READY_WITHIN_S if own else APP_READY_WITHIN_S)
    for server in course.servers:
        server.failure = server.failure or reasons.get(server.variant.name)


def _wait_workers(folders: dict[str, Path], course: _Course) -> None:
    """Each worker's probe begins a file as the worker starts; any of them may have answered for the others."""
    until_s = time.perf_counter() + READY_WITHIN_S
    for server in course.servers:
        variant = server.variant
        while server.failure is None and variant.probed and variant.workers > 1:
            started = len(list(folders[variant.name].glob("server-*.csv")))
            if server.process is not None and (status := server.process.poll()) is not None:
                server.failure = f"{exit_text(status)} while starting"
            if started >= variant.workers:
                break
            if time.perf_counter() > until_s:
                server.failure = f"{started} of {variant.workers} workers were ready within {READY_WITHIN_S:g} s"
            time.sleep(LOOK_EVERY_S)


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


def _read_facts(lineup_file: Path) -> dict[str, Any]:
    try:
        facts = json.loads(lineup_file.with_suffix(".facts.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return dict(facts["targets"])


def _record(scenario: Scenario, lineup: ServerGroup, server: _Server, folder: Path, course: _Course) -> Trial:
    name = server.variant.name
    facts = course.facts.get(name, {})
    status, reasons = _verdict(scenario, lineup, server, facts, course, folder)
    log = course.locust_log if status == "failed" and server.failure is None else server.failure_log or server.log
    log_tail = tail(log) if status != "ok" else ""
    trial = Trial(scenario.name, name, lineup.round, lineup.load, status, reasons, log_tail, facts)
    content = {
        "schema": schema.SCHEMA,
        "scenario": scenario.name,
        "variant": name,
        "round": lineup.round,
        "load": lineup.load.as_json(),
        "lineup": lineup.name,
        "position": lineup.variants.index(name) + 1,
        "status": status,
        "reasons": list(reasons),
        "log_tail": log_tail,
        "turns": facts.get("turns", []),
        "clock": {"perf_counter_s": time.perf_counter(), "unix_s": time.time()},
        "timings": course.timings,
        "pids": {"server": server.process.pid if server.process else None, "locust": course.locust_pid},
        "cores": {
            "server": list(course.cores.server) if course.cores else None,
            "generator": list(course.cores.generator) if course.cores else None,
        },
        "port": server.port,
        "services": course.services.versions,
        "facts": {key: value for key, value in facts.items() if key != "turns"},
        "files": files.file_sizes(folder),
    }
    files.write_json(folder / "trial.json", content)
    return trial


def _verdict(
    scenario: Scenario, lineup: ServerGroup, server: _Server, facts: dict[str, Any], course: _Course, folder: Path
) -> tuple[Status, tuple[str, ...]]:
    if server.failure is not None:
        return "failed", (server.failure,)
    if course.generator_failure is not None:
        return "failed", (course.generator_failure,)
    if not facts:
        return "failed", ("locust left no facts of this trial",)
    planned_s = sum(turn.measure_s for turn in lineup.turns if turn.variant == server.variant.name)
    evidence = Evidence(
        facts,
        scenario.endpoint,
        lineup.load,
        server.variant.bound,
        planned_s,
        scenario.secondary_endpoints,
        scenario.has_think_time,
    )
    reasons = judge(evidence)
    if server.variant.probed:
        missing = probe_setup.missing_telemetry(folder, facts.get("turns", []), server.variant.workers)
        reasons += (missing,) if missing else ()
    return ("invalid", reasons) if reasons else ("ok", ())
