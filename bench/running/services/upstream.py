"""Another web service: a real process that answers each GET /cover after a fixed delay, however many are waiting.

Apps get UPSTREAM_URL. The server is upstream_server.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.running.environment import of_catalogue
from bench.running.ports import free_port
from bench.running.processes import Process, start
from bench.running.services import StartedService
from bench.running.services.managed import wait_listening

SERVER = Path(__file__).resolve().with_name("upstream_server.py")
DELAY_S = 0.05
"""Delay of an answer, like that of a service in the same data centre that does some work."""


class Upstream:
    """The upstream of one scenario."""

    def __init__(self, logs: Path, cores: tuple[int, ...] | None, delay_s: float = DELAY_S) -> None:
        self.log = logs / "upstream.log"
        self._process: Process | None = None
        self._cores = cores
        self._delay_s = delay_s

    def start(self) -> StartedService:
        """Start it on a loopback port."""
        port = free_port()
        command = [sys.executable, str(SERVER), str(port), str(self._delay_s)]
        self._process = start(command, name="upstream", log=self.log, env=of_catalogue(), cores=self._cores)
        wait_listening(self._process, port)
        # Clients that use a proxy must not use it for the loopback interface.
        proxies = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        return StartedService({"UPSTREAM_URL": f"http://127.0.0.1:{port}", **proxies}, self._process)

    def reset(self) -> str:
        """Nothing to do: it has no state, and no version of its own."""
        return ""

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.stop()
            self._process = None


def service(logs: Path, cores: tuple[int, ...] | None, external_url: str = "") -> Upstream:
    """Make the service. There is no external one."""
    return Upstream(logs, cores)
