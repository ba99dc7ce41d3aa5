"""The measurement of the web UI that is under way, at most one at a time.

This process has the users; the harness starts and stops the variant's server and records the trial. Their messages
(bench/results/schema.py has their fields), from start to end:

    Locust                            the harness
    MeasurementRequested        ->
    MeasurementCancelled        ->                              before RunTurns: it is not wanted any more
                                <-    RunTurns                  the server is ready
    TurnsDone or LoadFailed     ->
                                <-    ServerStopping            the server is being stopped
                                <-    TrialRecorded             or TrialNotRecorded
                                <-    FiguresReady              after the trial was analysed
                                <-    ReportReady               after the page was drawn
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import RLock
from locust.runners import MasterRunner

from bench.load.harness_channel import HarnessChannel
from bench.results.control_messages import (
    FiguresReady,
    LoadFailed,
    MeasuredTrial,
    MeasurementCancelled,
    MeasurementRequested,
    ReportReady,
    RunTurns,
    ServerStopping,
    TrialFigures,
    TrialNotRecorded,
    TrialRecorded,
    TurnsDone,
)
from bench.web.in_locust.form import MeasurementForm
from bench.web.in_locust.interactive_coordinator import InteractiveCoordinator
from bench.web.in_locust.live_telemetry import LiveTelemetry
from bench.web.in_locust.locustfiles import LoadedLocustfiles, encoded_options

logger = logging.getLogger(__name__)

MAX_END_S = 60.0
"""Ending a measurement takes a few seconds: stopping the server and PostgreSQL, and Locust's wait for its workers."""
MAX_JOIN_S = 30.0
TELEMETRY_EVERY_S = 1.0

STARTING, LOADING, STOPPING, IDLE = "starting", "loading", "stopping", ""


class NotEnded(Exception):
    """The measurement under way could not be ended; the message is for the page."""


class MeasurementController:
    """Starts and stops measurements for the routes, and keeps ``state`` for the page.

    Each request runs in its own greenlet.
    """

    def __init__(
        self,
        environment: Any,
        harness: HarnessChannel,
        coordinator: InteractiveCoordinator,
        locustfiles: LoadedLocustfiles,
    ) -> None:
        self._environment = environment
        self._harness = harness
        self._coordinator = coordinator
        self._locustfiles = locustfiles
        self._lock = RLock()
        self._idle = Event()
        self._idle.set()
        self._loading: gevent.Greenlet | None = None
        self._form: MeasurementForm | None = None
        self._phase = IDLE
        self._problem = ""
        self._telemetry: dict[str, Any] | None = None
        self._trials: dict[str, MeasuredTrial] = {}
        self._figures: dict[str, TrialFigures] = {}
        self._pages: list[str] = []

    # What the routes call

    def start(self, form: MeasurementForm) -> None:
        """Measure. The measurement under way ends first. The same form again, while it still starts, changes nothing.

        NotEnded when the one under way does not end: then nothing new is started.
        """
        if self._phase == STARTING and form == self._form:
            return
        with self._lock:
            if self._phase == STARTING and form == self._form:
                return
            self._end()
            self._form, self._problem, self._telemetry = form, "", None
            self._idle.clear()
            self._phase = STARTING
            self._harness.send(MeasurementRequested(form.choice, form.users, form.rate_rps))

    def stop(self) -> None:
        """End the measurement under way. Returns when nothing of it is left. NotEnded when it does not end."""
        with self._lock:
            self._end()

    @property
    def starting(self) -> bool:
        """Whether a server is starting. Locust itself is idle meanwhile."""
        return self._phase == STARTING

    @property
    def pages(self) -> tuple[str, ...]:
        """Names of the runs that have a page."""
        return tuple(self._pages)

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the page shows, as ui.js reads it."""
        form = self._form
        return {
            "phase": self._coordinator.phase if self._phase == LOADING else self._phase,
            "measured_s": self._coordinator.measured_s,
            "duration_s": form.duration_s if form else 0.0,
            "choice": self._choice,
            "problem": self._problem,
            "telemetry": self._telemetry,
            "runs": [self._row(trial) for trial in self._trials.values()],
            "pages": self._pages,
        }

    @property
    def _choice(self) -> str:
        return self._form.choice if self._form else ""

    def _row(self, trial: MeasuredTrial) -> dict[str, Any]:
        figures = self._figures.get(trial.id)
        return {**asdict(trial), **(asdict(figures) if figures else {})}

    def _end(self) -> None:
        if self._phase == STARTING:
            self._harness.send(MeasurementCancelled())
        self._coordinator.stop()
        if not self._idle.wait(MAX_END_S):
            self._problem = f"{self._choice} has not ended within {MAX_END_S:g} s: end the command with Ctrl-C"
            logger.error(self._problem)
            raise NotEnded(self._problem)

    # What the harness sends

    def receive(self) -> None:
        """Act on the harness's messages until it closes the channel."""
        for message in self._harness:
            match message:
                case RunTurns():
                    self._on_server_ready(message)
                case ServerStopping():
                    self._coordinator.stop()
                    self._phase = STOPPING
                case TrialRecorded():
                    self._on_recorded(message.trial)
                case TrialNotRecorded():
                    self._become_idle(message.reason)
                case FiguresReady():
                    self._figures |= {figures.id: figures for figures in message.trials}
                case ReportReady():
                    self._pages = list(dict.fromkeys([*self._pages, message.run]))

    def _on_server_ready(self, message: RunTurns) -> None:
        assert self._form is not None
        self._phase = LOADING
        self._coordinator.prepare(self._form.duration_s)
        self._loading = gevent.spawn(self._load, message, self._form)

    def _on_recorded(self, trial: MeasuredTrial) -> None:
        self._trials[trial.id] = trial
        self._figures.pop(trial.id, None)
        self._become_idle("" if trial.status == "ok" else f"{trial.variant} {trial.status}: {trial.reasons[0]}")

    def _become_idle(self, problem: str) -> None:
        if self._loading is not None:
            self._loading.join(MAX_END_S)
        self._problem = problem
        self._phase = IDLE
        self._idle.set()

    # The load

    def _load(self, message: RunTurns, form: MeasurementForm) -> None:
        runner = self._environment.runner
        greenlets: list[gevent.Greenlet] = []
        (target,) = message.targets
        try:
            greenlets.append(gevent.spawn(self._follow, LiveTelemetry(Path(target.folder), message.cores)))
            self._wait_for_workers()
            greenlets.append(self._start_users(message, form))
            _wait(lambda: self._coordinator.agents >= self._processes, "not all processes have started")
            facts = self._coordinator.run_turns(message)
            self._harness.send(TurnsDone(facts, self._coordinator.measured_s))
        except Exception as error:  # the harness needs every error: without one it would wait forever
            logger.exception("The load has failed")
            self._harness.send(LoadFailed(f"{type(error).__name__}: {error}"))
        gevent.killall(greenlets)
        runner.stop()

    def _start_users(self, message: RunTurns, form: MeasurementForm) -> gevent.Greenlet:
        options = encoded_options(message.locustfile, message.locust_args)
        self._environment.parsed_options.behaviour = options
        self._locustfiles.apply(self._environment, options)
        users = 1 + (form.users if form.rate_rps is None else 1)  # the health prober is one of them
        return gevent.spawn(self._environment.runner.start, users, form.spawn_rate)

    def _wait_for_workers(self) -> None:
        """Locust would start without workers that are still busy with the last load."""
        runner = self._environment.runner
        if isinstance(runner, MasterRunner):
            _wait(lambda: len(runner.clients.ready) >= self._processes, "not all workers are ready")

    @property
    def _processes(self) -> int:
        environment = self._environment
        return int(environment.parsed_options.expect_workers) if isinstance(environment.runner, MasterRunner) else 1

    def _follow(self, telemetry: LiveTelemetry) -> None:
        while True:
            self._telemetry = telemetry.read()
            gevent.sleep(TELEMETRY_EVERY_S)


def _wait(condition: Callable[[], bool], failure: str) -> None:
    with gevent.Timeout(MAX_JOIN_S, TimeoutError(failure)):
        while not condition():
            gevent.sleep(0.01)
