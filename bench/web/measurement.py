"""One measurement of the web UI: a lineup of one variant, whose load is Locust's own and ends when somebody says so."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

from bench.model import Load, Scenario, ServerGroup
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.results import layout
from bench.results.schema import TrialRecord
from bench.running.campaign import measurement_lock
from bench.running.cores import cores_for
from bench.running.group import behaviour_options, lineup_file_of, run_group
from bench.running.processes import Process
from bench.running.services import Services
from bench.web.harness_channel import HarnessChannel
from bench.web.run_registry import RunRegistry, RunSlot, one_turn

LEAST_S = 1.0
"""A trial that was stopped is evidence from so many measured seconds on, or four latencies where that is longer."""
AGAIN_S = 0.05
"""How often what is coming up is asked to stop: more of it may have been started meanwhile."""

STOPPED = "stopped before anything was measured: nothing is recorded"


class InteractiveGenerator:
    """The Locust of the web UI as the generator of one lineup (bench.lineup.Generator)."""

    def __init__(self, locust: Process, line: HarnessChannel) -> None:
        self.running: list[Process] = []
        self.unwanted = threading.Event()
        self._locust = locust
        self._line = line
        self._status: int | None = None
        self._ended = threading.Event()

    @property
    def pid(self) -> int:
        return self._locust.pid

    @property
    def log(self) -> Path:
        return self._locust.log

    def wait(self, timeout_s: float) -> int | None:
        message = self._line.next(timeout_s)
        if message is not None and message["do"] == "over":
            self._status = int(message["failed"])
            if not message["measured"] and not message["failed"]:
                self.unwanted.set()
        if self.unwanted.is_set() and self._status is None:
            self._status = 0
        return self.poll()

    def poll(self) -> int | None:
        return self._locust.poll() if self._status is None else self._status

    def give_up(self) -> None:
        """From another thread: nobody wants the measurement any more. Returns when it is over."""
        self.unwanted.set()
        while not self._ended.wait(AGAIN_S):
            for process in list(self.running):
                process.request_stop()

    def end(self) -> None:
        """It is over."""
        self._ended.set()


class MeasurementRunner:
    """Carries out one order after the other, and keeps the book."""

    def __init__(self, results: Path, apps: Path, book: RunRegistry, seed: int) -> None:
        self._results = results
        self._apps = apps
        self._book = book
        self._seed = seed

    def measure(self, order: dict[str, Any], attended: InteractiveGenerator, line: HarnessChannel) -> Path | None:
        """Carry out an order and tell Locust how it went; the run that it was recorded in, if it was."""
        name, _, variant = order["choice"].partition("/")
        scenario = catalogue.narrowed(catalogue.load(name, self._apps), (variant,))
        assert scenario is not None
        load = Load(rate_rps=order["rate_rps"]) if order["rate_rps"] is not None else Load(users=order["users"])
        place = self._book.place(name, load, variant)
        lineup = one_turn(scenario, load, place, LEAST_S, self._seed)
        try:
            with measurement_lock(self._results):
                trial = self._trial(scenario, lineup, place, attended, line)
        except UsageError as error:
            line.say(event="unrecorded", reason=str(error))
            return None
        if trial is None:
            shutil.rmtree(layout.trial_folder(place.run, name, variant, load.name, place.round), ignore_errors=True)
            line.say(event="unrecorded", reason=STOPPED)
            return None
        self._book.enter(catalogue.load(name, self._apps), trial, place)
        layout.point_latest(self._results, place.run)
        line.say(event="recorded", run=_row(trial, place))
        return place.run

    def _trial(
        self,
        scenario: Scenario,
        lineup: ServerGroup,
        place: RunSlot,
        attended: InteractiveGenerator,
        line: HarnessChannel,
    ) -> TrialRecord | None:
        cores = cores_for(scenario.parallel)

        def watch(phase: str) -> None:
            if phase == "loading":
                line.say(
                    event="load",
                    lineup=str(lineup_file_of(lineup, place.run)),
                    locustfile=scenario.locustfile,
                    options=list(behaviour_options(scenario, lineup.load)),
                    cores=len(cores.server) if cores else 1,
                )
            elif phase == "stopping":
                line.say(event="stopping")

        logs = layout.logs_folder(place.run, scenario.name)
        with Services(scenario.services, logs, cores.server if cores else None) as services:
            services.reset()
            if attended.unwanted.is_set():
                return None
            (trial,) = run_group(scenario, lineup, place.run, watch, services, attended)
        return None if attended.unwanted.is_set() else trial


def _row(trial: TrialRecord, place: RunSlot) -> dict[str, Any]:
    """A row of the tab "Runs"; its percentiles come when it is analysed."""
    endpoints = trial.facts.endpoints if trial.facts else {}
    return {
        "id": trial_id(place.run, trial.scenario, trial.variant, place.round),
        "at_unix_s": time.time(),
        "run": place.run.name,
        "scenario": trial.scenario,
        "variant": trial.variant,
        "load": trial.load.name,
        "round": place.round,
        "status": trial.status,
        "reasons": list(trial.reasons),
        "log_tail": trial.log_tail,
        "endpoints": {name: {"throughput_rps": facts.throughput_rps} for name, facts in endpoints.items()},
    }


def trial_id(run: Path, scenario: str, variant: str, number: int) -> str:
    """What tells a row of the tab "Runs" from the others."""
    return f"{run.name}/{scenario}/{variant}/{number}"
