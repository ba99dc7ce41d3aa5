"""A real uvicorn with the probe in it, the load on it, and what the probe wrote."""

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
READY_WITHIN_S = 30.0
REQUEST_TIMEOUT_S = 30.0
Row = dict[str, str]
Line = tuple[str, str]


@dataclass(frozen=True)
class Server:
    """A server under way."""

    process: Process
    port: int
    folder: Path
    app: str

    @property
    def log(self) -> str:
        return tail(self.process.log)

    def get(self, path: str) -> str:
        """The body of one answer; the connection is new."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def load(self, path: str, users: int, seconds: float) -> tuple[float, float]:
        """``users`` ask for ``path`` over and over, once at least; returns when they began and stopped."""
        answered: list[int] = []
        begun_s = time.perf_counter()
        until_s = begun_s + seconds

        def user() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_S)
            while True:
                connection.request("GET", path)
                response = connection.getresponse()
                response.read()
                answered.append(response.status)
                if time.perf_counter() >= until_s:
                    break
            connection.close()

        threads = [threading.Thread(target=user) for _ in range(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(answered) == {200}, Counter(answered)
        return begun_s, time.perf_counter()

    def samples(self) -> list[list[Row]]:
        """Rows of each worker's server-<pid>.csv."""
        return [rows_of(file) for file in sorted(self.folder.glob("server-*.csv"))]

    def stalls(self, begun_s: float = 0.0, until_s: float = float("inf")) -> list[Row]:
        """Rows of all stalls-<pid>.csv that began then."""
        rows = [row for file in sorted(self.folder.glob("stalls-*.csv")) for row in rows_of(file)]
        return [row for row in rows if begun_s - 0.1 <= float(row["at_s"]) <= until_s]

    def seen_until(self, at_s: float) -> None:
        """Return when every worker has written down what it saw until then."""
        give_up_s = time.monotonic() + READY_WITHIN_S
        while not (samples := self.samples()) or any(not rows or float(rows[-1]["at_s"]) < at_s for rows in samples):
            assert time.monotonic() < give_up_s, f"no samples until {at_s}; {self.log}"
            time.sleep(0.02)

    def diagnosis(self, begun_s: float, until_s: float) -> Diagnosis:
        """What the analysing half makes of that time."""
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
            lag_p99_ms=rows["lag_max_ms"].quantile(0.99),
            lag_max_ms=rows["lag_max_ms"].max(),
            tokens_total=rows["tokens_total"].max(),
            cpu_cores=used_cores(telemetry.samples, "cpu_s", parts),
            loop_cpu_cores=used_cores(telemetry.samples, "loop_cpu_s", parts),
        )
        return diagnose(sums)


def rows_of(file: Path) -> list[Row]:
    """Rows of a CSV file whose last line may be under way."""
    text = file.read_text(encoding="utf-8")
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def stalled_ms(rows: list[Row], *columns: str) -> Counter[tuple[str, ...]]:
    """Stalled time by the columns named."""
    total: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        total[tuple(row[column] for column in columns)] += float(row["stalled_ms"])  # type: ignore[assignment]
    return total


def blamed_line(app: str, path: str) -> str:
    """Number of the line that says that it is to be blamed."""
    lines = (APPS / app).read_text(encoding="utf-8").splitlines()
    (number,) = (
        number
        for number, line in enumerate(lines, 1)
        if path in line.partition("# blame: ")[2].partition("  #")[0].split(", ")
    )
    return str(number)


def environment(app: str, folder: Path, probed: bool = True) -> dict[str, str]:
    base = {**os.environ, "PYTHONPATH": str(APPS / "site-packages"), "PYTHONUNBUFFERED": "1"}
    return probe_setup.environment(base, probe_setup.WatchedApp(app, (APPS,)), folder) if probed else base


def command(app: str, port: int, *options: str, probed: bool = True) -> list[str]:
    served = probe_setup.FACTORY_ARGS if probed else (app,)
    words = ("--app-dir", str(APPS), "--port", str(port), "--no-access-log")
    return [sys.executable, "-m", "uvicorn", *served, *words, *options]


@contextmanager
def serving(app: str, folder: Path, *options: str, probed: bool = True) -> Iterator[Server]:
    """A server of ``app`` (module:attribute below probe_apps) that answers /health, stopped at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log = folder / "server.log"
    env = environment(app, folder, probed)
    with start(command(app, port, *options, probed=probed), name=app, log=log, env=env) as process:
        url = f"http://127.0.0.1:{port}/health"
        reason = wait_until_ready({"server": (process, url)}, READY_WITHIN_S)["server"]
        assert reason is None, f"{reason}; {tail(log)}"
        yield Server(process, port, folder, app)
