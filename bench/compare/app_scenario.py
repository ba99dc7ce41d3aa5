"""A scenario whose variants are a user's own apps.

    with apps_to_compare([app], ("main", "HEAD")) as apps:
        scenario = app_scenario(apps, EndpointUnderTest("/report"))

The first app is the reference. That each of the others serves no fewer requests is a claim, so ``--check`` fails when
one is refuted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from bench.compare.revisions import apps_at
from bench.model import HEALTH_PATH, AppSource, Claim, Comparison, Scenario, Variant
from bench.model.errors import UsageError
from bench.model.requests import SampleRequest
from bench.running.preflight import inspect_app, started_app
from bench.running.preflight_server import Answered, AppServer, Blocked, Endless, Refused

SCENARIO = "own"
"""Name of the scenario, and of its folder in the run."""
HEALTH_PATHS = (HEALTH_PATH, "/healthz", "/ping", "/status")
"""Where load balancers look, by convention. The first that answers is used, or else the path under test itself."""
RECORDER = "locustfiles/recorder.py"
ANSWERED = "200-399"
"""An app may create something, redirect, or have nothing to answer with."""
MIN_THROUGHPUT_RATIO = 0.95
"""Of the reference's requests/s. Within 5 % two variants count as equivalent, so less than this is fewer."""


@dataclass(frozen=True)
class EndpointUnderTest:
    """What is measured of each app."""

    path: str
    method: str = "GET"
    body: str = ""
    users: int = 32
    health: str | None = None
    """Path of the health check; None for the first of HEALTH_PATHS that answers."""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """uvicorn's."""
    locustfile: str = ""
    """The user's own locustfile, which decides what is requested."""


def app_scenario(apps: Mapping[str, AppSource], endpoint: EndpointUnderTest) -> Scenario:
    """The scenario whose variants are ``apps``. UsageError for an app that cannot be served or does not answer.

    Each app is started once beforehand. One request at a time, and then all users' requests at once, show how long an
    answer takes, and so whether the apps can take turns.
    """
    if endpoint.path.partition("?")[0] == HEALTH_PATH:
        raise UsageError(f"--path {HEALTH_PATH} is not possible: it is the name of the health checks; choose another")
    variants: list[Variant] = []
    health = endpoint.health
    for name, app in apps.items():
        facts = inspect_app(app, endpoint.environment)
        served = replace(app, code_folders=facts.code_folders)
        with started_app(served, endpoint.environment, endpoint.options) as server:
            health = health or _health_path(server, endpoint)
            latency_s = _measured_latency_s(server, endpoint, name)
        variants.append(
            Variant(
                name,
                "baseline",
                app.target if len({each.target for each in apps.values()}) > 1 else name,
                app=served,
                uvicorn_options=endpoint.options,
                environment=tuple(endpoint.environment.items()),
                expected_latency_s=latency_s,
                exclusive=bool(endpoint.locustfile),
            )
        )
    scenario = Scenario(
        SCENARIO,
        f"Which of these serves {endpoint.method} {endpoint.path} best?"
        if len(apps) > 1
        else f"How well is {endpoint.method} {endpoint.path} served?",
        tuple(variants),
        endpoint.path,
        users=endpoint.users,
        method=endpoint.method,
        body=endpoint.body,
        health_path=health or endpoint.path,
        statuses=ANSWERED,
        claims=tuple(_claims(variants)),
    )
    if not endpoint.locustfile:
        return scenario
    files = f"{RECORDER},{endpoint.locustfile}"
    return replace(scenario, locustfile=files, locust_args=(), has_think_time=True)


def _health_path(server: AppServer, endpoint: EndpointUnderTest) -> str:
    return next((path for path in HEALTH_PATHS if server.answers(path)), endpoint.path)


def _measured_latency_s(server: AppServer, endpoint: EndpointUnderTest, name: str) -> float:
    headers = (("Content-Type", "application/json"),) if endpoint.body else ()
    request = SampleRequest(
        f"{endpoint.method} {endpoint.path}", endpoint.method, endpoint.path, headers, endpoint.body
    )
    outcome = server.tried(request)
    if isinstance(outcome, Answered):
        return max(outcome.alone_s, server.burst_s(request, endpoint.users))
    raise UsageError(f"{name}: {request.name}: {_reason(outcome)}")


def _reason(outcome: Endless | Blocked | Refused) -> str:
    """Why the endpoint cannot be measured."""
    if isinstance(outcome, Refused):
        return outcome.reason
    if isinstance(outcome, Endless):
        return f"its answer had not ended after {outcome.waited_s:.0f} s"
    by = f": {outcome.by.file}:{outcome.by.line} holds the event loop" if outcome.by else ""
    return f"one request kept the server from answering anybody for {outcome.blocked_s:.0f} s{by}"


def _claims(variants: Sequence[Variant]) -> Iterator[Claim]:
    for variant in variants[1:]:
        yield Claim(
            f"{variant.name}_no_fewer",
            f"{variant.summary} serves at least 95 % of the requests that {variants[0].summary} serves.",
            (Comparison("throughput_rps", variant.name, "above", variants[0].name, factor=MIN_THROUGHPUT_RATIO),),
        )


def names_of(apps: Sequence[AppSource]) -> dict[str, AppSource]:
    """Each app by a name that can be a folder: ``shop.main`` for ``shop.main:app``. UsageError when one is repeated."""
    found: dict[str, AppSource] = {}
    for app in apps:
        module, _, attribute = app.target.partition(":")
        name = module if attribute == "app" else f"{module}.{attribute}"
        if name in found:
            raise UsageError(f"--app {app.target} is given twice")
        found[name] = app
    return found


@contextmanager
def apps_to_compare(apps: Sequence[AppSource], revisions: Sequence[str]) -> Iterator[dict[str, AppSource]]:
    """Several apps, or one app at several revisions, each by its name."""
    if not revisions:
        yield names_of(apps)
        return
    if len(apps) > 1:
        raise UsageError("--rev needs exactly one --app: it compares that app's revisions")
    with apps_at(apps[0], revisions) as found:
        yield found
