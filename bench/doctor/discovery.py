"""Finds out what an app offers, and which of it can be measured: starts it, and asks each operation a few times.

discovery = discover(request, Dialog(on_notice, confirm))
discovery.answered     # operations to measure under load
discovery.blocked      # operations that blocked the server when they were asked once
discovery.skipped      # the others, each with the reason

An operation whose values are not known waits until others have answered: their answers may hold the values.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.doctor.answer_values import Answers
from bench.doctor.login import Headers, Login, anonymous, credentials, is_refusal, with_headers
from bench.doctor.openapi import (
    SAFE,
    Document,
    Operations,
    operation_names,
    operations,
    parameters_to_fill,
)
from bench.doctor.scenarios import LOADED_S, SLOW_S, health_request
from bench.doctor.selection import Selection
from bench.doctor.traffic import RecordedRequest, by_operation, read_recording
from bench.model import AppSource
from bench.model.errors import UsageError
from bench.model.requests import AnsweredRequest, BlockedRequest, SampleRequest, SkippedOperation
from bench.results.schema import HeldLineRecord, StartUpRecord
from bench.running.preflight import AppFacts, Application, inspect_app, no_notice, started_app
from bench.running.preflight_server import Answered, AppServer, Blocked, Endless, Refused
from bench.running.temporary import OwnedFolder
from bench.running.users_command import run_users_command

MAX_REASONS = 3
"""Operations that an error message names, with the reason why they cannot be measured."""
DRIVE_WITHIN_S = 600.0
"""How long the user's own command may drive the app."""
RESET_WITHIN_S = 60.0
"""How long the user's own command may take to put the data back."""
MAX_LOGIN_TRIES = 20
"""Operations that are tried until one refuses a request without a login. It then shows which form of the token is right."""
STARLETTE_WITH_ROOT_PATH = (0, 33)
METHOD_ORDER = ("GET", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
"""The order in which operations are asked. GET changes no data. DELETE comes last, since it removes data."""


@dataclass(frozen=True)
class ScanRequest:
    """What the user asked the doctor to measure."""

    app: AppSource
    environment: Mapping[str, str] = field(default_factory=dict)
    """More environment variables of the app's server, from an env file."""
    options: tuple[str, ...] = ()
    """uvicorn's."""
    selection: Selection = field(default_factory=Selection)
    document: str | None = None
    """Path of the OpenAPI document; None for the one that the app names."""
    paths: tuple[str, ...] = ()
    """Endpoints to measure in place of those in the document."""
    health_path: str | None = None
    """What the health probe requests; None for the fastest endpoint."""
    users: int = 32
    measure_s: float = LOADED_S
    """Seconds at each endpoint under load; slow endpoints get more."""
    login: Login | None = None
    traffic: tuple[RecordedRequest, ...] = ()
    """Requests that were recorded elsewhere."""
    traffic_source: str = ""
    """Where they come from: ``a HAR file``."""
    drive: str = ""
    """Command that sends requests to the app, which are recorded."""
    reset: str = ""
    """Command that puts the app's data back, before each operation."""


@dataclass(frozen=True)
class Dialog:
    """Messages to the user, and the question whether operations may be sent that change data."""

    on_notice: Callable[[str], None] = no_notice
    """Told what is waited for, while that lasts."""
    confirm: Callable[[Sequence[str]], None] = lambda _: None
    """Given the operations that may change data. Raises where the user does not agree."""


SILENT = Dialog()


@dataclass(frozen=True)
class Discovery:
    """What was found out before the measurement."""

    facts: AppFacts
    answered: tuple[AnsweredRequest, ...]
    skipped: tuple[SkippedOperation, ...]
    health: AnsweredRequest
    start_up: StartUpRecord
    blocked: tuple[BlockedRequest, ...] = ()
    driven: tuple[HeldLineRecord, ...] = ()
    """The lines that held the event loop while the user's own command drove the app."""
    login_request: SampleRequest | None = None
    """How a server is logged in to."""
    login_headers: Headers = ()
    """What the first server gave."""
    secrets: tuple[str, ...] = ()
    """Values that no result may hold, those of recorded requests included."""


@dataclass(frozen=True)
class Listing:
    """What could be asked, without asking it."""

    operations: Operations
    fillable: Mapping[str, Mapping[str, object]]
    """The parameters of every operation, for a file of parameters."""


def discover(request: ScanRequest, dialog: Dialog = SILENT) -> Discovery:
    """Start the app and try what it offers. UsageError when it cannot be served, or nothing can be measured."""
    with _known(request, dialog) as known:
        if request.selection.include_writes or request.selection.include:
            try:
                found = operations(known.documents, known.selection)
            except ValueError as error:
                raise UsageError(f"{request.app.target}: {error}") from None
            login = request.login.operation if request.login else ""
            dialog.confirm([each.name for each in found.requests if each.method not in SAFE and each.name != login])
        discovery = _Trial(request, known, dialog).run()
    if not discovery.answered and not discovery.blocked:
        raise UsageError(f"{request.app.target} has no operation that can be measured: {_reasons(discovery.skipped)}")
    return discovery


def listing(request: ScanRequest, dialog: Dialog = SILENT) -> Listing:
    """What could be asked, with the values that safe operations answer. UsageError as in ``discover``."""
    with _known(request, dialog) as known:
        login = (request.login.operation,) if request.login else ()
        safe = replace(known.selection, include=login, include_writes=False)
        trial = _Trial(request, replace(known, selection=safe), dialog)
        trial.run()
        found = trial.operations(known.selection)
        tried = {each.name: each for each in trial.refused()}
        copies = trial.copies()
        operations_shown = Operations(
            tuple(each for each in found.requests if each.name not in {*tried, *copies}),
            tuple(each for each in (*found.skipped, *tried.values()) if each.name not in copies),
        )
        return Listing(operations_shown, parameters_to_fill(known.documents, known.selection, trial.answers))


@dataclass(frozen=True)
class _Known:
    """A server that answers, and what it says that it offers."""

    server: AppServer
    facts: AppFacts
    documents: tuple[Document, ...]
    unread: tuple[SkippedOperation, ...]
    """Mounted apps whose document cannot be read."""
    selection: Selection
    driven: tuple[HeldLineRecord, ...]
    requests: tuple[SampleRequest, ...] = ()
    """The user's own choice in place of the documents."""


@contextmanager
def _known(request: ScanRequest, dialog: Dialog) -> Iterator[_Known]:
    app = request.app
    dialog.on_notice(f"importing {app.target}")
    facts = inspect_app(app, request.environment)
    if request.document is None and not request.paths:
        _check_documents(app.target, facts)
    watched = replace(app, code_folders=facts.code_folders, watch_start_up=True)
    traffic, source = request.traffic, request.traffic_source
    driven: tuple[HeldLineRecord, ...] = ()
    if request.drive:
        recorded, driven = _driven(request, watched, dialog)
        traffic, source = (*traffic, *recorded), "a request of your command"
    with started_app(watched, request.environment, request.options, dialog.on_notice) as server:
        if request.paths:
            headers = request.selection.headers
            own = tuple(SampleRequest(f"GET {path}", "GET", path, headers) for path in request.paths)
            yield _Known(server, facts, (), (), request.selection, driven, own)
            return
        documents, unread = _documents(request, facts, server)
        try:
            names = operation_names(documents)
        except ValueError as error:
            raise UsageError(f"{app.target}: {error}") from None
        selection = replace(
            _with_login(request.selection, request.login), recorded=by_operation(traffic, names, source)
        )
        yield _Known(server, facts, documents, unread, selection, driven)


def _with_login(selection: Selection, login: Login | None) -> Selection:
    """The user named the login on purpose, and its values: it is measured like any other operation."""
    if login is None:
        return selection
    params = {login.operation: {"body": dict(login.data)}, **selection.params}
    return replace(selection, include=(*selection.include, login.operation), params=params)


def _check_documents(target: str, facts: AppFacts) -> None:
    first = facts.applications[0]
    if first.openapi_url is not None and not first.openapi_url.startswith("/"):
        raise UsageError(f"{target} has its OpenAPI document at {first.openapi_url}: name its path with --openapi")
    if not any(each.openapi_url or each.document.get("paths") for each in facts.applications):
        raise UsageError(
            f"{target} has no OpenAPI document and no routes that can be read: name its endpoints with --path"
        )


def _documents(
    request: ScanRequest, facts: AppFacts, server: AppServer
) -> tuple[tuple[Document, ...], tuple[SkippedOperation, ...]]:
    """The documents of the app and of those mounted in it, each with the prefix that reaches it."""
    documents: list[Document] = []
    unread: list[SkippedOperation] = []
    for number, each in enumerate(facts.applications):
        prefix = _prefixes(each, facts)[0]
        if number == 0:
            url = request.document or each.openapi_url
            documents += [Document("", server.document(url))] if url else []
        elif each.openapi_url:
            try:
                prefix, content = _document_of_mounted(each, facts, server)
                documents.append(Document(prefix, content))
            except UsageError as error:
                unread.append(SkippedOperation(f"the app mounted at {each.prefix}", str(error), "unanswered"))
        if each.document.get("paths"):
            documents.append(Document(prefix, each.document))
    return tuple(documents), tuple(unread)


def _prefixes(app: Application, facts: AppFacts) -> tuple[str, ...]:
    """Where an app may be reached, the most likely first.

    Below a ``root_path``, an app that is mounted is found only with it in front since Starlette 0.33, and before only
    without it. The outer app is found with and without it.
    """
    if not app.prefix or not app.root_path:
        return (app.prefix,)
    both = (f"{app.root_path.rstrip('/')}{app.prefix}", app.prefix)
    version = re.match(r"(\d+)\.(\d+)", facts.packages.get("starlette", ""))
    is_old = version is not None and (int(version[1]), int(version[2])) < STARLETTE_WITH_ROOT_PATH
    return both[::-1] if is_old else both


def _document_of_mounted(mounted: Application, facts: AppFacts, server: AppServer) -> tuple[str, Mapping[str, object]]:
    failure: UsageError | None = None
    for prefix in _prefixes(mounted, facts):
        try:
            return prefix, server.document(f"{prefix}{mounted.openapi_url}")
        except UsageError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _driven(
    request: ScanRequest, app: AppSource, dialog: Dialog
) -> tuple[list[RecordedRequest], tuple[HeldLineRecord, ...]]:
    """The requests that the user's own command sends to the app, and what held the app meanwhile."""
    with OwnedFolder("recording") as temporary:
        file = temporary.path / "requests.jsonl"
        with started_app(app, request.environment, request.options, dialog.on_notice, str(file)) as server:
            dialog.on_notice(f"running {request.drive}")
            begun = file.read_text(encoding="utf-8") if file.is_file() else ""
            begun_s = time.perf_counter()
            status, last = run_users_command(
                request.drive, Path(app.folder), request.environment, DRIVE_WITHIN_S, server.url
            )
            held = tuple(server.held_lines(begun_s))
            text = file.read_text(encoding="utf-8")[len(begun) :] if file.is_file() else ""
    recorded = read_recording(text)
    if not recorded:
        raise UsageError(
            f"--drive: the command sent the app no request (it ended with status {status}: {last or 'no output'}). The "
            "app's address is in the variable ASYNC_BENCH_URL, and takes the place of {url} in the command"
        )
    return recorded, held


class _Trial:
    """Asks every operation a few times, as long as there are more whose values are known."""

    def __init__(self, request: ScanRequest, known: _Known, dialog: Dialog) -> None:
        self._request = request
        self._known = known
        self._dialog = dialog
        self._server = known.server
        self.answers = Answers()
        self._answered: dict[str, AnsweredRequest] = {}
        self._blocked: dict[str, BlockedRequest] = {}
        self._refused: dict[str, SkippedOperation] = {}
        self._stale: dict[str, dict[str, Any]] = {}
        """Operations whose recorded request was refused, with its body as a parameter: what it was about may be gone."""
        self._login_request: SampleRequest | None = None
        self._login_headers: Headers = ()

    def run(self) -> Discovery:
        """Ask them all."""
        known, server = self._known, self._server
        if self._request.login is not None:
            self._log_in(self._request.login)
        for selection in self._selections():
            while new := [each for each in self.operations(selection).requests if each.name not in self._tried]:
                for each in sorted(new, key=lambda each: METHOD_ORDER.index(each.method)):
                    self._ask(each)
        found = self.operations(known.selection)
        copies = self.copies()
        skipped = [
            each
            for each in (
                *self._refused.values(),
                *(each for each in found.skipped if each.name not in self._tried),
                *known.unread,
            )
            if each.name not in copies
        ]
        order = {name: place for place, name in enumerate(operation_names(known.documents))}
        answered = sorted(self._answered.values(), key=lambda each: order.get(each.name, 0))
        secrets = (*known.selection.secret_values(), *(value for _, value in self._login_headers))
        return Discovery(
            known.facts,
            tuple(answered),
            tuple(sorted(skipped, key=lambda each: order.get(each.name, 0))),
            health_request(answered, self._request.health_path),
            StartUpRecord(server.ready_s, server.held_at_start()),
            tuple(self._blocked.values()),
            known.driven,
            self._login_request,
            self._login_headers,
            secrets,
        )

    def copies(self) -> set[str]:
        """Operations of the outer app's document that only a mounted app serves, below its prefix.

        Some apps merge the documents of those that are mounted into their own. What such a document lists answers with
        status 404 without the prefix.
        """
        documents = self._known.documents
        names = set(operation_names(documents))
        prefixes = [each.prefix for each in documents if each.prefix]
        twice = {name for name in names for prefix in prefixes if name.replace(" ", f" {prefix}", 1) in names}
        served = twice & {*self._answered, *self._blocked}
        missing = [name for name in twice & self._refused.keys() if "status 404" in self._refused[name].reason]
        return twice if missing and not served else set()

    def refused(self) -> Iterator[SkippedOperation]:
        """What did not answer well."""
        yield from self._refused.values()
        for name, blocked in self._blocked.items():
            by = f", at {blocked.by.file}:{blocked.by.line}" if blocked.by else ""
            reason = f"one request kept the server from answering anybody for {blocked.blocked_s:.0f} s{by}"
            yield SkippedOperation(name, reason, "unanswered")

    @property
    def _tried(self) -> set[str]:
        return {*self._answered, *self._blocked, *self._refused}

    def _selections(self) -> Iterator[Selection]:
        """Values that are known come first, so that answers are searched before anything is made up."""
        selection = self._known.selection
        yield replace(selection, generate=False)
        if selection.generate:
            yield selection

    def operations(self, selection: Selection) -> Operations:
        """The operations with what is known by now."""
        if self._known.requests:
            requests = tuple(with_headers(each, self._login_headers) for each in self._known.requests)
            return Operations(requests, ())
        if self._stale:
            recorded = {name: each for name, each in selection.recorded.items() if name not in self._stale}
            selection = replace(selection, recorded=recorded, params={**self._stale, **selection.params})
        try:
            found = operations(self._known.documents, selection, self.answers)
        except ValueError as error:
            raise UsageError(f"{self._request.app.target}: {error}") from None
        return Operations(tuple(with_headers(each, self._login_headers) for each in found.requests), found.skipped)

    def _ask(self, request: SampleRequest) -> None:
        if self._request.reset:
            reset_data(self._request)
        self._dialog.on_notice(f"asking {request.name}")
        outcome = self._server.tried(request)
        if isinstance(outcome, Answered):
            self._answered[request.name] = AnsweredRequest(
                request, outcome.alone_s, outcome.alone_s > SLOW_S, first_s=outcome.first_s
            )
            if request.method == "GET":
                self.answers.add(request.name, outcome.content)
        elif isinstance(outcome, Endless):
            self._answered[request.name] = AnsweredRequest(request, outcome.waited_s, True, outcome.first_byte_s)
        elif isinstance(outcome, Blocked):
            self._blocked[request.name] = BlockedRequest(request, outcome.blocked_s, outcome.by, outcome.at_least)
        elif request.name in self._known.selection.recorded and request.name not in self._stale:
            self._stale[request.name] = _body_as_parameter(request)  # the next round has other values for it
        else:
            self._refused[request.name] = _refused(request.name, outcome)

    def _log_in(self, login: Login) -> None:
        request = self._request_of(login)
        outcome = self._server.sent_once(request)
        if isinstance(outcome, Refused):
            raise UsageError(f"--login: {login.operation}: {outcome.reason}")
        candidates = credentials(outcome.content, outcome.headers)
        if not candidates:
            raise UsageError(f"--login: the answer of {login.operation} has no token and no cookie")
        self._login_request = request
        self._login_headers = self._accepted(candidates)

    def _request_of(self, login: Login) -> SampleRequest:
        try:
            found = operations(self._known.documents, self._known.selection)
        except ValueError as error:
            raise UsageError(f"--login: {error}") from None
        request = next((each for each in found.requests if each.name == login.operation), None)
        if request is None:
            raise UsageError(f"--login: {_reasons(found.skipped) or login.operation}")
        return request

    def _accepted(self, candidates: Sequence[Headers]) -> Headers:
        """The form of the token that an operation takes which wants one; the first where none wants any."""
        safe = [each for each in self.operations(self._known.selection).requests if each.method in SAFE]
        for request in map(anonymous, safe[:MAX_LOGIN_TRIES]):
            outcome = self._server.sent_once(request)
            if isinstance(outcome, Refused) and is_refusal(outcome.status):
                for headers in candidates:
                    again = self._server.sent_once(with_headers(request, headers))
                    if not (isinstance(again, Refused) and is_refusal(again.status)):
                        return headers
        return candidates[0]


def _body_as_parameter(request: SampleRequest) -> dict[str, Any]:
    """The body of a recorded request, where it is JSON."""
    try:
        return {"body": json.loads(request.body)} if request.body else {}
    except (ValueError, RecursionError):
        return {}


def reset_data(request: ScanRequest) -> None:
    """Run the user's command that puts the app's data back. UsageError when it fails."""
    status, last = run_users_command(
        request.reset, Path(request.app.folder or "."), request.environment, RESET_WITHIN_S
    )
    if status:
        raise UsageError(f"--reset-command ended with status {status}: {last or 'no output'}")


def _refused(name: str, outcome: Refused) -> SkippedOperation:
    if is_refusal(outcome.status):
        return SkippedOperation(name, f"{outcome.reason}: it wants a login, or other rights", "login")
    if outcome.status == 429:
        return SkippedOperation(name, f"its rate limiter {outcome.reason}", "rate limit")
    if outcome.answered_before:
        return SkippedOperation(name, f"answered well the first time, and then {outcome.reason}", "once")
    return SkippedOperation(name, outcome.reason, "rejected" if outcome.status else "unanswered")


def _reasons(skipped: Sequence[SkippedOperation]) -> str:
    if not skipped:
        return "its document lists none"
    more = f"; and {len(skipped) - MAX_REASONS} more" if len(skipped) > MAX_REASONS else ""
    return "; ".join(f"{each.name}: {each.reason}" for each in skipped[:MAX_REASONS]) + more
