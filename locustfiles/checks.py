"""Users who send requests from a file: one goes through all of them in turn, or many repeat one of them.

By hand, against an app that is already running, with {"prober": {...}, "requests": [{"name": "GET /items/{id}",
"method": "GET", "path": "/items/5", "headers": [["Accept", "*/*"]], "body": ""}]} in checks.json:

    locust -f locustfiles/checks.py --host http://127.0.0.1:8000 --checks checks.json --users 2 --spawn-rate 2
    locust -f locustfiles/checks.py --host http://127.0.0.1:8000 --checks checks.json --check 0 --users 33 ...

A request with ``"is_long": true`` (a stream, a long poll) is not among those that the one user sends. With ``"changes": true``
the file is read again when the load begins.

The one user sends the health probe's request five times after every other one, so that most is known of it. Beside the many,
the health probe is sent 40 times a second by an absolute schedule, and waits for no earlier answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

from locust import events

from bench.load import HubHttpUser, Request

ANSWERED = frozenset(range(200, 400))
"""An app's own endpoints may create something, redirect, or have nothing to answer with."""

NO_ENDPOINT = "/.async-bench/ready"
"""Path of the health probe where no endpoint of the app is fit for it. The app does not have it, so any answer will do."""
ANY = frozenset(range(200, 600))

PROBES_A_SECOND = 40.0
"""Enough for a 90th percentile of three seconds, and a few per cent of what one worker can do."""

PROBES_BETWEEN = 5

PROBER = "prober"


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    parser.add_argument("--checks", required=True, help="file with the requests, as JSON")
    parser.add_argument(
        "--check", type=int, default=-1, help="number of the one to loop on; by default one user sends all of them"
    )


class HealthProbe(HubHttpUser):
    """Sends the health probe's request. Without ``--check`` it is idle, since the other user sends it."""

    fixed_count = 1
    expected_statuses = ANSWERED


class LoopingUser(HubHttpUser):
    """Sends a request, waits for the answer, sends the next."""

    expected_statuses = ANSWERED


@events.test_start.add_listener
def _configure(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    checks = _read(options.checks)
    is_any = checks["prober"]["path"] == NO_ENDPOINT
    HealthProbe.expected_statuses = ANY if is_any else ANSWERED
    if options.check < 0:
        LoopingUser.expected_statuses = HealthProbe.expected_statuses
        HealthProbe.request = lambda: iter(())
        LoopingUser.request = lambda: _all_in_turn(options.checks)
        return
    HealthProbe.arrival_rate = PROBES_A_SECOND
    if checks.get("changes"):  # read when the load begins: the servers start only now
        HealthProbe.request = lambda: _probes(options.checks)
        LoopingUser.request = lambda: _same(options.checks, options.check)
    else:
        HealthProbe.request = _prober(checks)
        LoopingUser.request = _request(checks["requests"][options.check])


def _all_in_turn(file: str) -> Iterator[Request]:
    checks = _read(file)
    prober = _prober(checks)
    short = [_request(each) for each in checks["requests"] if not each.get("is_long")]
    yield from cycle([request for each in short for request in (each, *[prober] * PROBES_BETWEEN)] or [prober])


def _probes(file: str) -> Iterator[Request]:
    yield from repeat(_prober(_read(file)))


def _same(file: str, number: int) -> Iterator[Request]:
    yield from repeat(_request(_read(file)["requests"][number]))


def _read(file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    return content


def _prober(checks: dict[str, Any]) -> Request:
    return _request({**checks["prober"], "name": f"{checks['prober']['method']} {PROBER}"})


def _request(check: dict[str, Any]) -> Request:
    headers = tuple((key, value) for key, value in check["headers"])
    name = check["name"].partition(" ")[2]
    return Request(check["path"], check["method"], headers, check["body"].encode(), name)
