"""The real parts a scenario needs: servers that are up for a scenario session and put back to one state each round.

    with Services(("postgres",), logs=run / "database" / "logs") as services:
        services.fresh()                                # before every round
        if services.failure() is None:
            start(command, env={**os.environ, **services.environment})

Each name is a module of this package with a function ``service(logs, cores)``. A service that fails is no error of the
harness: ``failure`` tells why, the trials that needed it are *failed*, and the next ``fresh`` tries again.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bench.running.processes import Process, StartError


class ServiceFailed(Exception):
    """A service did not start, or could not be put back to its fresh state; the message is the reason in one line."""


class Service(Protocol):
    """One server, ours or the user's own."""

    log: Path
    environment: dict[str, str]
    """Where to find it, as an app is told: ``{"DATABASE_URL": "postgresql://..."}``."""
    version: str
    """As the server says itself, once it was put into its fresh state; empty where there is none to tell."""
    process: Process | None
    """None where the server is the user's own, or not up."""

    def start(self) -> None:
        """Bring it up and return when it answers. ServiceFailed, or StartError, says why not."""

    def fresh(self) -> None:
        """Put it back to the state in which every round begins. ServiceFailed says why not."""

    def stop(self) -> None:
        """Take it down, or remove what was put into the user's own. Again is no harm."""


@dataclass(frozen=True)
class Failure:
    """Why a service is not there, and the log that may tell more."""

    reason: str
    log: Path


class Services:
    """Those that one scenario needs; they start with the first ``fresh``, so a run that is complete starts none."""

    def __init__(self, names: tuple[str, ...], logs: Path, cores: tuple[int, ...] | None = None) -> None:
        self._services: dict[str, Service] = {
            name: importlib.import_module(f"{__name__}.{name}").service(logs, cores) for name in names
        }
        self._up: set[str] = set()
        self._failures: dict[str, Failure] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name, service in reversed(self._services.items()):
            try:
                service.stop()
            except ServiceFailed as failed:  # the user's own server is gone: nothing of ours runs, so say it and go on
                print(f"the service {name} {failed}", file=sys.stderr)

    @property
    def environment(self) -> dict[str, str]:
        """Of all services, for the servers under test."""
        return {key: value for service in self._services.values() for key, value in service.environment.items()}

    @property
    def versions(self) -> dict[str, str]:
        """Of the services that have one."""
        return {name: service.version for name, service in self._services.items() if service.version}

    def fresh(self) -> None:
        """Put every service back to its first state, starting what is not up (any more)."""
        for name, service in self._services.items():
            try:
                if name not in self._up or name in self._failures or _ended(service):
                    if name in self._up:
                        self._up.discard(name)
                        service.stop()
                    service.start()
                    self._up.add(name)
                service.fresh()
                self._failures.pop(name, None)
            except (ServiceFailed, StartError) as error:
                self._failures[name] = Failure(f"the service {name} {error}", service.log)

    def failure(self) -> Failure | None:
        """Why a service is missing now, or None while all are there."""
        for name, service in self._services.items():
            if name not in self._failures and name in self._up and _ended(service):
                assert service.process is not None
                reason = f"the service {name} ended with status {service.process.poll()} while it was measured"
                self._failures[name] = Failure(reason, service.log)
        return next(iter(self._failures.values()), None)


def _ended(service: Service) -> bool:
    return service.process is not None and service.process.poll() is not None
