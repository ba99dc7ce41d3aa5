"""Users who ask for one path as fast as it answers, while two hundred others wait for a slow one.

By hand, against an app that is already running:

    locust -f locustfiles/get_among_slow.py --host http://127.0.0.1:8000 --path /page --users 33 --spawn-rate 33

One of the users stands for all others: by one schedule, 200 slow requests a second, which take a second each,
and 20 of a load balancer, which looks at /health. The others loop without think time, or with ``--rate`` all of them
are replaced by one schedule of that many arrivals a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

from locust import events

from bench.load import HubHttpUser, Request

SLOW_PATH = "/slow"
SLOW_TO_A_HEALTH_CHECK = 10


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    parser.add_argument("--path", default="/", help="what the users ask for")
    parser.add_argument("--health-path", default="/health", help="path of the health check")
    parser.add_argument("--rate", type=float, default=0.0, help="arrivals a second instead of looping users; 0: loop")


class Others(HubHttpUser):
    """A request every 4.5 ms, by an absolute schedule, which waits for no earlier answer."""

    fixed_count = 1
    arrival_rate = 20.0 * (SLOW_TO_A_HEALTH_CHECK + 1)


class LoopingUser(HubHttpUser):
    """Sends a request, waits for the answer, sends the next."""


@events.test_start.add_listener
def _configure(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    health, slow = Request(options.health_path), Request(SLOW_PATH)

    def others() -> Iterator[Request]:
        return cycle((health, *(slow,) * SLOW_TO_A_HEALTH_CHECK))

    Others.request = others
    LoopingUser.request = Request(options.path)
    LoopingUser.arrival_rate = options.rate or None
