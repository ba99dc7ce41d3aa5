"""Connects the harness to Locust's web UI: options for its form, routes, and one measurement at a time."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import Any

import gevent
from locust import events
from locust import stats as locust_stats
from locust.runners import MasterRunner, WorkerRunner

from bench.load.harness_channel import HarnessChannel
from bench.load.plugin import FAILED_STATUS
from bench.results.control_messages import Configure
from bench.web.in_locust import access, routes
from bench.web.in_locust.controller import MeasurementController
from bench.web.in_locust.interactive_coordinator import InteractiveCoordinator
from bench.web.in_locust.locustfiles import LoadedLocustfiles

logger = logging.getLogger(__name__)

SIGNIFICANT_DIGITS = 3
"""Of a response time in Locust's own tables and charts, where Locust has two: 0.512 ms and 147 ms stay as they are."""


def _connect(arguments: list[str]) -> tuple[HarnessChannel, Configure]:
    """Locust reads its options after it has loaded its locustfiles, but these need to know the choices."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--web-control-fd", type=int, required=True)
    known, _ = parser.parse_known_args(arguments)
    channel = HarnessChannel(known.web_control_fd)
    message = channel.next()
    if not isinstance(message, Configure):
        raise ValueError(f"the harness sent {message.kind} before the configuration")
    return channel, message


harness, configuration = _connect(sys.argv[1:])
access.protect_workers()
locustfiles = LoadedLocustfiles(configuration.locustfiles)


def _rounded(response_time_ms: float) -> float:
    return float(f"{response_time_ms:.{SIGNIFICANT_DIGITS}g}")


# The documented way to change the rounding (docs.locust.io, "Customizing response time bucketing").
locust_stats.bucket_response_time = _rounded
locust_stats.PERCENTILES_TO_CHART = [0.5, 0.9, 0.99]
locust_stats.PERCENTILES_TO_STATISTICS = [0.9, 0.99]


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    choices = list(configuration.choices)
    parser.add_argument("--web-control-fd", type=int, default=None, include_in_web_ui=False, help="see bench/web")
    parser.add_argument("--variant", choices=choices, default=choices[0], help="scenario/variant")
    parser.add_argument("--arrival-rate", default="", help="arrivals a second; empty: users wait for each answer")
    parser.add_argument("--behaviour", default="", include_in_web_ui=False, help="locustfile and options, for workers")


@events.init.add_listener
def _init(environment: Any, runner: Any, web_ui: Any, **_: Any) -> None:
    if isinstance(runner, WorkerRunner):
        harness.close()  # the master speaks for all
        return
    coordinator = environment.load_coordinator = InteractiveCoordinator(runner)
    controller = MeasurementController(environment, harness, coordinator, locustfiles)
    routes.add(web_ui, controller, configuration)
    gevent.spawn(controller.receive).link_exception(_channel_failed)


def _channel_failed(greenlet: Any) -> None:
    logger.critical("The control channel has failed", exc_info=greenlet.exc_info)
    os._exit(FAILED_STATUS)  # nothing could be measured any more


@events.test_start.add_listener
def _test_start(environment: Any, **_: Any) -> None:
    # The listener of bench.load has run before, and made the session and the agent.
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        locustfiles.apply(environment, environment.parsed_options.behaviour)
    if not isinstance(runner, MasterRunner):
        environment.load_agent.report_all()
        environment.load_agent.report_users()
