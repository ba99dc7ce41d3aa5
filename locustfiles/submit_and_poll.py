"""Clients who submit jobs by an arrival schedule and poll for each until it is done, and a health check.

By hand, against an app that is already running:

    locust -f locustfiles/submit_and_poll.py --host http://127.0.0.1:8000 --rate 20 --users 2

``POST /jobs`` is the time until a job was accepted, ``job done`` the time until a poll found it done.
"""

from __future__ import annotations

from typing import Any

from locust import events

from bench.load import HubHttpUser, Request
from bench.load.job_users import JobUser


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    parser.add_argument("--path", default="/jobs", help="where jobs are submitted")
    parser.add_argument("--method", default="POST", help="how they are submitted")
    parser.add_argument("--body", default="", help="JSON that describes a job")
    parser.add_argument("--health-path", default="/health", help="path of the health check")
    parser.add_argument("--rate", type=float, default=10.0, help="jobs a second")


class HealthCheck(HubHttpUser):
    """Requests /health every 50 ms by an absolute schedule, and waits for no earlier answer."""

    fixed_count = 1
    arrival_rate = 20.0
    records_sequence = True


class Clients(JobUser):
    """Submit jobs, and wait for no earlier result."""

    arrival_rate = 10.0


@events.test_start.add_listener
def _configure(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    headers = (("Content-Type", "application/json"),) if options.body else ()
    HealthCheck.request = Request(options.health_path)
    Clients.request = Request(options.path, options.method, headers, options.body.encode())
    Clients.arrival_rate = options.rate
