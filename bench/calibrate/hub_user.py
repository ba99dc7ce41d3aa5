"""``HubHttpUser`` alone, for calibration: ``locust -f bench/calibrate/hub_user.py``, ``--rate`` for the open model."""

from __future__ import annotations

from typing import Any

from locust import events

from bench.load import HubHttpUser


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--think-s", type=float, default=0.0)


class HubUser(HubHttpUser):
    """Requests / in a closed loop, or at ``--rate``."""


@events.test_start.add_listener
def _configure(environment: Any, **_: Any) -> None:
    HubUser.arrival_rate = environment.parsed_options.rate or None
    HubUser.think_time_s = environment.parsed_options.think_s
