"""One measurement of the web UI: a group of one variant, whose load ends when somebody stops it or its time is over."""

from __future__ import annotations

import math
import queue
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from bench.model import Load, Scenario, ServerGroup
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.results import layout
from bench.results.control_messages import (
    EndpointRate,
    LoadFailed,
    MeasuredTrial,
    MeasurementRequested,
    RunTurns,
    ServerStopping,
    TrialNotRecorded,
    TrialRecorded,
    TurnsDone,
)
from bench.results.schema import TrialRecord
from bench.running.control_channel import ControlChannel
from bench.running.cores import cores_for
from bench.running.group import GroupHooks, Phase, run_group
from bench.running.measurement_lock import hold_machine
from bench.running.processes import Process
from bench.running.services import Services
from bench.web.run_registry import RunRegistry, RunSlot, single_turn_group

MIN_MEASURED_S = 1.0
"""A trial that was stopped is valid from so many measured seconds on, or from four latencies where that is longer."""
STOP_REPEAT_S = 0.05
"""Pause between two requests to stop a cancelled measurement. More of its processes may have started since the first."""

STOPPED = "stopped before anything was measured: nothing is recorded"


class InteractiveGenerator:
    """The Locust of the web UI as the LoadGenerator of one measurement."""

    max_load_s = math.inf

    def __init__(self, locust: Process, channel: ControlChannel) -> None:
        self.processes: list[Process] = []
        self.cancelled = threading.Event()
        self._locust = locust
        self._channel = channel
        self._results: queue.SimpleQueue[TurnsDone | LoadFailed] = queue.SimpleQueue()
        self._ended = threading.Event()

    @property
    def pid(self) -> int:
        """Number of Locust's process."""
        return self._locust.pid

    @property
    def log(self) -> Path:
        """Locust's log."""
        return self._locust.log

    def begin(self, turns: RunTurns) -> None:
        """Send the turn to Locust."""
        self._channel.send(turns)

    def result(self, timeout_s: float) -> TurnsDone | LoadFailed | None:
        """How the load ended, or None when it has not ended within ``timeout_s``."""
        try:
            result = self._results.get(timeout=timeout_s)
        except queue.Empty:
            if self.cancelled.is_set():
                return TurnsDone({})
            return LoadFailed("locust has ended") if self._channel.ended else None
        if isinstance(result, TurnsDone) and result.measured_s == 0.0:
            self.cancelled.set()
        return result

    # From the thread that reads Locust's messages

    def on_result(self, result: TurnsDone | LoadFailed) -> None:
        """Locust has sent how the load ended."""
        self._results.put(result)

    def cancel(self) -> None:
        """Cancel the measurement. Returns when it has ended."""
        self.cancelled.set()
        while not self._ended.wait(STOP_REPEAT_S):
            for process in list(self.processes):
                process.request_stop()

    # From the thread that measures

    def end(self) -> None:
        """The measurement has ended."""
        self._ended.set()


class MeasurementRunner:
    """Carries out one measurement after the other, and records them."""

    def __init__(
        self, results: Path, apps: Path, registry: RunRegistry, seed: int, own_services: Mapping[str, str]
    ) -> None:
        self._results = results
        self._apps = apps
        self._registry = registry
        self._seed = seed
        self._own_services = own_services

    def measure(
        self, request: MeasurementRequested, generator: InteractiveGenerator, channel: ControlChannel
    ) -> Path | None:
        """Measure, and tell Locust how it went. Returns the run that it was recorded in; None when it was not."""
        name, _, variant = request.choice.partition("/")
        scenario = catalogue.narrowed(catalogue.load(name, self._apps), (variant,))
        assert scenario is not None  # the form offers only variants that there are
        load = Load(users=request.users) if request.rate_rps is None else Load(rate_rps=request.rate_rps)
        slot = self._registry.slot(name, load, variant)
        group = single_turn_group(scenario, load, slot, MIN_MEASURED_S, self._seed)
        try:
            with hold_machine(f"web, {request.choice}, into {slot.run}"):
                trial = self._measured(scenario, group, slot, generator, channel)
        except UsageError as error:
            channel.send(TrialNotRecorded(str(error)))
            return None
        if trial is None:
            shutil.rmtree(layout.trial_folder(slot.run, name, variant, load.name, slot.round), ignore_errors=True)
            channel.send(TrialNotRecorded(STOPPED))
            return None
        self._registry.add(catalogue.load(name, self._apps), trial, slot)
        layout.point_latest(self._results, slot.run)
        channel.send(TrialRecorded(_measured_trial(trial, slot)))
        return slot.run

    def _measured(
        self,
        scenario: Scenario,
        group: ServerGroup,
        slot: RunSlot,
        generator: InteractiveGenerator,
        channel: ControlChannel,
    ) -> TrialRecord | None:
        """The trial; None when the measurement was cancelled before anything was measured."""
        cores = cores_for(scenario.parallel)

        def on_phase(phase: Phase) -> None:
            if phase == "stopping":
                channel.send(ServerStopping())

        logs = layout.logs_folder(slot.run, scenario.name)
        with Services(scenario.services, logs, cores.server if cores else None, self._own_services) as services:
            services.reset()
            if generator.cancelled.is_set():
                return None
            (trial,) = run_group(scenario, group, slot.run, GroupHooks(on_phase), services, generator)
        return None if generator.cancelled.is_set() else trial


def _measured_trial(trial: TrialRecord, slot: RunSlot) -> MeasuredTrial:
    endpoints = trial.facts.endpoints if trial.facts else {}
    return MeasuredTrial(
        id=trial_id(slot.run, trial.scenario, trial.variant, slot.round),
        at_unix_s=time.time(),
        run=slot.run.name,
        scenario=trial.scenario,
        variant=trial.variant,
        load=trial.load.name,
        round=slot.round,
        status=trial.status,
        reasons=trial.reasons,
        log_tail=trial.log_tail,
        endpoints={name: EndpointRate(facts.throughput_rps) for name, facts in endpoints.items()},
    )


def trial_id(run: Path, scenario: str, variant: str, round_number: int) -> str:
    """Identifies a row of the tab "Runs"."""
    return f"{run.name}/{scenario}/{variant}/{round_number}"
