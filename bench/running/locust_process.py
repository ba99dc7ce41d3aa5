"""Locust as a process: its command line, and one load on servers that are ready.

    locust = start_locust(scenario, group, host, log, cores)
    locust.begin(RunTurns(...))
    while (result := locust.result(timeout_s=0.05)) is None:
        ...

Locust starts while the servers start, which takes both about a second, and waits for the message with the turns.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

from bench.model import HEALTH_PATH, Load, Scenario, ServerGroup
from bench.planning.catalogue import ROOT
from bench.results.control_messages import LoadFailed, RunTurns, TurnsDone
from bench.running import environment
from bench.running.control_channel import ControlChannel
from bench.running.processes import Process, Program, exit_text, start_program

MAX_BEYOND_LOAD_S = 20.0
"""Time for starting, waiting for the last answers and writing. A Locust that takes longer hangs."""


class LoadGenerator(Protocol):
    """What puts load on a group of servers."""

    processes: list[Process]
    """Receives every process that is started for the group, so that another thread can ask it to stop."""
    max_load_s: float
    """A load that takes longer has failed."""

    @property
    def pid(self) -> int:
        """Number of its process."""

    @property
    def log(self) -> Path:
        """Its log."""

    def begin(self, turns: RunTurns) -> None:
        """The servers are ready: take these turns."""

    def result(self, timeout_s: float) -> TurnsDone | LoadFailed | None:
        """How the load ended, or None when it has not ended within ``timeout_s``."""


class LocustProcess:
    """A headless Locust for one group: the LoadGenerator of every command but the web UI."""

    def __init__(self, process: Process, channel: ControlChannel, max_load_s: float) -> None:
        self.processes = [process]
        self.max_load_s = max_load_s
        self.pid = process.pid
        self.log = process.log
        self._process = process
        self._channel = channel

    def close(self) -> None:
        """Close the control channel, once the process has been stopped."""
        self._channel.close()

    def begin(self, turns: RunTurns) -> None:
        """Send the turns to Locust."""
        self._channel.send(turns)

    def result(self, timeout_s: float) -> TurnsDone | LoadFailed | None:
        """Locust's last message; LoadFailed where it ended without one."""
        message = self._channel.receive(timeout_s)
        if isinstance(message, TurnsDone | LoadFailed):
            return message
        if message is not None:
            return LoadFailed(f"locust sent {message.kind}, which belongs to the web UI")
        if self._channel.ended and (status := self._process.wait(timeout_s)) is not None:
            return LoadFailed(f"locust {exit_text(status)} before its turns were done")
        return None


def start_locust(
    scenario: Scenario, group: ServerGroup, host: str, log: Path, cores: tuple[int, ...] | None
) -> LocustProcess:
    """Start a headless Locust for ``group``. StartError gives the reason why it cannot be started."""
    channel = ControlChannel()
    try:
        program = Program(
            locust_command(scenario, group.load, host, channel.fd),
            name="locust",
            log=log,
            env=environment.of_own_app() if scenario.has_think_time else environment.of_catalogue(),
            cwd=ROOT,
            cores=cores,
            pass_fds=(channel.fd,),
        )
        process = start_program(program)
    except BaseException:
        channel.close()
        raise
    channel.handed_over()
    return LocustProcess(process, channel, group.max_load_s + MAX_BEYOND_LOAD_S)


def locust_command(scenario: Scenario, load: Load, host: str, control_fd: int) -> list[str]:
    """Locust's command line. ``host`` is for users that are not ours; ours request from the servers of the turns."""
    users = load.users or 1  # an arrival schedule needs one user
    users += 0 if scenario.has_think_time else 1  # the health prober
    return [
        *(sys.executable, "-m", "locust", "--locustfile", scenario.locustfile, "--headless", "--only-summary"),
        *("--users", str(users), "--spawn-rate", str(users), "--host", host),
        *locustfile_options(scenario, load),
        *("--control-fd", str(control_fd)),
    ]


def locustfile_options(scenario: Scenario, load: Load) -> tuple[str, ...]:
    """The options that the scenario's locustfile defines itself."""
    if scenario.locust_args is not None:
        return scenario.locust_args
    return (
        *("--path", scenario.path, "--health-path", scenario.health_path),
        *(("--health-name", HEALTH_PATH) if scenario.health_path != HEALTH_PATH else ()),
        *(("--method", scenario.method) if scenario.method != "GET" else ()),
        *(("--body", scenario.body) if scenario.body else ()),
        *(("--statuses", scenario.statuses) if scenario.statuses != "200" else ()),
        *(("--rate", f"{load.rate_rps:g}") if load.rate_rps is not None else ()),
    )
