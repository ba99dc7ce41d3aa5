"""Finds out what can be known of an app before it is served: can it be served, and what does it offer?

    facts = inspect_app(app, environment)                  # UsageError where the app cannot be served
    with started_app(app, environment, options) as server:
        document = server.document("/openapi.json")
        outcome = server.tried(request)

The server is the one that is measured later, with the probe in it, so that blocking at start-up is recorded, too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.model import AppSource, Scenario, Variant
from bench.model.errors import UsageError
from bench.results.files import adapter_of
from bench.results.schema import FunctionRecord
from bench.running.cores import cores_for
from bench.running.environment import of_own_app
from bench.running.log_tail import last_exception
from bench.running.preflight_server import AppServer, RunningServer, ServerSetup
from bench.running.processes import StartError, start
from bench.running.redaction import redactor_of_own_app
from bench.running.serving import resolve
from bench.running.temporary import OwnedFolder

INSPECT_SCRIPT = Path(__file__).resolve().with_name("inspect_script.py")
INSPECT_WITHIN_S = 120.0
"""Importing an app takes a second; one with many packages takes twenty on a busy machine."""


@dataclass(frozen=True)
class Application:
    """The app itself, or one that is mounted in it."""

    prefix: str = ""
    """Path under which it is mounted."""
    root_path: str = ""
    """The outer app's ``root_path``, which a proxy removes from the paths of requests."""
    openapi_url: str | None = "/openapi.json"
    """Path of its OpenAPI document below ``prefix``; None where it is switched off."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """An OpenAPI document with what its own one leaves out: everything where that is switched off."""


@dataclass(frozen=True)
class AppFacts:
    """What the app's own interpreter says of the app (inspect_script.py)."""

    error: str = ""
    """Why the app cannot be served; empty when it can."""
    python: str = ""
    """Version of the interpreter."""
    uvicorn: str = ""
    """Version of uvicorn there."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of packages there that serve, or that often block."""
    package: str = ""
    """Folder of the target's package where that lies outside the app's folder; empty otherwise."""
    applications: tuple[Application, ...] = (Application(),)
    """The app, and those that are mounted in it. By default one with its document at FastAPI's usual path."""
    functions: tuple[FunctionRecord, ...] = ()
    """Functions whose role is known: endpoints, dependencies, middleware, start-up."""

    @property
    def code_folders(self) -> tuple[str, ...]:
        """Folders outside the app's own whose code belongs to the app."""
        return (self.package,) if self.package else ()


def inspect_app(app: AppSource, environment: Mapping[str, str]) -> AppFacts:
    """What the app's interpreter says of it. UsageError with the reason where it cannot be served.

    Of a server that runs already nothing is known.
    """
    if app.url:
        return AppFacts()
    redact = redactor_of_own_app(environment)
    with OwnedFolder("inspection") as temporary:
        out, log = temporary.path / "facts.json", temporary.path / "log"
        command = [app.python or sys.executable, str(INSPECT_SCRIPT), app.target, "--app-dir", app.folder]
        command += ["--out", str(out), *(["--factory"] if app.factory else [])]
        try:
            with start(
                command, name="inspection", log=log, env={**of_own_app(), **environment}, cwd=Path(app.folder)
            ) as process:
                if process.wait(INSPECT_WITHIN_S) is None:
                    raise UsageError(f"{app.target} cannot be imported within {INSPECT_WITHIN_S:g} s")
        except StartError as error:
            raise UsageError(str(error)) from None
        try:
            facts = adapter_of(AppFacts).validate_python(json.loads(out.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            raise UsageError(f"{app.target} cannot be imported: {redact(last_exception(log))}") from None
    if facts.error:
        raise UsageError(redact(facts.error))
    return facts


def no_notice(_: str) -> None:
    """Tell nobody."""


@contextmanager
def started_app(
    app: AppSource,
    environment: Mapping[str, str],
    options: Sequence[str],
    on_notice: Callable[[str], None] = no_notice,
    record: str = "",
) -> Iterator[AppServer]:
    """A server of ``app`` that answers. UsageError with the reason where it does not.

    ``on_notice`` is told what is waited for, while that lasts. ``record`` is a file to record its requests in.
    """
    if app.url:
        with AppServer(RunningServer(app.url), on_notice) as server:
            yield server
        return
    variant = Variant("app", "baseline", app.target, app=app, uvicorn_options=tuple(options))
    served = replace(resolve(Scenario("preflight", "", (variant,), "/"), variant.name), record=record)
    cores = cores_for(parallel=False)
    with OwnedFolder("preflight") as temporary:
        setup = ServerSetup(
            served, environment, temporary.path, cores.server if cores else None, redactor_of_own_app(environment)
        )
        with AppServer(setup, on_notice) as server:
            yield server
