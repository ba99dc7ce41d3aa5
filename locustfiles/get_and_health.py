"""Users who request one path in a loop, and a health check that requests /health twenty times a second.

By hand, against an app that is already running:

    locust -f locustfiles/get_and_health.py --host http://127.0.0.1:8000 --path /report --users 33 --spawn-rate 33

One of the users is the health check. The others loop without think time. With ``--rate`` one arrival schedule of so
many requests a second replaces them.
"""

from __future__ import annotations

from typing import Any

from locust import events

from bench.load import HubHttpUser, Request


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    parser.add_argument("--path", default="/", help="path that the users request")
    parser.add_argument("--method", default="GET", help="their method")
    parser.add_argument("--body", default="", help="JSON that they send")
    parser.add_argument("--statuses", default="200", help="statuses of a good answer: one, or a range such as 200-399")
    parser.add_argument("--health-path", default="/health", help="path of the health check")
    parser.add_argument("--health-name", default="", help="name of its requests in all tables, if it is not the path")
    parser.add_argument("--rate", type=float, default=0.0, help="arrivals a second instead of looping users; 0: loop")


class HealthCheck(HubHttpUser):
    """Requests /health every 50 ms by an absolute schedule, and waits for no earlier answer."""

    fixed_count = 1
    arrival_rate = 20.0
    records_sequence = True


class LoopingUser(HubHttpUser):
    """Sends a request, waits for the answer, sends the next."""


@events.test_start.add_listener
def _configure(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    low, _, high = options.statuses.partition("-")
    statuses = frozenset(range(int(low), int(high or low) + 1))
    HealthCheck.request = Request(options.health_path, name=options.health_name)
    HealthCheck.expected_statuses = LoopingUser.expected_statuses = statuses
    headers = (("Content-Type", "application/json"),) if options.body else ()
    LoopingUser.request = Request(options.path, options.method, headers, options.body.encode())
    LoopingUser.arrival_rate = options.rate or None
