"""A real uvicorn with the probe, load on it, and what the probe wrote."""

from __future__ import annotations

import csv
import http.client
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.analysis.diagnosis import added_up
from bench.analysis.server_state import Diagnosis, diagnose
from bench.analysis.telemetry import merged, read_telemetry, used_cores, within_ms
from bench.running import probe_setup
from bench.running.log_tail import tail
from bench.running.ports import free_port
from bench.running.processes import Process, start
from bench.running.readiness import wait_until_ready

APPS = Path(__file__).with_name("probe_apps")
MAX_READY_S = 30.0
REQUEST_TIMEOUT_S = 30.0
Row = dict[str, str]


@dataclass(frozen=True)
class LoadedTime:
    """When load began and ended, and how many requests were answered."""

    begun_s: float
    until_s: float
    requests: int

    @property
    def seconds(self) -> float:
        return self.until_s - self.begun_s


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: Process
    port: int
    folder: Path
    app: str

    @property
    def log(self) -> str:
        return tail(self.process.log)

    def get(self, path: str) -> str:
        """The body of one response, over a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def load(self, path: str, users: int, seconds: float) -> LoadedTime:
        """``users`` virtual users request ``path`` in a loop, each at least once."""
        statuses: list[int] = []
        begun_s = time.perf_counter()
        until_s = begun_s + seconds

        def user() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_S)
            while True:
                connection.request("GET", path)
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)
                if time.perf_counter() >= until_s:
                    break
            connection.close()

        threads = [threading.Thread(target=user) for _ in range(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}, Counter(statuses)
        return LoadedTime(begun_s, time.perf_counter(), len(statuses))

    def samples(self) -> list[list[Row]]:
        """Rows of each worker's server-<pid>.csv."""
        return [rows_of(file) for file in sorted(self.folder.glob("server-*.csv"))]

    def stalls(self, begun_s: float = 0.0, until_s: float = float("inf")) -> list[Row]:
        """Rows of all stalls-<pid>.csv that began in that time (a tenth of a second before, as rows are collected)."""
        rows = [row for file in sorted(self.folder.glob("stalls-*.csv")) for row in rows_of(file)]
        return [row for row in rows if begun_s - 0.1 <= float(row["at_s"]) <= until_s]

    def wait_for_rows(self, at_s: float) -> None:
        """Wait until every worker has written its rows up to then."""
        deadline_s = time.monotonic() + MAX_READY_S
        while not (samples := self.samples()) or any(not rows or float(rows[-1]["at_s"]) < at_s for rows in samples):
            assert time.monotonic() < deadline_s, f"no rows until {at_s}; {self.log}"
            time.sleep(0.02)

    def diagnosis(self, begun_s: float, until_s: float) -> Diagnosis:
        """The harness's diagnosis of that time."""
        telemetry = read_telemetry(self.folder, [path.name for path in self.folder.iterdir()])
        assert telemetry is not None
        parts = [(begun_s, until_s)]
        table = merged(telemetry.samples)
        rows = table[table["at_s"].between(begun_s, until_s)]
        stalls = telemetry.stalls.assign(measured_ms=within_ms(telemetry.stalls, parts))
        workers = telemetry.samples["worker"].nunique()
        sums = replace(
            added_up(rows, stalls, (until_s - begun_s) * workers),
            workers=workers,
            lag_p99_ms=float(rows["lag_max_ms"].quantile(0.99)),
            lag_max_ms=float(rows["lag_max_ms"].max()),
            tokens_total=rows["tokens_total"].max(),
            cpu_cores=used_cores(telemetry.samples, "cpu_s", parts),
            loop_cpu_cores=used_cores(telemetry.samples, "loop_cpu_s", parts),
        )
        return diagnose(sums)


def rows_of(file: Path) -> list[Row]:
    """Rows of a CSV file whose last line may be incomplete."""
    text = file.read_text(encoding="utf-8")
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def stalled_ms(rows: list[Row], *columns: str) -> Counter[tuple[str, ...]]:
    """Stalled time by these columns."""
    total: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        total[tuple(row[column] for column in columns)] += float(row["stalled_ms"])  # type: ignore[assignment]
    return total


def blamed_line(app: str, path: str) -> str:
    """Number of the line that is marked with ``# blame: <path>``."""
    lines = (APPS / app).read_text(encoding="utf-8").splitlines()
    (number,) = (
        number
        for number, line in enumerate(lines, 1)
        if path in line.partition("# blame: ")[2].partition("  #")[0].split(", ")
    )
    return str(number)


def environment(app: str, folder: Path, probed: bool = True) -> dict[str, str]:
    """Environment of the server's process."""
    base = {**os.environ, "PYTHONPATH": str(APPS / "site-packages"), "PYTHONUNBUFFERED": "1"}
    return probe_setup.environment(base, probe_setup.WatchedApp(app, (APPS,)), folder) if probed else base


def command(app: str, port: int, *options: str, probed: bool = True, python: str = sys.executable) -> list[str]:
    """uvicorn's command line. ``python``: the interpreter of an environment that has uvicorn and FastAPI."""
    served = probe_setup.FACTORY_ARGS if probed else (app,)
    words = ("--app-dir", str(APPS), "--port", str(port), "--no-access-log")
    return [python, "-m", "uvicorn", *served, *words, *options]


@contextmanager
def serving(
    app: str, folder: Path, *options: str, probed: bool = True, python: str = sys.executable
) -> Iterator[Server]:
    """A server of ``app`` (module:attribute below probe_apps) that answers /health. It is stopped at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log = folder / "server.log"
    env = environment(app, folder, probed)
    argv = command(app, port, *options, probed=probed, python=python)
    with start(argv, name=app, log=log, env=env) as process:
        url = f"http://127.0.0.1:{port}/health"
        reason = wait_until_ready({"server": (process, url)}, MAX_READY_S)["server"]
        assert reason is None, f"{reason}; {tail(log)}"
        yield Server(process, port, folder, app)
