"""Users who ask what a file says: one walks over all of its requests, or many loop on one of them.

By hand, against an app that is already running, with {"prober": {...}, "requests": [{"name": "GET /items/{id}",
"method": "GET", "path": "/items/5", "headers": [["Accept", "*/*"]], "body": ""}]} in checks.json:

    locust -f locustfiles/checks.py --host http://127.0.0.1:8000 --checks checks.json --users 2 --spawn-rate 2
    locust -f locustfiles/checks.py --host http://127.0.0.1:8000 --checks checks.json --check 0 --users 33 ...

The first sends the health probe's request a few times after every other one, so that it is known best. Beside the many,
the health probe is sent by an absolute schedule, 40 times a second, and waits for no earlier answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from locust import events

from bench.load import HubHttpUser, Request

ANSWERED = frozenset(range(200, 400))
"""An app's own endpoints may create, redirect or have nothing to say: what was found out beforehand is no error."""

PROBES_A_SECOND = 40.0
"""Enough for a 90th percentile of three seconds, and a few per cent of what one worker can do."""

PROBES_BETWEEN = 5

PROBER = "prober"


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    parser.add_argument("--checks", required=True, help="file with the requests, as JSON")
    parser.add_argument("--check", type=int, default=-1, help="number of the one to loop on; by default one user walks")


class Prober(HubHttpUser):
    """Looks at the cheapest request; for a walk it is the idle one of two users."""

    fixed_count = 1
    expected_statuses = ANSWERED


class Visitor(HubHttpUser):
    """Sends a request, waits for the answer, sends the next."""

    expected_statuses = ANSWERED


@events.test_start.add_listener
def _configure(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    checks = json.loads(Path(options.checks).read_text(encoding="utf-8"))
    requests = [_request(check) for check in checks["requests"]]
    prober = _request({**checks["prober"], "name": f"{checks['prober']['method']} {PROBER}"})
    if options.check >= 0:
        Prober.request = prober
        Prober.arrival_rate = PROBES_A_SECOND
        Visitor.request = requests[options.check]
        return

    def walk() -> Iterator[Request]:
        return cycle([request for each in requests for request in (each, *[prober] * PROBES_BETWEEN)])

    Prober.request = lambda: iter(())
    Visitor.request = walk


def _request(check: dict[str, Any]) -> Request:
    headers = tuple((key, value) for key, value in check["headers"])
    name = check["name"].partition(" ")[2]
    return Request(check["path"], check["method"], headers, check["body"].encode(), name)
