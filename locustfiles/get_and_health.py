"""Users who ask for one path as fast as it answers, and a load balancer that looks at /health ten times a second.

By hand, against an app that is already running:

    locust -f locustfiles/get_and_health.py --host http://127.0.0.1:8000 --path /report --users 33 --spawn-rate 33

One of the users is the load balancer; the others loop without think time, or with ``--rate`` all of them are replaced
by one timetable of that many arrivals a second.
"""

from __future__ import annotations

from locust import events

from bench.load import HubHttpUser, Request


@events.init_command_line_parser.add_listener
def _options(parser):
    parser.add_argument("--path", default="/", help="what the users ask for")
    parser.add_argument("--method", default="GET", help="how they ask for it")
    parser.add_argument("--body", default="", help="JSON that they send along")
    parser.add_argument("--health-path", default="/health", help="what the load balancer asks for")
    parser.add_argument("--health-name", default="", help="what its requests are counted as, if not as that path")
    parser.add_argument("--rate", type=float, default=0.0, help="arrivals a second instead of looping users; 0: loop")


class LoadBalancer(HubHttpUser):
    """Asks every 100 ms whether the server lives, from an absolute timetable, and waits for no earlier answer."""

    fixed_count = 1
    arrival_rate = 10.0


class Visitor(HubHttpUser):
    """Asks, waits for the answer, asks again."""


@events.test_start.add_listener
def _configure(environment, **_):
    options = environment.parsed_options
    LoadBalancer.request = Request(options.health_path, name=options.health_name)
    headers = (("Content-Type", "application/json"),) if options.body else ()
    Visitor.request = Request(options.path, options.method, headers, options.body.encode())
    Visitor.arrival_rate = options.rate or None
