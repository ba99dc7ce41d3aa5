"""What is under way in the web UI, at most one measurement at a time: ordered here, carried out with the harness.

The harness brings the variant's server up and down and keeps the record; this process has the users. They say to each
other (bench/web/line.py carries it):

    us                                      the harness
    start  choice, users, rate_rps    ->
                                      <-    load        the server is ready: lineup (a file), locustfile, options, cores
    over   measured, failed           ->                facts are written, or there are none
                                      <-    stopping    the server goes down, asked to or not
                                      <-    recorded    run (a row of the tab "Runs"), or unrecorded: reason
    abort                             ->                no load is wanted any more
                                      <-    figures     rows of a run, once it is analysed; drawn: it has a page
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import RLock
from locust.runners import MasterRunner

from bench.load.coordinator import LoadPlan
from bench.load.plugin import write_facts
from bench.web.in_locust.channel import LocustChannel
from bench.web.in_locust.form import MeasurementRequest
from bench.web.in_locust.interactive_coordinator import InteractiveCoordinator
from bench.web.in_locust.live_telemetry import LiveTelemetry
from bench.web.in_locust.locustfiles import LoadedLocustfiles, saying

logger = logging.getLogger(__name__)

IDLE_WITHIN_S = 60.0
"""Ending a measurement takes a few seconds: the server's stop ladder, PostgreSQL's, Locust's wait for its workers."""
GENERATORS_WITHIN_S = 30.0
LOOK_EVERY_S = 1.0

STARTING, LOADING, STOPPING, IDLE = "starting", "loading", "stopping", ""


class MeasurementController:
    """Takes orders from the web UI's routes, each in a greenlet of its own, and keeps ``state`` for its page."""

    def __init__(
        self, environment: Any, line: LocustChannel, conductor: InteractiveCoordinator, behaviours: LoadedLocustfiles
    ) -> None:
        self._environment = environment
        self._line = line
        self._conductor = conductor
        self._behaviours = behaviours
        self._lock = RLock()
        self._idle = Event()
        self._idle.set()
        self._loading: gevent.Greenlet | None = None
        self._order: MeasurementRequest | None = None
        self._phase = IDLE
        self._trouble = ""
        self._telemetry: dict[str, Any] | None = None
        self._runs: dict[str, dict[str, Any]] = {}
        self._pages: list[str] = []

    # What the routes call

    def start(self, order: MeasurementRequest) -> None:
        """Measure ``order``; what is under way ends first. The same again, while it still starts, changes nothing."""
        if self._phase == STARTING and order == self._order:
            return
        with self._lock:
            if self._phase == STARTING and order == self._order:
                return
            self._end()
            self._order, self._trouble, self._telemetry = order, "", None
            self._idle.clear()
            self._phase = STARTING
            self._line.say(do="start", choice=order.choice, users=order.users, rate_rps=order.rate_rps)

    def stop(self) -> None:
        """End what is under way and return when nothing of it is left."""
        with self._lock:
            self._end()

    @property
    def starting(self) -> bool:
        """Whether a server is coming up: Locust itself is idle meanwhile."""
        return self._phase == STARTING

    @property
    def pages(self) -> tuple[str, ...]:
        """Names of the runs that are drawn."""
        return tuple(self._pages)

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the page shows, as ui.js reads it."""
        order = self._order
        return {
            "phase": self._conductor.phase if self._phase == LOADING else self._phase,
            "measured_s": self._conductor.measured_s,
            "duration_s": order.duration_s if order else 0.0,
            "choice": order.choice if order else "",
            "trouble": self._trouble,
            "telemetry": self._telemetry,
            "runs": list(self._runs.values()),
            "pages": self._pages,
        }

    @property
    def _ordered(self) -> MeasurementRequest:
        assert self._order is not None
        return self._order

    def _end(self) -> None:
        if self._phase == STARTING:
            self._line.say(do="abort")
        self._conductor.stop()
        if not self._idle.wait(IDLE_WITHIN_S):
            logger.error("The measurement has not ended within %g s", IDLE_WITHIN_S)

    # What the harness says

    def listen(self) -> None:
        """Do what the harness says until it hangs up: then its guard ends this process, too."""
        for message in self._line:
            match message.pop("event"):
                case "load":
                    self._on_load(**message)
                case "stopping":
                    self._conductor.stop()
                    self._phase = STOPPING
                case "recorded":
                    self._on_recorded(**message)
                case "unrecorded":
                    self._become_idle(message["reason"])
                case "figures":
                    self._on_figures(**message)
                case "drawn":
                    self._pages = list(dict.fromkeys([*self._pages, message["page"]]))

    def _on_load(self, lineup: str, locustfile: str, options: list[str], cores: int) -> None:
        self._phase = LOADING
        self._conductor.prepare()
        self._loading = gevent.spawn(self._load, Path(lineup), saying(locustfile, options), cores)

    def _on_recorded(self, run: dict[str, Any]) -> None:
        self._runs[run["id"]] = run
        self._become_idle("" if run["status"] == "ok" else f"{run['variant']} {run['status']}: {run['reasons'][0]}")

    def _on_figures(self, runs: list[dict[str, Any]]) -> None:
        for run in runs:
            if run["id"] in self._runs:
                self._runs[run["id"]] |= run

    def _become_idle(self, trouble: str) -> None:
        if self._loading is not None:
            self._loading.join(IDLE_WITHIN_S)
        self._trouble = trouble
        self._phase = IDLE
        self._idle.set()

    # The load

    def _load(self, lineup_file: Path, behaviour: str, cores: int) -> None:
        runner = self._environment.runner
        greenlets: list[gevent.Greenlet] = []
        failed = False
        try:
            lineup = LoadPlan.read(lineup_file)
            (folder,) = lineup.folders.values()
            greenlets.append(gevent.spawn(self._watch, LiveTelemetry(folder, cores)))
            self._wait_workers()
            greenlets.append(self._start_users(behaviour))
            self._wait_joined()
            lineup.turns[0]["measure_s"] = self._ordered.duration_s
            write_facts(lineup_file, self._conductor.conduct(lineup))
        except Exception:  # whatever it is, the harness must hear of it: it would wait for ever
            logger.exception("The load has failed")
            failed = True
        self._line.say(do="over", measured=self._conductor.measured_s > 0, failed=failed)
        gevent.killall(greenlets)
        runner.stop()

    def _start_users(self, behaviour: str) -> gevent.Greenlet:
        order = self._ordered
        self._environment.parsed_options.behaviour = behaviour
        self._behaviours.adopt(self._environment, behaviour)
        users = 1 + (order.users if order.rate_rps is None else 1)  # the health prober is one of them
        return gevent.spawn(self._environment.runner.start, users, order.spawn_rate)

    def _wait_workers(self) -> None:
        """Those of the load before may not be back yet; Locust would start without them."""
        runner = self._environment.runner
        if isinstance(runner, MasterRunner):
            _wait(lambda: len(runner.clients.ready) >= self._generators, "not all workers are ready")

    def _wait_joined(self) -> None:
        _wait(lambda: self._conductor.generators >= self._generators, "not all generators have started")

    @property
    def _generators(self) -> int:
        environment = self._environment
        return int(environment.parsed_options.expect_workers) if isinstance(environment.runner, MasterRunner) else 1

    def _watch(self, telemetry: LiveTelemetry) -> None:
        while True:
            self._telemetry = telemetry.look()
            gevent.sleep(LOOK_EVERY_S)


def _wait(happened: Callable[[], bool], what_not: str) -> None:
    with gevent.Timeout(GENERATORS_WITHIN_S, TimeoutError(what_not)):
        while not happened():
            gevent.sleep(0.01)
