"""The one way to serve an app: resolve it before anything starts, start its server, wait until it is ready.

    app = resolve(scenario, "awaited")
    server = start_server(app, folder, app.environment)
    failure = wait_until_served([server], "/health").get(app.name)

A resolved app holds everything that a server needs. Nothing is looked up again later.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.model import READY_PATH, AppSource, Scenario, Sidecar, UsageError, Variant
from bench.planning.catalogue import ROOT
from bench.running import environment, probe_setup
from bench.running.ports import free_port
from bench.running.processes import Process, exit_text, start
from bench.running.readiness import wait_until_ready

READY_DEADLINE_S = 15.0
"""A server of the catalogue that has not answered by then never will: it starts in 1 s, on a busy machine in 3 s."""
APP_READY_DEADLINE_S = 60.0
"""The same for a user's own app: some import hundreds of packages, or wait for a database."""
SIDECAR_DEADLINE_S = 15.0
"""The same for a sidecar: Celery takes 3 s."""
POLL_S = 0.05
"""How often workers and sidecars are checked."""


@dataclass(frozen=True)
class ServedApp:
    """A variant, resolved: what its server needs to start."""

    name: str
    """The variant's name."""
    target: str
    """As uvicorn takes it: ``apps.blocking.awaited:app``."""
    app_dir: Path
    """Where the target can be imported."""
    cwd: Path
    """Where the server runs."""
    python: str
    """The interpreter."""
    uvicorn_options: tuple[str, ...] = ()
    workers: int = 1
    factory: bool = False
    """Whether the target is a function that returns the app."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variant's own variables."""
    sidecars: tuple[Sidecar, ...] = ()
    source_file: str = ""
    """Relative to ``app_dir``. Empty for a server that runs already."""
    source: str = ""
    """Text of that file. Empty when the app is part of an installed package."""
    code_folders: tuple[Path, ...] = ()
    """Folders whose code may be blamed for a stall."""
    probed: bool = True
    watch_start_up: bool = False
    record: str = ""
    """File to record requests in; empty while anything is measured."""
    url: str = ""
    """Address of a server that runs already; it is neither started nor stopped."""
    own: bool = True
    """Whether it is a user's own app, which gets the user's environment, as opposed to one of the catalogue."""
    ready_deadline_s: float = APP_READY_DEADLINE_S
    """How long its server may take to answer."""

    def command(self, port: int) -> list[str]:
        """The command line of its server. With ``server_environment`` a user could type it."""
        factory = ("--factory",) if self.factory else ()
        served = probe_setup.FACTORY_ARGS if self.probed else (*factory, self.target)
        return [
            *(self.python, "-m", "uvicorn", *served),
            *("--app-dir", str(self.app_dir)),
            *("--host", "127.0.0.1", "--port", str(port), "--no-access-log"),
            *(("--workers", str(self.workers)) if self.workers > 1 else ()),
            *self.uvicorn_options,
        ]

    def environment_with(self, more: Mapping[str, str]) -> dict[str, str]:
        """What its programs get: the variables that they need, ``more``, and the variant's own."""
        return {**(environment.of_own_app() if self.own else environment.of_catalogue()), **more, **self.environment}

    def server_environment(self, folder: Path, more: Mapping[str, str]) -> dict[str, str]:
        """The environment of its server: ``more`` and the variant's own variables. The probe writes into ``folder``."""
        base = self.environment_with(more)
        if not self.probed:
            return base
        watched = probe_setup.WatchedApp(self.target, self.code_folders, self.factory, self.watch_start_up, self.record)
        return probe_setup.environment(base, watched, folder)


def resolve(scenario: Scenario, name: str) -> ServedApp:
    """The variant called ``name``, resolved. UsageError when its file cannot be read."""
    variant = scenario.variant(name)
    return _of_catalogue(scenario, variant) if variant.app is None else _of_user(variant, variant.app)


def resolve_all(scenario: Scenario) -> dict[str, ServedApp]:
    """All variants of the scenario, resolved, by name. UsageError when a file cannot be read."""
    return {variant.name: resolve(scenario, variant.name) for variant in scenario.variants}


def _of_catalogue(scenario: Scenario, variant: Variant) -> ServedApp:
    folder = Path(scenario.folder)
    app_dir = folder.parent.parent
    file = f"{folder.parent.name}/{folder.name}/{variant.module}.py"
    try:
        source = (app_dir / file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"the file of variant {variant.name!r} cannot be read: {app_dir / file}: {reason}") from None
    return ServedApp(
        name=variant.name,
        target=f"{folder.parent.name}.{folder.name}.{variant.module}:app",
        app_dir=app_dir,
        cwd=ROOT,
        python=sys.executable,
        uvicorn_options=variant.uvicorn_options,
        workers=variant.workers,
        environment=dict(variant.environment),
        sidecars=variant.sidecars,
        source_file=file,
        source=source,
        code_folders=(app_dir,),
        probed=variant.probed,
        own=False,
        ready_deadline_s=READY_DEADLINE_S,
    )


def _of_user(variant: Variant, app: AppSource) -> ServedApp:
    app_dir = Path(app.folder)
    file = "" if app.url else _module_file(app_dir, app.target)
    return ServedApp(
        name=variant.name,
        target=app.target,
        app_dir=app_dir,
        cwd=app_dir,  # an app may open files by relative names
        python=app.python or sys.executable,
        uvicorn_options=variant.uvicorn_options,
        workers=variant.workers,
        factory=app.factory,
        environment=dict(variant.environment),
        sidecars=variant.sidecars,
        source_file=file,
        source=_text_or_empty(app_dir / file) if file else "",
        code_folders=(app_dir, *map(Path, app.code_folders)),
        probed=variant.probed and not app.url,
        watch_start_up=app.watch_start_up,
        url=app.url,
        ready_deadline_s=APP_READY_DEADLINE_S,
    )


def _module_file(app_dir: Path, target: str) -> str:
    module = target.partition(":")[0].replace(".", "/")
    package = f"{module}/__init__.py"
    return package if (app_dir / package).is_file() else f"{module}.py"


def _text_or_empty(path: Path) -> str:
    """The file's text. Empty where there is no such file, as for an app in an installed package."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


@dataclass(frozen=True)
class StartedServer:
    """A server that was started, or ran already."""

    app: ServedApp
    port: int
    folder: Path
    """Where the probe writes."""
    logs: Path
    """Where its log is, and those of its sidecars."""
    process: Process | None
    """None for a server that ran already."""

    @property
    def log(self) -> Path:
        """The server's log."""
        return server_log(self.logs)

    @property
    def url(self) -> str:
        """Its address."""
        return self.app.url or f"http://127.0.0.1:{self.port}"


def server_log(logs: Path) -> Path:
    """The log of the server whose logs are in ``logs``."""
    return logs / "server.log"


def start_server(
    app: ServedApp, folder: Path, logs: Path, more: Mapping[str, str], cores: tuple[int, ...] | None = None
) -> StartedServer:
    """Start the app's server on a free port, with more environment variables in ``more``. StartError gives the reason.

    The probe writes into ``folder``, which is a result; the log goes to ``logs``, since an app may print secrets.
    """
    port = free_port()
    if app.url:
        return StartedServer(app, port, folder, logs, None)
    process = start(
        app.command(port),
        name=app.name,
        log=server_log(logs),
        env=app.server_environment(folder, more),
        cwd=app.cwd,
        cores=cores,
    )
    return StartedServer(app, port, folder, logs, process)


def start_sidecar(
    app: ServedApp, sidecar: Sidecar, logs: Path, more: Mapping[str, str], cores: tuple[int, ...] | None
) -> Process:
    """Start one sidecar of the app, with more environment variables in ``more``. StartError gives the reason."""
    program, *arguments = sidecar.command
    return start(
        [app.python if program == "python" else program, *arguments],
        name=sidecar.name,
        log=logs / f"{sidecar.name}.log",
        env=app.environment_with(more),
        cwd=app.cwd,
        cores=cores,
    )


def wait_until_served(servers: Sequence[StartedServer], path: str) -> dict[str, str]:
    """Wait until every server answers ``path`` and has all its workers. Reasons of those that never will, by name.

    A user's own app is asked for READY_PATH instead, and any answer will do: ``path`` is a request like those that are
    measured, and may take as long.
    """
    own = any(server.app.own for server in servers)  # a group has either the user's apps or the catalogue's
    waiting = {
        s.app.name: (s.process, f"{s.url}{READY_PATH if own else path}") for s in servers if s.process is not None
    }
    deadline_s = max((server.app.ready_deadline_s for server in servers), default=0.0)
    reasons = wait_until_ready(waiting, deadline_s, any_answer=own)
    failures = {name: reason for name, reason in reasons.items() if reason is not None}
    until_s = time.perf_counter() + READY_DEADLINE_S
    for server in servers:
        if server.app.name not in failures and (reason := _wait_for_workers(server, until_s)):
            failures[server.app.name] = reason
    return failures


def _wait_for_workers(server: StartedServer, until_s: float) -> str | None:
    """None when every worker has started. The probe of each begins a file then; one worker may answer for all."""
    workers = server.app.workers
    if server.process is None or not server.app.probed or workers == 1:
        return None
    while (started := len(list(server.folder.glob("server-*.csv")))) < workers:
        if (status := server.process.poll()) is not None:
            return f"{exit_text(status)} while starting"
        if time.perf_counter() > until_s:
            return f"{started} of {workers} workers were ready within {READY_DEADLINE_S:g} s"
        time.sleep(POLL_S)
    return None


def wait_for_text(process: Process, text: str, until_s: float) -> str | None:
    """None once ``text`` is in the log of ``process``, otherwise the reason why it is not."""
    while text not in process.log.read_text(encoding="utf-8", errors="replace"):
        if process.poll() is not None:
            return "ended while starting"
        if time.perf_counter() > until_s:
            return f"was not ready within {SIDECAR_DEADLINE_S:g} s"
        time.sleep(POLL_S)
    return None
