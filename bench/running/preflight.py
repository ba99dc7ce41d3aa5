"""Looks at an app once before it is measured: can it be served, what does it offer, who answers, and how fast?

    facts = inspect(app, environment)             # UsageError where the app cannot be served
    with scouted(app, environment, folder) as seen:
        seen.document("/openapi.json")
        seen.ask(checks)

The server is the same as later, with the probe in it, so that blocking while it starts is seen, too.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from bench.doctor.openapi import SampleRequest, SkippedOperation
from bench.model import AppSource, Scenario, Variant
from bench.model.errors import UsageError
from bench.running.cores import cores_for
from bench.running.log_tail import tail
from bench.running.processes import StartError, start
from bench.running.serving import clean_environment, resolve, start_server, wait_until_served

INSPECTION = Path(__file__).resolve().with_name("inspect_script.py")
INSPECTED_WITHIN_S = 120.0
"""Importing an app takes a second, one with half of PyPI in it twenty on a busy machine."""
ANSWER_WITHIN_S = 10.0
"""An endpoint that takes longer cannot be measured in the seconds that it gets; one that never ends is a stream."""
ASKED_TIMES = 3
"""The first answer pays for what is imported and connected lazily."""
BURST_MOST = 100
"""Threads that ask at once, and connections of the client."""
LOG_LINES = 200
"""Of a server that did not come up: where the exception is looked for."""


@dataclass(frozen=True)
class AnsweredRequest:
    """A check that was answered well, and how fast."""

    check: SampleRequest
    alone_s: float
    """Median of the answers after the first."""


@dataclass(frozen=True)
class Stall:
    """Where the loop was held while the app started, as the probe charges it."""

    file: str
    line: int
    function: str
    callee: str
    stalled_s: float


@dataclass
class RunningApp:
    """A server that is up."""

    client: httpx.Client
    folder: Path
    """Where the probe writes, if there is one."""
    ready_s: float
    """Seconds from its start until it answered."""
    ready_at_s: float
    """When that was, on the probe's clock."""

    def start_up_stalls(self) -> list[Stall]:
        """Where the loop was held until the app was ready, the longest first."""
        held: dict[tuple[str, int, str, str], float] = {}
        for path in self.folder.glob("stalls-*.csv"):
            with path.open(encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    if (
                        row["kind"] == "loop"
                        and row["file"]
                        and row["samples"]
                        and float(row["at_s"]) < self.ready_at_s
                    ):
                        place = (row["file"], int(row["line"]), row["function"], row["callee"])
                        held[place] = held.get(place, 0.0) + float(row["stalled_ms"]) / 1000
        return [Stall(*place, stalled_s) for place, stalled_s in sorted(held.items(), key=lambda item: -item[1])]

    def document(self, path: str) -> dict[str, Any]:
        """The app's OpenAPI document; UsageError where there is none."""
        try:
            answer = self.client.get(path)
        except httpx.HTTPError as error:
            raise UsageError(f"the app's OpenAPI document at {path} cannot be read: {_said(error)}") from None
        try:
            document = answer.json() if answer.status_code == 200 else None
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise UsageError(
                f"the app has no OpenAPI document at {path} (status {answer.status_code}): "
                "name it with --openapi PATH, or name its endpoints with --path"
            )
        return document

    def ask(self, checks: Iterable[SampleRequest]) -> tuple[list[AnsweredRequest], list[SkippedOperation]]:
        """Ask each a few times: those that answer, and the others with what they did instead."""
        answered: list[AnsweredRequest] = []
        left_out: list[SkippedOperation] = []
        for check in checks:
            outcome = self._ask(check)
            if isinstance(outcome, str):
                left_out.append(SkippedOperation(check.name, outcome))
            else:
                answered.append(AnsweredRequest(check, outcome))
        return answered, left_out

    def answers(self, path: str) -> bool:
        """Whether a GET of ``path`` is answered well."""
        return not isinstance(self._ask(SampleRequest(path, "GET", path)), str)

    def burst_s(self, check: SampleRequest, users: int) -> float:
        """Seconds until the last of ``users`` requests that were sent at once is answered, or given up."""
        begun_s = time.perf_counter()
        with ThreadPoolExecutor(min(users, BURST_MOST)) as pool:
            list(pool.map(self._ask_once, [check] * users))
        return time.perf_counter() - begun_s

    def _ask(self, check: SampleRequest) -> float | str:
        """The median of a few answers' seconds, the first left out; or why there is none."""
        times: list[float] = []
        for _ in range(ASKED_TIMES):
            outcome = self._ask_once(check)
            if isinstance(outcome, str):
                return outcome
            times.append(outcome)
        return median(times[1:])

    def _ask_once(self, check: SampleRequest) -> float | str:
        begun_s = time.perf_counter()
        try:
            with self.client.stream(
                check.method, check.path, headers=list(check.headers), content=check.body or None
            ) as answer:
                for _ in answer.iter_raw():
                    if time.perf_counter() > begun_s + ANSWER_WITHIN_S:
                        return f"its answer had not ended after {ANSWER_WITHIN_S:g} s"
        except httpx.TimeoutException:
            return f"no answer within {ANSWER_WITHIN_S:g} s"
        except httpx.HTTPError as error:
            return f"no answer: {_said(error)}"
        if not 200 <= answer.status_code < 400:
            return f"answered with status {answer.status_code}"
        return time.perf_counter() - begun_s


def inspect(app: AppSource, environment: Mapping[str, str]) -> dict[str, Any]:
    """What inspect_script.py finds, see there; UsageError with the reason where the app cannot be served.

    Of a server that runs already, next to nothing.
    """
    if app.url:
        return {"python": "", "uvicorn": "", "package": "", "places": []}
    with tempfile.TemporaryDirectory() as temporary:
        out, log = Path(temporary) / "facts.json", Path(temporary) / "log"
        words = [app.python or sys.executable, str(INSPECTION), app.target, "--app-dir", app.folder, "--out", str(out)]
        words += ["--factory"] if app.factory else []
        try:
            with start(
                words, name="inspection", log=log, env={**clean_environment(), **environment}, cwd=Path(app.folder)
            ) as process:
                if process.wait(INSPECTED_WITHIN_S) is None:
                    raise UsageError(f"{app.target} cannot be imported within {INSPECTED_WITHIN_S:g} s")
        except StartError as error:
            raise UsageError(str(error)) from None
        try:
            facts: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UsageError(f"{app.target} cannot be imported: {_last_line(log)}") from None
    if facts["error"]:
        raise UsageError(facts["error"])
    return facts


@contextmanager
def scouted(app: AppSource, environment: Mapping[str, str], options: Sequence[str], path: str) -> Iterator[RunningApp]:
    """A server of ``app`` that answers ``path``; UsageError says why it does not."""
    if app.url:
        with client(app.url) as asking:
            yield RunningApp(asking, Path("/nowhere"), 0.0, 0.0)
        return
    variant = Variant("app", "baseline", app.target, app=app, uvicorn_options=tuple(options))
    served = resolve(Scenario("preflight", "", (variant,), path), variant.name)
    cores = cores_for(parallel=False)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        begun_s = time.perf_counter()
        try:
            server = start_server(served, folder, environment, cores.server if cores else None)
        except StartError as error:
            raise UsageError(str(error)) from None
        assert server.process is not None
        with server.process:
            if reason := wait_until_served([server], path).get(served.name):
                raise UsageError(f"{app.target} {reason}: {_last_line(server.log)}")
            with client(server.url) as asking:
                ready_at_s = time.perf_counter()
                yield RunningApp(asking, folder, ready_at_s - begun_s, ready_at_s)


def client(url: str) -> httpx.Client:
    """Asks one server and nobody else: no proxy, no redirect."""
    return httpx.Client(base_url=url, timeout=ANSWER_WITHIN_S, trust_env=False, follow_redirects=False)


def _last_line(log: Path) -> str:
    """What a log says last of an exception, else its last line."""
    lines = [line.strip() for line in tail(log, LOG_LINES).splitlines() if line.strip()]
    telling = [line for line in lines if line.partition(":")[0].rpartition(".")[2].endswith(("Error", "Exception"))]
    return " ".join((telling or lines or ["its log says nothing"])[-1].split())


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
