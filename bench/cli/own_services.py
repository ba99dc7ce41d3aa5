"""Options that name the user's own PostgreSQL and Redis. Nothing else makes the harness use them.

The usual variables DATABASE_URL and REDIS_URL are ignored: in many shells they name a server that others need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import click

from bench.model import Scenario
from bench.model.errors import UsageError

SCHEMES = {"--database-url": ("postgresql", "postgres"), "--redis-url": ("redis", "rediss", "unix")}

DATABASE_URL = click.option(
    "--database-url",
    envvar="BENCH_DATABASE_URL",
    metavar="URL",
    help="Your own PostgreSQL, in place of a new one; one new schema in it is used. Or BENCH_DATABASE_URL.",
)
REDIS_URL = click.option(
    "--redis-url",
    envvar="BENCH_REDIS_URL",
    metavar="URL",
    help="Your own Redis or Valkey, in place of a new one; an empty database of it is used. Or BENCH_REDIS_URL.",
)


def own_services(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add both options to a command."""
    return DATABASE_URL(REDIS_URL(command))


def own_service_urls(database_url: str | None, redis_url: str | None) -> tuple[tuple[str, str], ...]:
    """(service, URL) of each server that is named. UsageError for what is no such URL, without showing it."""
    named = (("postgres", "--database-url", database_url), ("valkey", "--redis-url", redis_url))
    return tuple((service, _checked(option, url)) for service, option, url in named if url)


def with_own_services(scenario: Scenario, urls: tuple[tuple[str, str], ...]) -> Scenario:
    """The scenario with the user's own servers in place of those services that it needs."""
    needed = tuple((service, url) for service, url in urls if service in scenario.services)
    passwords = tuple(password for _, url in needed if (password := urlsplit(url).password))
    return replace(scenario, own_services=needed, secrets=(*scenario.secrets, *passwords))


def _checked(option: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        complete = parts.scheme in SCHEMES[option] and (parts.hostname or parts.scheme == "unix") and parts.port != 0
    except ValueError:  # the port is no number
        complete = False
    if not complete:
        raise UsageError(
            f"{option} is a URL as in {SCHEMES[option][0]}://user:password@host:port/name; this one is not"
        )
    return url
