"""Tries an app once before it is measured: can it be served, what does it offer, and how fast does it answer?

    facts = inspect_app(app, environment)                  # UsageError where the app cannot be served
    with started_app(app, environment, options, "/openapi.json") as running:
        answered, skipped = running.try_all(requests)

The server is the one that is measured later, with the probe in it, so that blocking at start-up is recorded, too.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from bench.model import AppSource, Scenario, Variant
from bench.model.errors import UsageError
from bench.model.requests import AnsweredRequest, SampleRequest, SkippedOperation
from bench.results.files import adapter_of
from bench.results.schema import FunctionRecord, StartUpStallRecord
from bench.running.cores import cores_for
from bench.running.environment import of_own_app
from bench.running.log_tail import tail
from bench.running.processes import StartError, start
from bench.running.redaction import redactor_of_own_app
from bench.running.serving import resolve, start_server, wait_until_served
from bench.running.temporary import OwnedFolder

INSPECT_SCRIPT = Path(__file__).resolve().with_name("inspect_script.py")
INSPECT_WITHIN_S = 120.0
"""Importing an app takes a second; one with many packages takes twenty on a busy machine."""
ANSWER_WITHIN_S = 10.0
"""An endpoint that takes longer cannot be measured in the seconds that it gets; one that never ends is a stream."""
TRIES = 3
"""Requests to each operation. The first one also pays for lazy imports and connections, so it does not count."""
MAX_BURST = 100
"""Threads that send at once, and connections of the client."""
LOG_LINES = 200
"""Lines of a failed server's log in which the exception is looked for."""
SUCCESS = range(200, 400)
"""Statuses that count as an answer."""


@dataclass(frozen=True)
class AppFacts:
    """What the app's own interpreter says of the app (inspect_script.py)."""

    error: str = ""
    """Why the app cannot be served; empty when it can."""
    python: str = ""
    """Version of the interpreter."""
    uvicorn: str = ""
    """Version of uvicorn there."""
    package: str = ""
    """Folder of the target's package where that lies outside the app's folder; empty otherwise."""
    openapi_url: str | None = "/openapi.json"
    """Path of the OpenAPI document; None where the app has switched it off. By default FastAPI's usual path."""
    functions: tuple[FunctionRecord, ...] = ()
    """Functions whose role is known: endpoints, dependencies, middleware, start-up."""


@dataclass(frozen=True)
class RunningApp:
    """A server that answers."""

    client: httpx.Client
    probe_folder: Path | None
    """Where the probe writes; None without a probe."""
    ready_s: float
    """Seconds from its start to its first answer."""
    ready_at_s: float
    """When that was, on the probe's clock."""

    def start_up_stalls(self) -> tuple[StartUpStallRecord, ...]:
        """The lines that held the event loop before the app was ready, the longest first."""
        held: dict[tuple[str, int, str, str], float] = {}
        for row in self._stall_rows():
            if row["kind"] == "loop" and row["file"] and row["samples"] and float(row["at_s"]) < self.ready_at_s:
                location = (row["file"], int(row["line"]), row["function"], row["callee"])
                held[location] = held.get(location, 0.0) + float(row["stalled_ms"]) / 1000
        longest_first = sorted(held.items(), key=lambda item: -item[1])
        return tuple(StartUpStallRecord(*location, stalled_s) for location, stalled_s in longest_first)

    def document(self, path: str) -> Mapping[str, Any]:
        """The app's OpenAPI document. UsageError where there is none."""
        try:
            answer = self.client.get(path)
        except httpx.HTTPError as error:
            raise UsageError(f"the app's OpenAPI document at {path} cannot be read: {_one_line(error)}") from None
        try:
            document = answer.json() if answer.status_code == httpx.codes.OK else None
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise UsageError(
                f"the app has no OpenAPI document at {path} (status {answer.status_code}): "
                "name its path with --openapi, or name the endpoints with --path"
            )
        return document

    def try_all(
        self, requests: Iterable[SampleRequest]
    ) -> tuple[tuple[AnsweredRequest, ...], tuple[SkippedOperation, ...]]:
        """Send each request TRIES times: those that were answered well, and the others with the reason."""
        answered: list[AnsweredRequest] = []
        skipped: list[SkippedOperation] = []
        for request in requests:
            outcome = self._try(request)
            if isinstance(outcome, str):
                skipped.append(SkippedOperation(request.name, outcome))
            else:
                answered.append(AnsweredRequest(request, outcome))
        return tuple(answered), tuple(skipped)

    def answers(self, path: str) -> bool:
        """Whether a GET of ``path`` is answered well."""
        return not isinstance(self._try(SampleRequest(path, "GET", path)), str)

    def burst_s(self, request: SampleRequest, users: int) -> float:
        """Seconds until the last of ``users`` requests that were sent at once is answered or given up."""
        start_s = time.perf_counter()
        with ThreadPoolExecutor(min(users, MAX_BURST)) as pool:
            list(pool.map(self._send, [request] * users))
        return time.perf_counter() - start_s

    def _try(self, request: SampleRequest) -> float | str:
        """Median answer time in seconds, the first left out; or why there is none."""
        times: list[float] = []
        for _ in range(TRIES):
            outcome = self._send(request)
            if isinstance(outcome, str):
                return outcome
            times.append(outcome)
        return median(times[1:])

    def _send(self, request: SampleRequest) -> float | str:
        """Seconds until the answer has ended; or why there is no good one."""
        start_s = time.perf_counter()
        try:
            with self.client.stream(
                request.method, request.path, headers=list(request.headers), content=request.body or None
            ) as answer:
                for _ in answer.iter_raw():
                    if time.perf_counter() > start_s + ANSWER_WITHIN_S:
                        return f"its answer had not ended after {ANSWER_WITHIN_S:g} s"
        except httpx.TimeoutException:
            return f"no answer within {ANSWER_WITHIN_S:g} s"
        except httpx.HTTPError as error:
            return f"no answer: {_one_line(error)}"
        if answer.status_code not in SUCCESS:
            return f"answered with status {answer.status_code}"
        return time.perf_counter() - start_s

    def _stall_rows(self) -> Iterator[dict[str, str]]:
        for path in self.probe_folder.glob("stalls-*.csv") if self.probe_folder else ():
            with path.open(encoding="utf-8", newline="") as lines:
                yield from csv.DictReader(lines)


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
            raise UsageError(f"{app.target} cannot be imported: {redact(_last_exception(log))}") from None
    if facts.error:
        raise UsageError(redact(facts.error))
    return facts


@contextmanager
def started_app(
    app: AppSource, environment: Mapping[str, str], options: Sequence[str], path: str
) -> Iterator[RunningApp]:
    """A server of ``app`` that answers ``path``. UsageError with the reason where it does not."""
    if app.url:
        with client(app.url) as http:
            yield RunningApp(http, None, 0.0, 0.0)
        return
    variant = Variant("app", "baseline", app.target, app=app, uvicorn_options=tuple(options))
    served = resolve(Scenario("preflight", "", (variant,), path), variant.name)
    cores = cores_for(parallel=False)
    redact = redactor_of_own_app(environment)
    with OwnedFolder("preflight") as temporary:
        folder = temporary.path
        start_s = time.perf_counter()
        try:
            server = start_server(served, folder, folder, environment, cores.server if cores else None)
        except StartError as error:
            raise UsageError(str(error)) from None
        assert server.process is not None
        with server.process:
            if reason := wait_until_served([server], path).get(served.name):
                raise UsageError(f"{app.target} {reason}: {redact(_last_exception(server.log))}")
            with client(server.url) as http:
                ready_at_s = time.perf_counter()
                yield RunningApp(http, folder, ready_at_s - start_s, ready_at_s)


def client(url: str) -> httpx.Client:
    """A client that reaches one server and no other: no proxy, no redirect.

    Each request has a connection of its own. After an error a server closes the one that it came on, and the next request
    on it would be reset, through no fault of its endpoint.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=url, timeout=ANSWER_WITHIN_S, trust_env=False, follow_redirects=False, limits=limits)


def _last_exception(log: Path) -> str:
    """The last exception in a log, else its last line."""
    lines = [line.strip() for line in tail(log, LOG_LINES).splitlines() if line.strip()]
    exceptions = [line for line in lines if line.partition(":")[0].rpartition(".")[2].endswith(("Error", "Exception"))]
    return " ".join((exceptions or lines or ["its log is empty"])[-1].split())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
