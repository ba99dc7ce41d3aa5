"""Hooks the harness into Locust's web UI: options for its form, routes, and one measurement at a time."""

from __future__ import annotations

import logging
import os
from typing import Any

import gevent
from locust import events
from locust import stats as locust_stats
from locust.runners import MasterRunner, WorkerRunner

from bench.web.in_locust import routes
from bench.web.in_locust.channel import LocustChannel
from bench.web.in_locust.controller import MeasurementController
from bench.web.in_locust.interactive_coordinator import InteractiveCoordinator
from bench.web.in_locust.locustfiles import LoadedLocustfiles

logger = logging.getLogger(__name__)

DIGITS = 3
"""Of a response time in Locust's own tables and charts, in place of two: 0.512 ms stays that, and 147 does."""

line = LocustChannel()
behaviours = LoadedLocustfiles(line.greeting["locustfiles"])


def _to_digits(response_time_ms: float) -> float:
    return float(f"{response_time_ms:.{DIGITS}g}")


# The documented place for a rounding of one's own (docs.locust.io, "Customizing response time bucketing").
locust_stats.bucket_response_time = _to_digits
locust_stats.PERCENTILES_TO_CHART = [0.5, 0.9, 0.99]
locust_stats.PERCENTILES_TO_STATISTICS = [0.9, 0.99]


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    choices = list(line.greeting["choices"])
    parser.add_argument("--variant", choices=choices, default=choices[0], help="scenario/variant")
    parser.add_argument("--arrival-rate", default="", help="a second; empty: the users loop")
    parser.add_argument("--behaviour", default="", include_in_web_ui=False, help="what the workers are told of both")


@events.init.add_listener
def _init(environment: Any, runner: Any, web_ui: Any, **_: Any) -> None:
    if isinstance(runner, WorkerRunner):
        line.close()
        return
    conductor = environment.conductor = InteractiveCoordinator(runner)
    desk = MeasurementController(environment, line, conductor, behaviours)
    routes.add(web_ui, desk, line.greeting)
    gevent.spawn(desk.listen).link_exception(_listening_failed)


def _listening_failed(greenlet: Any) -> None:
    logger.critical("The line to the harness has failed", exc_info=greenlet.exc_info)
    os._exit(3)  # nothing could be measured any more; the harness says so and ends


@events.test_start.add_listener
def _test_start(environment: Any, **_: Any) -> None:
    # The package's own listener has come first, and made the stage and the follower.
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        behaviours.adopt(environment, environment.parsed_options.behaviour)
    if not isinstance(runner, MasterRunner):
        environment.follower.report_all()
        environment.follower.joined()
