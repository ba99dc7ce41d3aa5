"""The servers of a group: started together, ready together, and what went wrong with each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.model import Scenario, ServerGroup, Variant
from bench.results.control_messages import TargetRecord
from bench.running.cores import Cores
from bench.running.processes import Process, StartError, exit_text
from bench.running.services import ServiceFailure, Services
from bench.running.serving import (
    SIDECAR_DEADLINE_S,
    StartedServer,
    resolve,
    server_log,
    start_server,
    start_sidecar,
    wait_for_text,
    wait_until_served,
)


@dataclass(frozen=True)
class GroupServer:
    """One variant's server with its sidecars, as far as it came."""

    variant: Variant
    folder: Path
    """The trial's folder."""
    logs: Path
    """Where its programs write their logs."""
    started: StartedServer | None = None
    sidecars: tuple[Process, ...] = ()
    failure: str | None = None
    """Why the trial failed."""
    failure_log: Path | None = None
    """The log that tells more about the failure. None: the server's."""

    @property
    def log(self) -> Path:
        """The log that tells more about the trial."""
        return self.failure_log or server_log(self.logs)

    @property
    def process(self) -> Process | None:
        """Its process. None for a server that was not started, or that runs already."""
        return self.started.process if self.started else None

    @property
    def target(self) -> TargetRecord | None:
        """The server as the load generator needs it. None when it has failed."""
        if self.started is None or self.failure is not None:
            return None
        return TargetRecord(self.variant.name, self.started.url, str(self.folder))

    def failed(self, reason: str, log: Path | None = None) -> GroupServer:
        """The same with a failure; the first one counts."""
        if self.failure is not None:
            return self
        return replace(self, failure=reason, failure_log=log)


@dataclass(frozen=True)
class GroupSetup:
    """What a group is measured with, known before anything starts."""

    scenario: Scenario
    group: ServerGroup
    folders: Mapping[str, Path]
    """The trial's folder of each variant, in the group's order."""
    environment: Mapping[str, str]
    """Variables with the addresses of the services and the temporary folder."""
    logs: Path
    """Where all programs write their logs until the group has ended. Then they are published without secrets."""
    cores: Cores | None
    """The cores of the servers and of the generator. None where processes are not pinned."""

    @property
    def locust_log(self) -> Path:
        """Log of the load generator."""
        return self.logs / "locust.log"

    @property
    def server_cores(self) -> tuple[int, ...] | None:
        """The cores of the servers and their sidecars."""
        return self.cores.server if self.cores else None

    @property
    def generator_cores(self) -> tuple[int, ...] | None:
        """The cores of the load generator."""
        return self.cores.generator if self.cores else None


def not_started(setup: GroupSetup) -> tuple[GroupServer, ...]:
    """The group's servers before anything has started."""
    return tuple(
        GroupServer(setup.scenario.variant(name), folder, setup.logs / name) for name, folder in setup.folders.items()
    )


def start_group(setup: GroupSetup, services: Services, processes: list[Process]) -> tuple[GroupServer, ...]:
    """Start all servers and sidecars, and wait until they are ready. Every process is appended to ``processes``."""
    missing = services.failure()
    servers = tuple(_start(setup, server, missing, processes) for server in not_started(setup))
    servers = tuple(_start_sidecars(setup, server, processes) for server in servers)
    started = [server.started for server in servers if server.started is not None]
    reasons = wait_until_served(started, setup.scenario.health_path)
    servers = tuple(server.failed(r) if (r := reasons.get(server.variant.name)) else server for server in servers)
    until_s = time.perf_counter() + SIDECAR_DEADLINE_S
    return tuple(_wait_for_sidecars(server, until_s) for server in servers)


def pin(servers: tuple[GroupServer, ...], cores: tuple[int, ...] | None) -> None:
    """Keep the servers on their cores, once they are ready: starting costs each a second of CPU, and the generator's
    core is idle meanwhile."""
    for server in servers:
        if cores is not None and server.process is not None and server.failure is None:
            server.process.pin(cores)


def all_ended(servers: tuple[GroupServer, ...]) -> bool:
    """Whether no server is left that could answer."""
    return all(server.target is None or _has_ended(server.process) for server in servers)


def _has_ended(process: Process | None) -> bool:
    return process is not None and process.poll() is not None


def with_failures(servers: tuple[GroupServer, ...], services: Services) -> tuple[GroupServer, ...]:
    """The servers after their load, with what ended meanwhile."""
    missing = services.failure()
    return tuple(_with_failure(server, missing) for server in servers)


def _with_failure(server: GroupServer, missing: ServiceFailure | None) -> GroupServer:
    if server.failure is not None:
        return server
    if missing is not None:
        return server.failed(missing.reason, missing.log)
    for process in (server.process, *server.sidecars):
        if process is not None and (status := process.poll()) is not None:
            name = "the server" if process is server.process else process.name
            return server.failed(f"{name} {exit_text(status)} while it was measured", process.log)
    return server


def _start(
    setup: GroupSetup, server: GroupServer, missing: ServiceFailure | None, processes: list[Process]
) -> GroupServer:
    variant = server.variant
    if missing is not None and not (variant.app and variant.app.url):
        return server.failed(missing.reason, missing.log)
    try:
        started = start_server(resolve(setup.scenario, variant.name), server.folder, server.logs, setup.environment)
    except StartError as error:
        return server.failed(str(error))
    if started.process is not None:
        processes.append(started.process)
    return replace(server, started=started)


def _start_sidecars(setup: GroupSetup, server: GroupServer, processes: list[Process]) -> GroupServer:
    if server.started is None or server.process is None:
        return server
    for sidecar in server.variant.sidecars:
        app = server.started.app
        try:
            process = start_sidecar(app, sidecar, server.logs, setup.environment, setup.server_cores)
        except StartError as error:
            return server.failed(str(error))
        processes.append(process)
        server = replace(server, sidecars=(*server.sidecars, process))
    return server


def _wait_for_sidecars(server: GroupServer, until_s: float) -> GroupServer:
    for process, sidecar in zip(server.sidecars, server.variant.sidecars, strict=False):
        if server.failure is None and (reason := wait_for_text(process, sidecar.ready, until_s)):
            return server.failed(f"{sidecar.name} {reason}", process.log)
    return server
