"""Another web service: a real process that answers GET /cover after a set delay, whoever else is waiting.

Apps get UPSTREAM_URL. upstream_server.py is what runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.running.ports import free_port
from bench.running.processes import Process, start
from bench.running.services.managed import wait_listening

SERVER = Path(__file__).resolve().with_name("upstream_server.py")
DELAY_S = 0.05
"""How long a cover takes: a service in the same data centre that does some work."""


class Upstream:
    """One upstream for a scenario session."""

    def __init__(self, logs: Path, cores: tuple[int, ...] | None, delay_s: float = DELAY_S) -> None:
        self.log = logs / "upstream.log"
        self.environment: dict[str, str] = {}
        self.version = ""
        self.process: Process | None = None
        self._cores = cores
        self._delay_s = delay_s

    def start(self) -> None:
        """Start it on a loopback port."""
        port = free_port()
        command = [sys.executable, str(SERVER), str(port), str(self._delay_s)]
        self.process = start(command, name="upstream", log=self.log, cores=self._cores)
        wait_listening(self.process, port)
        # Clients that heed a proxy set for the outside world must not ask it for the loopback interface.
        self.environment = {
            "UPSTREAM_URL": f"http://127.0.0.1:{port}",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def fresh(self) -> None:
        """Nothing to do: it keeps nothing."""

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.stop()
            self.process = None


def service(logs: Path, cores: tuple[int, ...] | None) -> Upstream:
    """As Services asks for it."""
    return Upstream(logs, cores)
