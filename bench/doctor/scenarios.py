"""Makes scenarios of an app's endpoints. Pure.

``alone``: one user walks over all endpoints, one request at a time, on a server of its own. Then, for every endpoint,
on a fresh server: many users loop on it, while the prober looks at the cheapest endpoint of all. What the prober waits
is what the endpoint costs the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bench.model import AppSource, Scenario, Variant
from bench.model.errors import UsageError
from bench.running.preflight import AnsweredRequest

VARIANT = "app"
"""The one variant of every scenario: the app as it is."""
ALONE = "alone"
PROBER = "GET prober"
"""What the prober's requests are called, lest they be counted among the users' where both ask for the same."""
LOCUSTFILE = "locustfiles/checks.py"

LOADED_S = 3.0
"""With a start of about two seconds and a second of warm-up, an endpoint is through in less than ten."""
LOADED_MOST_S = 6.0
ANSWERS_LEAST = 3
"""A slow endpoint is measured for so many of its answers, one after the other, as far as that bound allows."""
ALONE_EACH_S = 0.4
"""Seconds of the walk for each endpoint, on average; one that takes longer is asked at least a few times."""
ALONE_LEAST_S, ALONE_MOST_S = 3.0, 60.0


def prober_of(answered: Sequence[AnsweredRequest], wished: str | None) -> AnsweredRequest:
    """The endpoint that stands for all the others: the fastest one without a body, or the one that was asked for."""
    candidates = [each for each in answered if each.check.method == "GET"]
    if wished is not None:
        candidates = [each for each in candidates if each.check.path == wished]
    if not candidates:
        known = ", ".join(each.check.path for each in answered if each.check.method == "GET")
        raise UsageError(f"no endpoint can be probed{f' at {wished}' if wished else ''}; these can: {known or 'none'}")
    return min(candidates, key=lambda each: each.alone_s)


def alone_scenario(
    app: AppSource, options: Sequence[str], answered: Sequence[AnsweredRequest], checks_file: str
) -> Scenario:
    """The walk over all endpoints."""
    names = tuple(each.check.name for each in answered)
    return Scenario(
        ALONE,
        "How long does every endpoint take when nobody else asks?",
        (_variant(app, options),),
        answered[0].check.path,
        users=1,
        locustfile=LOCUSTFILE,
        endpoint=PROBER,
        secondary_endpoints=names,
        health_path=answered[0].check.path,
        locust_args=("--checks", checks_file),
    )


def alone_s(answered: Sequence[AnsweredRequest], prober: AnsweredRequest) -> float:
    """How long the walk is measured."""
    once_s = sum(each.alone_s + prober.alone_s for each in answered)
    return min(ALONE_MOST_S, max(ALONE_LEAST_S, ALONE_EACH_S * len(answered), ANSWERS_LEAST * once_s))


def loaded_scenarios(
    app: AppSource,
    options: Sequence[str],
    answered: Sequence[AnsweredRequest],
    prober: AnsweredRequest,
    users: int,
    checks_file: str,
) -> tuple[Scenario, ...]:
    """One for each endpoint, in the document's order."""
    walk = alone_scenario(app, options, answered, checks_file)
    return tuple(
        replace(
            walk,
            name=f"{number + 1:02d}-{slug(each.check.name)}",
            question=f"What does {each.check.name} cost, itself and everybody else?",
            path=each.check.path,
            method=each.check.method,
            users=users,
            endpoint=each.check.name,
            secondary_endpoints=(),
            health_path=prober.check.path,
            locust_args=("--checks", checks_file, "--check", str(number)),
        )
        for number, each in enumerate(answered)
    )


def loaded_s(each: AnsweredRequest, usual_s: float = LOADED_S) -> float:
    """How long an endpoint is measured under load: ``usual_s``, or longer where it is slow."""
    return max(usual_s, min(LOADED_MOST_S, ANSWERS_LEAST * each.alone_s))


def slug(name: str) -> str:
    """An operation's name as a folder: ``GET /items/{item_id}`` becomes ``get-items-item_id``."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:60] or "root"


def _variant(app: AppSource, options: Sequence[str]) -> Variant:
    return Variant(VARIANT, "baseline", app.target, app=app, uvicorn_options=tuple(options), probed=not app.url)
