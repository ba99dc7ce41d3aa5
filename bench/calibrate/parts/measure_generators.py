"""Requests per second and CPU per request of every load generator, on one core, against the same null server."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator

import psutil

from bench.calibrate import null_server
from bench.calibrate.rows import GeneratorRow
from bench.calibrate.setup import USERS, CalibrationFailed, CalibrationSetup, running_null_server
from bench.planning.catalogue import PACKAGE
from bench.running.processes import Process

SETTLE_S = 0.5
WINDOW_S = 3.0
MAX_START_S = 20.0
"""A generator that has sent nothing by then is broken. Locust starts in 1 s, on a busy machine in 5."""
MIN_RECEIVED = 200
"""Requests after which load has begun: more than the polls of the server's own counter."""
POLL_S = 0.05


def measure_generators(setup: CalibrationSetup) -> Iterator[GeneratorRow]:
    """One row for each generator and round."""
    with running_null_server(setup) as url:
        commands = _commands(url)
        for number in range(1, setup.rounds + 1):
            for name in setup.shuffled(commands, number):
                setup.report(f"generators: round {number}/{setup.rounds}, {name}")
                yield GeneratorRow(number, name, *measured_rate(setup, url, name, commands[name]))


def _commands(url: str) -> dict[str, list[str]]:
    locust = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--host", url]
    users = ["--users", str(USERS), "--spawn-rate", str(USERS)]
    locust_users = str(PACKAGE / "calibrate" / "locust_users.py")
    commands = {
        "HttpUser": [*locust, *users, "-f", locust_users, "PlainUser"],
        "FastHttpUser": [*locust, *users, "-f", locust_users, "FastUser"],
        "HubHttpUser": [*locust, *users, "-f", str(PACKAGE / "calibrate" / "hub_user.py")],
    }
    if wrk := shutil.which("wrk"):
        commands["wrk"] = [wrk, "-t1", f"-c{USERS}", "-d60s", f"{url}/"]
    if hey := shutil.which("hey"):
        commands["hey"] = [hey, "-cpus", "1", "-c", str(USERS), "-z", "60s", f"{url}/"]
    return commands


def measured_rate(setup: CalibrationSetup, url: str, name: str, command: list[str]) -> tuple[float, float]:
    """Requests per second, and microseconds of CPU per request."""
    with setup.start(command, name, generator=True) as generator:
        _wait_for_load(url, generator)
        time.sleep(SETTLE_S)
        process = psutil.Process(generator.pid)
        start_s, cpu_s, count = time.perf_counter(), _cpu_s(process), null_server.received(url)
        time.sleep(WINDOW_S)
        count = null_server.received(url) - count
        cpu_s, lasted_s = _cpu_s(process) - cpu_s, time.perf_counter() - start_s
    return count / lasted_s, cpu_s / count * 1e6


def _wait_for_load(url: str, generator: Process) -> None:
    # The server's own counter shows when load has begun, for every kind of generator.
    deadline_s = time.perf_counter() + MAX_START_S
    first = null_server.received(url)
    while null_server.received(url) < first + MIN_RECEIVED:
        if generator.poll() is not None or time.perf_counter() > deadline_s:
            raise CalibrationFailed(f"{generator.name} sent nothing; see {generator.log}")
        time.sleep(POLL_S)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
