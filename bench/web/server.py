"""The harness's side of ``bench web``: Locust with its web UI, and one measurement after the other.

Two threads: one reads Locust's messages, so that a measurement can be cancelled while its servers start; the other
measures, and draws pages while nothing is measured.
"""

from __future__ import annotations

import errno
import ipaddress
import itertools
import os
import queue
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.model import Scenario
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.results.control_messages import Configure, LoadFailed, MeasurementCancelled, MeasurementRequested, TurnsDone
from bench.running import environment
from bench.running.control_channel import ControlChannel
from bench.running.cores import cores_for
from bench.running.log_tail import tail
from bench.running.ports import free_port
from bench.running.processes import Process, Program, StartError, exit_text, start_program
from bench.running.readiness import wait_until_ready
from bench.running.run_record import Invocation
from bench.running.temporary import remove_left_behind
from bench.web.background_report import BackgroundReport
from bench.web.measurement import MIN_MEASURED_S, InteractiveGenerator, MeasurementRunner
from bench.web.run_registry import RunRegistry

LOCUSTFILE = Path(__file__).with_name("in_locust") / "locustfile.py"
USER, PASSWORD = "BENCH_WEB_USER", "BENCH_WEB_PASSWORD"
MIN_PASSWORD_CHARS = 8
"""A wrong password costs a second, so nobody can guess one of this length."""
MAX_PORTS_TRIED = 20
NO_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
MAX_START_S = 30.0
POLL_S = 0.2

USERS, DURATION_S = 32, 10
"""Values that the form starts with."""
MAX_USERS = 1000
"""Each user has a connection, and a process usually 1,024 open files."""


@dataclass(frozen=True)
class WebSettings:
    """Settings of the web UI."""

    host: str
    port: int
    processes: int
    apps: Path
    results: Path
    scenarios: tuple[str, ...] = ()
    """Only these; empty: all."""
    own_services: tuple[tuple[str, str], ...] = ()
    """Service and URL of the user's own servers."""


def serve(settings: WebSettings, folder: Path, invocation: Invocation, print_line: Callable[[str], None]) -> int:
    """Serve the web UI until Ctrl-C, and record into ``folder``. Returns the command's exit status.

    UsageError for bad settings, before anything is started.
    """
    login = _login(settings.host)
    scenarios = [catalogue.load(name, settings.apps) for name in settings.scenarios or catalogue.names(settings.apps)]
    port = _port(settings.host, settings.port)
    seed = secrets.randbelow(1_000_000)
    registry = RunRegistry(folder, seed, MIN_MEASURED_S, invocation)
    runner = MeasurementRunner(settings.results, settings.apps, registry, seed, dict(settings.own_services))
    remove_left_behind()
    log = folder / "locust.log"
    try:
        with (
            ControlChannel() as channel,
            closing(BackgroundReport()) as report,
            _start_locust(settings, port, log, channel.fd, login is not None) as locust,
        ):
            channel.handed_over()
            channel.send(_configuration(scenarios, settings, login))
            _check_ready(locust, settings.host, port)
            print_line(f"http://{_in_url(settings.host)}:{port}  (Ctrl-C ends it)")
            with _LocustMessages(channel, locust) as messages:
                _measure_on_request(messages, runner, report, channel)
            print_line(f"locust {exit_text(locust.wait() or 0)}:\n{tail(log)}")
            return 1
    except StartError as error:
        print_line(str(error))
        return 1
    except KeyboardInterrupt:
        return 0  # the usual way to end it
    finally:
        for run in registry.close():
            print_line(f"measured: {run}")


class _LocustMessages:
    """Reads Locust's messages in a thread of its own, and gives each to the measurement that it is about."""

    def __init__(self, channel: ControlChannel, locust: Process) -> None:
        self._channel = channel
        self._locust = locust
        self._requests: queue.SimpleQueue[tuple[MeasurementRequested, InteractiveGenerator]] = queue.SimpleQueue()
        self._generator: InteractiveGenerator | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="locust-messages", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()

    def next_request(self, timeout_s: float) -> tuple[MeasurementRequested, InteractiveGenerator] | None:
        """The next measurement that somebody started, with its generator. None when there is none in time."""
        try:
            return self._requests.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _read(self) -> None:
        while not self._stopping.is_set() and not self._channel.ended:
            message = self._channel.receive(POLL_S)
            if isinstance(message, MeasurementRequested):
                self._generator = InteractiveGenerator(self._locust, self._channel)
                self._requests.put((message, self._generator))
            elif self._generator is not None and isinstance(message, TurnsDone | LoadFailed):
                self._generator.on_result(message)
            elif self._generator is not None and isinstance(message, MeasurementCancelled):
                self._generator.cancel()


def _measure_on_request(
    messages: _LocustMessages, runner: MeasurementRunner, report: BackgroundReport, channel: ControlChannel
) -> None:
    """Carry out measurements until Locust ends."""
    while not channel.ended:
        requested = messages.next_request(POLL_S)
        if requested is None:
            report.advance(channel)
            continue
        report.pause()
        request, generator = requested
        try:
            run = runner.measure(request, generator, channel)
        finally:
            generator.end()
        if run is not None:
            report.request(run)


@dataclass(frozen=True)
class _Login:
    name: str = ""
    password: str = ""


def _login(host: str) -> _Login | None:
    """Name and password that the UI requires. None where only this machine can reach it."""
    # Taken out of the environment: no server under test needs them.
    name, password = os.environ.pop(USER, ""), os.environ.pop(PASSWORD, "")
    if name and password:
        if len(password) < MIN_PASSWORD_CHARS:
            raise UsageError(f"{PASSWORD} has {len(password)} characters; it takes at least {MIN_PASSWORD_CHARS}")
        return _Login(name, password)
    if name or password:
        raise UsageError(f"{USER} and {PASSWORD} go together: set both, or neither")
    if not _is_loopback(host):
        raise UsageError(
            f"--web-host {host} lets other machines in, which could start load here: set {USER} and {PASSWORD} in the environment"
        )
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port(host: str, wanted: int) -> int:
    """``wanted``, or the next that is free. UsageError where ``host`` is no address of this machine."""
    for port in itertools.chain(range(wanted, min(wanted + MAX_PORTS_TRIED, 65_536)), (free_port(),)):
        try:
            with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
                return port
        except OSError as error:
            refused = error
            if isinstance(error, socket.gaierror) or error.errno in NO_ADDRESS:
                break
    raise UsageError(f"--web-host {host}: {refused.strerror or refused}")


def _configuration(scenarios: list[Scenario], settings: WebSettings, login: _Login | None) -> Configure:
    """What Locust has to know from the start."""
    return Configure(
        choices={f"{each.name}/{variant.name}": each.rate_rps for each in scenarios for variant in each.variants},
        locustfiles=tuple(sorted({each.locustfile for each in scenarios})),
        max_users=MAX_USERS,
        results=str(settings.results),
        host=settings.host,
        login_name=login.name if login else "",
        login_password=login.password if login else "",
    )


def _start_locust(settings: WebSettings, port: int, log: Path, control_fd: int, login: bool) -> Process:
    cores = cores_for(parallel=False)
    master = str(free_port())
    argv = [
        *(sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE)),
        *("--web-host", settings.host, "--web-port", str(port)),
        *("--users", str(USERS), "--spawn-rate", str(USERS), "--run-time", str(DURATION_S)),
        *(("--web-login",) if login else ()),
        *(("--processes", str(settings.processes)) if settings.processes > 1 else ()),
        *("--master-bind-host", "127.0.0.1", "--master-bind-port", master),
        *("--master-host", "127.0.0.1", "--master-port", master),
        *("--web-control-fd", str(control_fd)),
    ]
    generator_cores = cores.generator if cores else None
    return start_program(
        Program(argv, "locust", log, environment.of_catalogue(), catalogue.ROOT, generator_cores, (control_fd,))
    )


def _check_ready(locust: Process, host: str, port: int) -> None:
    """Return when the UI answers. StartError gives the reason why it does not."""
    url = f"http://{_reachable(host)}:{port}/bench/ui.js"
    reason = wait_until_ready({"locust": (locust, url)}, MAX_START_S)["locust"]
    if reason is not None:
        raise StartError(f"locust {reason}:\n{tail(locust.log)}")


def _reachable(host: str) -> str:
    """The address at which this machine reaches it."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, _in_url(host))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
