"""The harness's side of ``nox -s web``: Locust with its web UI, and one measurement after the other."""

from __future__ import annotations

import errno
import ipaddress
import itertools
import os
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.model import Scenario
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.running.cores import cores_for
from bench.running.log_tail import tail
from bench.running.ports import free_port
from bench.running.processes import Process, StartError, start
from bench.running.readiness import wait_until_ready
from bench.running.run_record import Invocation
from bench.running.serving import clean_environment
from bench.web.background_report import BackgroundReport
from bench.web.harness_channel import HarnessChannel
from bench.web.measurement import LEAST_S, InteractiveGenerator, MeasurementRunner
from bench.web.run_registry import RunRegistry

LOCUSTFILE = Path(__file__).with_name("in_locust") / "locustfile.py"
USER, PASSWORD = "BENCH_WEB_USER", "BENCH_WEB_PASSWORD"
PASSWORD_LEAST = 8
"""Characters: a wrong one costs a second, so guessing that many takes longer than the machine lives."""
PORTS_TRIED = 20
NO_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
READY_WITHIN_S = 30.0
LOOK_EVERY_S = 0.2

USERS, USERS_MOST, DURATION_S = 32, 1000, 10
"""What the form begins with, and the most users it takes: each has a connection, a process usually 1,024 open files."""


@dataclass(frozen=True)
class WebSettings:
    """What the command line says."""

    host: str
    port: int
    processes: int
    apps: Path
    results: Path
    scenarios: tuple[str, ...] = ()
    """Only these; empty: all."""


def serve(settings: WebSettings, folder: Path, invocation: Invocation, say: Callable[[str], None]) -> int:
    """Serve the web UI until Ctrl-C, recording into ``folder``; the command's exit status.

    UsageError for what is not allowed, before anything is started. ``say`` prints a line.
    """
    login = _login(settings.host)
    scenarios = [catalogue.load(name, settings.apps) for name in settings.scenarios or catalogue.names(settings.apps)]
    port = _port(settings.host, settings.port)
    seed = secrets.randbelow(1_000_000)
    book = RunRegistry(folder, seed, LEAST_S, invocation)
    measuring = MeasurementRunner(settings.results, settings.apps, book, seed)
    desk = _Session(_greeting(scenarios, settings, login))
    log = folder / "locust.log"
    try:
        with (
            desk.line,
            closing(BackgroundReport()) as drawing,
            _locust(settings, port, log, desk.line, login is not None) as locust,
        ):
            desk.locust = locust
            _check_up(locust, settings.host, port)
            say(f"http://{_shown(settings.host)}:{port}  (Ctrl-C ends it)")
            _attend(desk, measuring, drawing)
            say(f"locust ended with status {locust.poll()}:\n{tail(log)}")
            return 1
    except StartError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0  # the way to end it
    finally:
        for run in book.close():
            say(f"measured: {run}")


class _Session:
    """The line, with what an order is given up by: from its first moment on, in the line's own thread."""

    def __init__(self, greeting: dict[str, Any]) -> None:
        self.line = HarnessChannel(greeting, self._heard)
        self.locust: Process | None = None
        self._attended: InteractiveGenerator | None = None

    def _heard(self, message: dict[str, Any]) -> None:
        if message["do"] == "start":
            assert self.locust is not None
            self._attended = message["attended"] = InteractiveGenerator(self.locust, self.line)
        elif message["do"] == "abort" and self._attended is not None:
            self._attended.give_up()


def _attend(desk: _Session, measuring: MeasurementRunner, drawing: BackgroundReport) -> None:
    """Carry out orders until Locust ends."""
    assert desk.locust is not None
    while desk.locust.poll() is None:
        message = desk.line.next(LOOK_EVERY_S)
        if message is None:
            drawing.look(desk.line)
        elif message["do"] == "start":
            drawing.pause()
            attended = message.pop("attended")
            try:
                run = measuring.measure(message, attended, desk.line)
            finally:
                attended.end()
            if run is not None:
                drawing.want(run)


def _login(host: str) -> dict[str, str] | None:
    """Name and password that the UI asks for; None where it need not, since it is seen from this machine alone."""
    # RawInterval out: no server under test needs to know them.
    name, password = os.environ.pop(USER, ""), os.environ.pop(PASSWORD, "")
    if name and password:
        if len(password) < PASSWORD_LEAST:
            raise UsageError(f"{PASSWORD} has {len(password)} characters; it takes at least {PASSWORD_LEAST}")
        return {"name": name, "password": password}
    if name or password:
        raise UsageError(f"{USER} and {PASSWORD} go together: set both, or neither")
    if not _is_loopback(host):
        raise UsageError(
            f"--web-host {host} lets others in, who could start load here: set {USER} and {PASSWORD} in the environment"
        )
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port(host: str, wanted: int) -> int:
    """``wanted``, or the next that is free. UsageError where ``host`` is no address of this machine."""
    for port in itertools.chain(range(wanted, min(wanted + PORTS_TRIED, 65_536)), (free_port(),)):
        try:
            with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
                return port
        except OSError as error:
            refused = error
            if isinstance(error, socket.gaierror) or error.errno in NO_ADDRESS:
                break
    raise UsageError(f"--web-host {host}: {refused.strerror or refused}")


def _greeting(scenarios: list[Scenario], settings: WebSettings, login: dict[str, str] | None) -> dict[str, Any]:
    """What Locust has to know from the start."""
    return {
        "choices": {f"{each.name}/{variant.name}": each.rate_rps for each in scenarios for variant in each.variants},
        "locustfiles": sorted({each.locustfile for each in scenarios}),
        "users_most": USERS_MOST,
        "results": str(settings.results),
        "host": settings.host,
        "login": login,
    }


def _locust(settings: WebSettings, port: int, log: Path, line: HarnessChannel, login: bool) -> Process:
    cores = cores_for(parallel=False)
    master = str(free_port())
    return start(
        [
            *(sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE)),
            *("--web-host", settings.host, "--web-port", str(port)),
            *("--users", str(USERS), "--spawn-rate", str(USERS), "--run-time", str(DURATION_S)),
            *(("--web-login",) if login else ()),
            *(("--processes", str(settings.processes)) if settings.processes > 1 else ()),
            *("--master-bind-host", "127.0.0.1", "--master-bind-port", master),
            *("--master-host", "127.0.0.1", "--master-port", master),
        ],
        name="locust",
        log=log,
        env={**clean_environment(), **line.address},
        cwd=catalogue.ROOT,
        cores=cores.generator if cores else None,
    )


def _check_up(locust: Process, host: str, port: int) -> None:
    """Return when the UI answers; StartError says why it does not."""
    asked = f"http://{_asked(host)}:{port}/bench/ui.js"
    reason = wait_until_ready({"locust": (locust, asked)}, READY_WITHIN_S)["locust"]
    if reason is not None:
        raise StartError(f"locust {reason}:\n{tail(locust.log)}")


def _asked(host: str) -> str:
    """Where this machine itself reaches it."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, _shown(host))


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
