"""What the parts of calibration share: processes on the right cores, the null server, and evidence from trials."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.calibrate import null_server
from bench.planning import catalogue
from bench.results.schema import TrialRecord
from bench.running import environment
from bench.running.cores import Cores, cores_for
from bench.running.ports import free_port
from bench.running.processes import Process, Program, start_program
from bench.running.readiness import wait_until_ready

USERS = 32
READY_WITHIN_S = 10.0
"""A null server starts in 0.2 s."""
SCENARIOS = Path(__file__).with_name("scenarios")  # not "apps", which is the package of the catalogue
ENDPOINT = "GET /"
"""The endpoint of calibration's scenarios."""


class CalibrationFailed(Exception):
    """A part cannot go on; the message is the reason in one line."""


@dataclass(frozen=True)
class CalibrationSetup:
    """Where calibration works, how many rounds it measures, and how it reports progress."""

    folder: Path
    rounds: int
    seed: int
    report: Callable[[str], None]

    @property
    def cores(self) -> Cores | None:
        """The same as for every group of servers."""
        return cores_for(parallel=False)

    @property
    def logs(self) -> Path:
        """Folder for logs and files that are not results."""
        return self.folder / "logs"

    def start(self, argv: list[str], name: str, generator: bool, pass_fds: tuple[int, ...] = ()) -> Process:
        """Start a process on the generator's core, or on the servers' cores."""
        cores = self.cores
        pinned = (cores.generator if generator else cores.server) if cores else None
        log = self.logs / f"{name}.log"
        return start_program(Program(argv, name, log, environment.of_catalogue(), catalogue.ROOT, pinned, pass_fds))

    def shuffled(self, names: Iterable[str], number: int) -> list[str]:
        """The names in a random order, which the seed and ``number`` decide."""
        order = list(names)
        random.Random(self.seed + number).shuffle(order)
        return order


@contextmanager
def running_null_server(setup: CalibrationSetup) -> Iterator[str]:
    """The URL of a null server that runs meanwhile."""
    port = free_port()
    folder = setup.logs / "null"
    folder.mkdir(parents=True, exist_ok=True)
    _, command = null_server.command(port, folder)
    with setup.start(command, "null-server", generator=False) as server:
        url = f"http://127.0.0.1:{port}"
        check_ready(server, f"{url}/count")
        yield url


def check_ready(server: Process, url: str) -> None:
    """Wait until the server answers. CalibrationFailed gives the reason why it does not."""
    if reason := wait_until_ready({"server": (server, url)}, READY_WITHIN_S)["server"]:
        raise CalibrationFailed(f"{server.name} {reason}; see {server.log}")


def throughputs_rps(setup: CalibrationSetup, round_name: str, trials: Sequence[TrialRecord]) -> dict[str, float] | None:
    """The throughput of each variant. None, after a line that says so, if a trial of the round is no evidence."""
    for trial in trials:
        if trial.status != "ok":
            setup.report(f"{round_name} is left out: {trial.variant} was {trial.status}: {'; '.join(trial.reasons)}")
            return None
    return {trial.variant: _throughput_rps(trial) for trial in trials}


def _throughput_rps(trial: TrialRecord) -> float:
    throughput_rps = trial.facts.endpoints[ENDPOINT].throughput_rps if trial.facts else None
    assert throughput_rps is not None  # a trial that is ok has one
    return throughput_rps
