"""Makes scenarios of an app's endpoints. Pure.

``alone``: one user sends one request at a time, to each endpoint in turn, on a server of its own. Then, for each
endpoint, on a fresh server: many users loop on it while the health probe requests the cheapest endpoint of all. The
health probe's response time is what the endpoint costs the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.model import READY_PATH, AppSource, Scenario, Variant
from bench.model.errors import UsageError
from bench.model.requests import AnsweredRequest, SampleRequest

VARIANT = "app"
"""The one variant of each scenario: the app as it is."""
ALONE = "alone"
"""Name of the scenario without load."""
HEALTH_PROBE = "GET prober"
"""Name under which the health probe's requests are counted, to keep them apart from the users'."""
LOCUSTFILE = "locustfiles/checks.py"

LOADED_S = 2.5
"""With a second of warm-up an endpoint takes four seconds, besides a start of one to two."""
MAX_LOADED_S = 6.0
MIN_ANSWERS = 3
"""A slow endpoint is measured for this many answers, one after the other, within MAX_LOADED_S."""
ALONE_EACH_S = 0.4
"""Seconds for each endpoint without load, on average; a slow endpoint gets at least MIN_ANSWERS."""
MIN_ALONE_S, MAX_ALONE_S = 3.0, 60.0
SLOW_S = MAX_LOADED_S / MIN_ANSWERS
"""An answer that takes longer is *long*: few or none end while the endpoint is measured. Such an endpoint is measured by
what its requests cost the others while they are in flight."""
MAX_HEALTH_S = 0.5
"""An endpoint that takes longer by itself tells nothing of what others cost."""


NO_ENDPOINT = AnsweredRequest(SampleRequest(f"GET {READY_PATH}", "GET", READY_PATH), 0.001)
"""The health probe where no endpoint of the app is fit for it. Any answer will do."""


@dataclass(frozen=True)
class DoctorTarget:
    """The app with its endpoints, and how it is measured."""

    app: AppSource
    options: tuple[str, ...]
    """uvicorn's."""
    answered: tuple[AnsweredRequest, ...]
    """Endpoints that answered before the measurement, in the document's order."""
    health: AnsweredRequest
    """What the health probe requests."""
    users: int
    requests_file: str
    """Where the locustfile reads the requests. It may hold secrets, so it is no result."""
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    """Values of headers and parameters. No result may hold them."""


def health_request(answered: Sequence[AnsweredRequest], path: str | None) -> AnsweredRequest:
    """The request that stands for all others: the user's ``path``, or else the fastest GET.

    Where no GET is fast, a path that the app does not have, which costs it nothing. UsageError for a ``path`` that no
    endpoint answers.
    """
    gets = [each for each in answered if each.request.method == "GET" and not each.is_long]
    if path is not None:
        candidates = [each for each in gets if path in (each.request.path, path_template(each))]
        if not candidates:
            known = ", ".join(path_template(each) for each in gets)
            raise UsageError(f"--prober: no endpoint answers GET {path}; these do: {known or 'none'}")
    else:
        candidates = [each for each in gets if each.alone_s <= MAX_HEALTH_S]
    return min(candidates, key=lambda each: each.alone_s, default=NO_ENDPOINT)


def alone_scenario(target: DoctorTarget) -> Scenario:
    """One user, each endpoint in turn."""
    return Scenario(
        ALONE,
        "How long does each endpoint take without other requests?",
        (_variant(target),),
        path_template(target.health),
        users=1,
        locustfile=LOCUSTFILE,
        endpoint=HEALTH_PROBE,
        secondary_endpoints=tuple(each.name for each in target.answered if not each.is_long),
        locust_args=("--checks", target.requests_file),
        secrets=target.secrets,
    )


def path_template(answered: AnsweredRequest) -> str:
    """The path as the app's document has it, for records: values of parameters may be secret."""
    return answered.name.partition(" ")[2]


def alone_measure_s(target: DoctorTarget) -> float:
    """How long the scenario without load is measured."""
    asked = [each for each in target.answered if not each.is_long]
    once_s = sum(each.alone_s + target.health.alone_s for each in asked)
    return min(MAX_ALONE_S, max(MIN_ALONE_S, ALONE_EACH_S * len(asked), MIN_ANSWERS * once_s))


def loaded_scenarios(target: DoctorTarget) -> tuple[Scenario, ...]:
    """One for each endpoint, in the document's order."""
    alone = alone_scenario(target)
    return tuple(
        replace(
            alone,
            name=f"{number + 1:02d}-{folder_name(each.request.name)}",
            question=f"What does {each.request.name} cost its callers and all other requests?",
            path=path_template(each),
            method=each.request.method,
            users=target.users,
            endpoint=each.request.name,
            secondary_endpoints=(),
            has_long_requests=each.is_long,
            locust_args=("--checks", target.requests_file, "--check", str(number)),
        )
        for number, each in enumerate(target.answered)
    )


def loaded_measure_s(each: AnsweredRequest, usual_s: float = LOADED_S) -> float:
    """How long an endpoint is measured under load: ``usual_s``, or longer when it is slow; not when it is *long*."""
    if each.is_long:
        return usual_s
    return max(usual_s, min(MAX_LOADED_S, MIN_ANSWERS * each.alone_s))


def folder_name(operation: str) -> str:
    """An operation's name as a folder: ``GET /items/{item_id}`` becomes ``get-items-item_id``."""
    return re.sub(r"[^a-z0-9_]+", "-", operation.lower()).strip("-")[:60] or "root"


def _variant(target: DoctorTarget) -> Variant:
    app = target.app
    return Variant(
        VARIANT,
        "baseline",
        app.target,
        app=app,
        uvicorn_options=target.options,
        environment=target.environment,
        probed=not app.url,
    )
