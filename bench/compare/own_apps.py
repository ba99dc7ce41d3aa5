"""Scenarios of a user's own apps: several apps, or one app at several git revisions, as the variants of a scenario.

    with variants_of([app], ("main", "HEAD")) as apps:
        scenario = own_scenario(apps, asked)

The first is the reference: that each of the others serves no fewer requests is a claim, so ``--check`` fails where one
is refuted.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.doctor.openapi import SampleRequest
from bench.model import HEALTH_PATH, AppSource, Claim, Comparison, Scenario, Variant
from bench.model.errors import UsageError
from bench.running.preflight import RunningApp, inspect, scouted

NAME = "own"
HEALTH_PATHS = (HEALTH_PATH, "/healthz", "/ping", "/status")
"""Where a load balancer looks, by custom; the first that answers is asked, or else the path under test itself."""
RECORDER = "locustfiles/recorder.py"
NO_FEWER = 0.95
"""Of the reference's requests: within 5 % two variants count as equivalent, so less is fewer."""
GIT_WITHIN_S = 120.0


@dataclass(frozen=True)
class EndpointLoad:
    """What is to be measured of each app."""

    path: str
    method: str = "GET"
    body: str = ""
    users: int = 32
    health: str | None = None
    """By default the first of HEALTH_PATHS that answers."""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """uvicorn's."""
    locustfile: str = ""
    """Users of the user's own, who know by themselves what to ask."""


def own_scenario(apps: Mapping[str, AppSource], asked: EndpointLoad) -> Scenario:
    """The scenario whose variants are ``apps``, each tried once beforehand; UsageError where one cannot be served.

    A server is started for that, asked for the path one by one and then by many at once: what that takes says whether
    they can take turns in a lineup.
    """
    if asked.path.partition("?")[0] == HEALTH_PATH:
        raise UsageError(f"{HEALTH_PATH} is what the health prober's requests are counted as: name another --path")
    variants: list[Variant] = []
    health = asked.health
    for name, app in apps.items():
        facts = inspect(app, asked.environment)
        served = replace(app, code_folders=tuple(filter(None, (facts["package"],))))
        with scouted(served, asked.environment, asked.options, asked.health or asked.path) as seen:
            health = health or _health(seen, asked)
            latency_s = _tried(seen, asked, name)
        variants.append(
            Variant(
                name,
                "baseline",
                app.target if len({each.target for each in apps.values()}) > 1 else name,
                app=served,
                uvicorn_options=asked.options,
                environment=tuple(asked.environment.items()),
                expected_latency_s=latency_s,
                exclusive=bool(asked.locustfile),
            )
        )
    scenario = Scenario(
        NAME,
        f"How do these serve {asked.method} {asked.path}?" if len(apps) > 1 else f"How is {asked.path} served?",
        tuple(variants),
        asked.path,
        users=asked.users,
        method=asked.method,
        body=asked.body,
        health_path=health or asked.path,
        claims=tuple(_claims(variants)),
    )
    if not asked.locustfile:
        return scenario
    files = f"{RECORDER},{asked.locustfile}"
    return replace(scenario, locustfile=files, locust_args=(), has_think_time=True)


def _health(seen: RunningApp, asked: EndpointLoad) -> str:
    return next((path for path in HEALTH_PATHS if seen.answers(path)), asked.path)


def _tried(seen: RunningApp, asked: EndpointLoad, name: str) -> float:
    headers = (("Content-Type", "application/json"),) if asked.body else ()
    check = SampleRequest(f"{asked.method} {asked.path}", asked.method, asked.path, headers, asked.body)
    answered, silent = seen.ask([check])
    if silent:
        raise UsageError(f"{name}: {silent[0].name}: {silent[0].reason}")
    return max(answered[0].alone_s, seen.burst_s(check, asked.users))


def _claims(variants: Sequence[Variant]) -> Iterator[Claim]:
    for variant in variants[1:]:
        yield Claim(
            f"{variant.name}_no_fewer",
            f"{variant.summary} serves at least 95 % of the requests that {variants[0].summary} serves.",
            (Comparison("throughput_rps", variant.name, "above", variants[0].name, factor=NO_FEWER),),
        )


def named(apps: Sequence[AppSource]) -> dict[str, AppSource]:
    """Each by a name that can be a folder: its target's, ``shop.main`` for ``shop.main:app``."""
    found: dict[str, AppSource] = {}
    for app in apps:
        module, _, attribute = app.target.partition(":")
        name = module if attribute == "app" else f"{module}.{attribute}"
        if name in found:
            raise UsageError(f"--app {app.target} is given twice")
        found[name] = app
    return found


@contextmanager
def variants_of(apps: Sequence[AppSource], revisions: Sequence[str]) -> Iterator[dict[str, AppSource]]:
    """Several apps, or one app at several revisions, each by its name."""
    if not revisions:
        yield named(apps)
        return
    if len(apps) > 1:
        raise UsageError("--rev goes with one --app: its revisions are what is compared")
    with checked_out(apps[0], revisions) as found:
        yield found


@contextmanager
def checked_out(app: AppSource, revisions: Sequence[str]) -> Iterator[dict[str, AppSource]]:
    """The app at several revisions of its git repository, each in a worktree that is gone afterwards."""
    folder = Path(app.folder)
    top = Path(_git(folder, "rev-parse", "--show-toplevel"))
    commits = {revision: _commit(folder, revision) for revision in revisions}
    with tempfile.TemporaryDirectory(prefix="async-bench-") as temporary:
        made: dict[str, AppSource] = {}
        try:
            for revision, commit in commits.items():
                name = re.sub(r"[^A-Za-z0-9._-]+", "-", revision).strip("-.") or commit[:12]
                place = Path(temporary) / name
                _git(top, "worktree", "add", "--quiet", "--detach", str(place), commit)
                here = place / folder.resolve().relative_to(top.resolve())
                if not here.is_dir():
                    raise UsageError(f"--rev {revision}: there is no folder {here.relative_to(place)} in it")
                made[name] = replace(app, folder=str(here))
            yield made
        finally:
            for name in made:
                _git(top, "worktree", "remove", "--force", str(Path(temporary) / name))
            _git(top, "worktree", "prune")


def _commit(folder: Path, revision: str) -> str:
    if revision.startswith("-"):
        raise UsageError(f"--rev: {revision!r} is no revision")
    try:
        return _git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except UsageError:
        raise UsageError(f"--rev: {revision!r} is no revision of the repository of {folder}") from None


def _git(folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_WITHIN_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git cannot be used: {error}") from None
    if done.returncode:
        raise UsageError(f"git {words[0]}: {' '.join(done.stderr.split()) or 'failed'}")
    return done.stdout.strip()
