"""Makes scenarios of an app's endpoints. Pure.

``alone``: one user sends one request at a time, to each endpoint in turn, on a server of its own. Then, for each
endpoint, on a fresh server: many users loop on it while the health probe requests the cheapest endpoint of all. The
health probe's response time is what the endpoint costs the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.model import AppSource, Scenario, Variant
from bench.model.errors import UsageError
from bench.model.requests import AnsweredRequest

VARIANT = "app"
"""The one variant of each scenario: the app as it is."""
ALONE = "alone"
"""Name of the scenario without load."""
HEALTH_PROBE = "GET prober"
"""Name under which the health probe's requests are counted, to keep them apart from the users'."""
LOCUSTFILE = "locustfiles/checks.py"

LOADED_S = 3.0
"""With a start of about two seconds and a second of warm-up, an endpoint takes less than ten."""
MAX_LOADED_S = 6.0
MIN_ANSWERS = 3
"""A slow endpoint is measured for this many answers, one after the other, within MAX_LOADED_S."""
ALONE_EACH_S = 0.4
"""Seconds for each endpoint without load, on average; a slow endpoint gets at least MIN_ANSWERS."""
MIN_ALONE_S, MAX_ALONE_S = 3.0, 60.0


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
    """The request that stands for all others: the user's ``path``, or else the fastest GET. UsageError for none."""
    candidates = [each for each in answered if each.request.method == "GET"]
    if path is not None:
        candidates = [each for each in candidates if path in (each.request.path, path_template(each))]
    if not candidates:
        known = ", ".join(path_template(each) for each in answered if each.request.method == "GET")
        raise UsageError(f"--prober: no endpoint answers GET{f' {path}' if path else ''}; these do: {known or 'none'}")
    return min(candidates, key=lambda each: each.alone_s)


def alone_scenario(target: DoctorTarget) -> Scenario:
    """One user, each endpoint in turn."""
    first = target.answered[0].request
    return Scenario(
        ALONE,
        "How long does each endpoint take without other requests?",
        (_variant(target),),
        path_template(target.answered[0]),
        users=1,
        locustfile=LOCUSTFILE,
        endpoint=HEALTH_PROBE,
        secondary_endpoints=tuple(each.request.name for each in target.answered),
        health_path=first.path,
        locust_args=("--checks", target.requests_file),
        secrets=target.secrets,
    )


def path_template(answered: AnsweredRequest) -> str:
    """The path as the app's document has it, for records: values of parameters may be secret."""
    return answered.name.partition(" ")[2]


def alone_measure_s(target: DoctorTarget) -> float:
    """How long the scenario without load is measured."""
    once_s = sum(each.alone_s + target.health.alone_s for each in target.answered)
    return min(MAX_ALONE_S, max(MIN_ALONE_S, ALONE_EACH_S * len(target.answered), MIN_ANSWERS * once_s))


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
            health_path=target.health.request.path,
            locust_args=("--checks", target.requests_file, "--check", str(number)),
        )
        for number, each in enumerate(target.answered)
    )


def loaded_measure_s(each: AnsweredRequest, usual_s: float = LOADED_S) -> float:
    """How long an endpoint is measured under load: ``usual_s``, or longer when it is slow."""
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
