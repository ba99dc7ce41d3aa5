"""The services that a scenario needs: real servers that run for the whole scenario and are reset before every round.

    with Services(("postgres",), logs=run / "database" / "logs") as services:
        services.reset()                                # before every round
        if services.failure() is None:
            start(command, env={**os.environ, **services.environment})

Each name is a module of this package with a function ``service(logs, cores, external_url)``. A service that fails is no
error of the harness: ``failure`` gives the reason, the trials that needed the service *fail*, and the next ``reset``
tries again.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bench.running.processes import Process, StartError


class ServiceError(Exception):
    """A service did not start, or could not be reset; the message is the reason in one line."""


@dataclass(frozen=True)
class StartedService:
    """A service that is up."""

    environment: Mapping[str, str]
    """Variables that tell an app where to find it: ``{"DATABASE_URL": "postgresql://..."}``."""
    process: Process | None = None
    """None for an external service, which the harness did not start."""

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended."""
        return self.process is not None and self.process.poll() is not None


class Service(Protocol):
    """One service: managed (started by the harness) or external (the user's own server)."""

    log: Path

    def start(self) -> StartedService:
        """Start it, and return when it answers. ServiceError or StartError gives the reason why not."""

    def reset(self) -> str:
        """Put it into the state in which every round begins. ServiceError gives the reason why not.

        Returns its version as the server reports it, or an empty string.
        """

    def stop(self) -> None:
        """Stop it, or remove what was put into an external one. Idempotent."""


@dataclass(frozen=True)
class ServiceFailure:
    """Why a service is missing, and the log that may tell more."""

    reason: str
    log: Path


class Services:
    """The services of one scenario. They start at the first ``reset``, so a run that is complete starts none."""

    def __init__(
        self,
        names: tuple[str, ...],
        logs: Path,
        cores: tuple[int, ...] | None = None,
        external: Mapping[str, str] | None = None,
    ) -> None:
        """``external`` has the URLs of the user's own servers, by the service's name."""
        urls = external or {}
        self._services: dict[str, Service] = {
            name: importlib.import_module(f"{__name__}.{name}").service(logs, cores, urls.get(name, ""))
            for name in names
        }
        self._started: dict[str, StartedService] = {}
        self._versions: dict[str, str] = {}
        self._failures: dict[str, ServiceFailure] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name, service in reversed(self._services.items()):
            try:
                service.stop()
            except ServiceError as failed:  # an external server is gone; nothing of the harness is left running
                print(f"the service {name} {failed}", file=sys.stderr)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of all services, for the servers under test."""
        return {key: value for started in self._started.values() for key, value in started.environment.items()}

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the services that report one."""
        return {name: version for name, version in self._versions.items() if version}

    @property
    def processes(self) -> tuple[Process, ...]:
        """Processes of the managed services that are started."""
        return tuple(started.process for started in self._started.values() if started.process is not None)

    def reset(self) -> None:
        """Put every service into its first state. Starts those that are not up."""
        for name, service in self._services.items():
            try:
                self._start_if_needed(name, service)
                self._versions[name] = service.reset()
                self._failures.pop(name, None)
            except (ServiceError, StartError) as error:
                self._failures[name] = ServiceFailure(f"the service {name} {error}", service.log)

    def _start_if_needed(self, name: str, service: Service) -> None:
        started = self._started.get(name)
        if started is not None and name not in self._failures and not started.has_ended:
            return
        if started is not None or name in self._failures:
            self._started.pop(name, None)
            service.stop()
        self._started[name] = service.start()

    def failure(self) -> ServiceFailure | None:
        """Why a service is missing now, or None while all are up."""
        for name, started in self._started.items():
            if name not in self._failures and started.process is not None and started.has_ended:
                reason = f"the service {name} ended with status {started.process.poll()} while it was measured"
                self._failures[name] = ServiceFailure(reason, self._services[name].log)
        return next(iter(self._failures.values()), None)
