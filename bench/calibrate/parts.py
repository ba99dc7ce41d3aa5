"""What calibration measures: one function a part, giving tidy rows. What is compared takes turns in every round."""

from __future__ import annotations

import csv
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.calibrate import null_server
from bench.calibrate.scenarios.slowed.scenario import SLOWED_PERCENT
from bench.model import PROFILES, Load, Scenario, Variant
from bench.planning import catalogue
from bench.planning.schedule import make_plan
from bench.results import files, schema
from bench.running.campaign import open_run
from bench.running.cores import Cores, cores_for
from bench.running.group import clean_environment, run_group
from bench.running.ports import free_port
from bench.running.processes import Process, start
from bench.running.readiness import wait_until_ready

if TYPE_CHECKING:  # pandas takes seconds, and most parts need none
    from bench.analysis.tables import ScenarioTables

CalibrationRow = dict[str, str | int | float]
Say = Callable[[str], None]

USERS = 32
SETTLE_S = 0.5
WINDOW_S = 3.0
LOADED_WITHIN_S = 20.0
LAG_RATES_RPS = (100, 1000, 5000)
LAG_S = 4.0
LAG_SAMPLES = 1200
"""A 99th percentile needs a thousand, ten of them beyond it: at a low rate, longer."""
FREEZE_S, FREEZE_EVERY_S, FREEZE_PERIODS, FREEZE_RATE_RPS = 1.0, 5.0, 3, 200
MEMORY_REQUESTS = (100_000, 1_000_000, 10_000_000)
NOISE_S = 4.0
"""Seconds measured a variant and round, the same for both ways of comparing."""
VERDICTS_S = PROFILES["standard"].measure_s
"""Seconds measured a variant and round. A thorough round has more, so that its runs are tried on less than they get."""
TRIED_LOOPS, TRIED_ROUNDS = 30_000, 3
"""A few times as much work as a trivial request is itself: the more, the less the noise says of the loops' cost."""
APPS = Path(__file__).with_name("scenarios")  # not "apps": that is the catalogue's package


@dataclass(frozen=True)
class CalibrationSetup:
    """Where calibration works: cores, a folder for logs, and how many rounds."""

    folder: Path
    rounds: int
    seed: int
    say: Say

    @property
    def cores(self) -> Cores | None:
        """As every lineup has them."""
        return cores_for(parallel=False)

    def start(self, argv: list[str], name: str, generator: bool) -> Process:
        """Start a process on the generator's core, or on the servers'."""
        cores = self.cores
        pinned = (cores.generator if generator else cores.server) if cores else None
        log = self.folder / "logs" / f"{name}.log"
        return start(argv, name=name, log=log, env=clean_environment(), cwd=catalogue.ROOT, cores=pinned)


# Generators


def generators(bench: CalibrationSetup) -> Iterator[CalibrationRow]:
    """Requests per second and CPU per request on one core, of every generator against the same null server."""
    with _null_server(bench) as url:
        commands = _generator_commands(url)
        for number in range(1, bench.rounds + 1):
            for name in _shuffled(commands, bench.seed + number):
                bench.say(f"generators: round {number}/{bench.rounds}, {name}")
                rate_rps, cpu_us = _one_generator(bench, url, name, commands[name])
                yield {"round": number, "generator": name, "requests_per_s": rate_rps, "cpu_us_per_request": cpu_us}


def _generator_commands(url: str) -> dict[str, list[str]]:
    locust = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--host", url]
    many = ["--users", str(USERS), "--spawn-rate", str(USERS)]
    own = "bench/calibrate/locust_users.py"
    commands = {
        "HttpUser": [*locust, *many, "-f", own, "PlainUser"],
        "FastHttpUser": [*locust, *many, "-f", own, "FastUser"],
        "HubHttpUser": [*locust, *many, "-f", "bench/calibrate/hub_user.py"],
    }
    if wrk := shutil.which("wrk"):
        commands["wrk"] = [wrk, "-t1", f"-c{USERS}", "-d60s", f"{url}/"]
    if hey := shutil.which("hey"):
        commands["hey"] = [hey, "-cpus", "1", "-c", str(USERS), "-z", "60s", f"{url}/"]
    return commands


def _one_generator(bench: CalibrationSetup, url: str, name: str, command: list[str]) -> tuple[float, float]:
    with bench.start(command, name, generator=True) as generator:
        _wait_loaded(url, generator)
        time.sleep(SETTLE_S)
        process = psutil.Process(generator.pid)
        begun_s, cpu_s, count = time.perf_counter(), _cpu_s(process), null_server.received(url)
        time.sleep(WINDOW_S)
        count = null_server.received(url) - count
        cpu_s, lasted_s = _cpu_s(process) - cpu_s, time.perf_counter() - begun_s
    return count / lasted_s, cpu_s / count * 1e6


def _wait_loaded(url: str, generator: Process) -> None:
    # The server's own count says when load has begun, whatever the generator: 100 more than we asked ourselves.
    until_s = time.perf_counter() + LOADED_WITHIN_S
    first = null_server.received(url)
    while null_server.received(url) < first + 200:
        if generator.poll() is not None or time.perf_counter() > until_s:
            raise RuntimeError(f"{generator.name} sent nothing; see {generator.log}")
        time.sleep(0.05)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# Lag


def lag(bench: CalibrationSetup) -> Iterator[CalibrationRow]:
    """How late the open model sends, beside a bare loop that only sleeps to the same timetable."""
    with _null_server(bench) as url:
        for number in range(1, bench.rounds + 1):
            for rate in LAG_RATES_RPS:
                for name in _shuffled({"HubHttpUser": 0, "bare loop": 0}, bench.seed + number * rate):
                    bench.say(f"lag: round {number}/{bench.rounds}, {name} at {rate} req/s")
                    row = _hub_lag(bench, url, rate) if name == "HubHttpUser" else _bare_lag(bench, rate)
                    yield {"round": number, "generator": name, "rate_rps": rate, **row}


def _hub_lag(bench: CalibrationSetup, url: str, rate: int) -> CalibrationRow:
    facts = _hub_turn(bench, url, warmup_s=1.0, measure_s=_lag_s(rate), rate=rate)["endpoints"]["GET /"]
    sent = facts["started"] / (rate * facts["measured_s"])
    return {"p50_us": facts["lag_p50_ms"] * 1000, "p99_us": facts["lag_p99_ms"] * 1000, "sent_share": sent}


def _bare_lag(bench: CalibrationSetup, rate: int) -> CalibrationRow:
    command = [sys.executable, "bench/calibrate/bare_loop.py", str(rate), str(_lag_s(rate))]
    with bench.start(command, "bare-loop", generator=True) as loop:
        if loop.wait(_lag_s(rate) + 10) != 0:
            raise RuntimeError(f"the bare loop failed; see {loop.log}")
    late = sorted(json.loads(loop.log.read_text()))
    return {"p50_us": late[len(late) // 2], "p99_us": late[int(0.99 * len(late))], "sent_share": 1.0}


def _lag_s(rate: int) -> float:
    return max(LAG_S, LAG_SAMPLES / rate)


def _hub_turn(
    bench: CalibrationSetup,
    url: str,
    warmup_s: float,
    measure_s: float,
    rate: float = 0.0,
    users: int = 1,
    think_s: float = 0.0,
) -> dict[str, Any]:
    """One turn of HubHttpUser on ``url``; returns the target's facts. Its histograms stay in the folder."""
    lineup = bench.folder / "logs" / "hub.json"
    facts = lineup.with_suffix(".facts.json")
    facts.unlink(missing_ok=True)
    turn = {"variant": "null", "rotation": 1, "warmup_s": warmup_s, "measure_s": measure_s, "stagger_s": think_s}
    target = {"variant": "null", "url": url, "folder": str(bench.folder / "logs" / "hub")}
    files.write_text(lineup, json.dumps({"targets": [target], "turns": [turn], "seed": bench.seed}))
    command = [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary", "--host", url),
        *("-f", "bench/calibrate/hub_user.py", "--users", str(users), "--spawn-rate", str(users)),
        *("--rate", str(rate), "--think-s", str(think_s), "--lineup", str(lineup)),
    ]
    with bench.start(command, "hub", generator=True) as locust:
        if locust.wait(warmup_s + measure_s + 30) != 0:
            raise RuntimeError(f"locust failed; see {locust.log}")
    return dict(json.loads(facts.read_text())["targets"]["null"])


# A server that freezes


def freeze(bench: CalibrationSetup) -> Iterator[CalibrationRow]:
    """Percentiles seen of a server that stands still for 1 s in every 5: open and closed."""
    settings: CalibrationRow = {"freeze_s": FREEZE_S, "every_s": FREEZE_EVERY_S, "offered_rps": FREEZE_RATE_RPS}
    for number in range(1, bench.rounds + 1):
        for name in _shuffled({"open": 0, "closed": 0}, bench.seed + number):
            bench.say(f"freeze: round {number}/{bench.rounds}, {name}")
            yield from (
                {"round": number, "model": name, **row, **settings} for row in _freeze_round(bench, name == "open")
            )


def _freeze_round(bench: CalibrationSetup, is_open: bool) -> Iterator[CalibrationRow]:
    port = free_port()
    command = null_server.freezing_command(port, FREEZE_S, FREEZE_EVERY_S)
    url = f"http://127.0.0.1:{port}"
    think_s = USERS / FREEZE_RATE_RPS
    with bench.start(command, "freezing", generator=False) as server:
        _must_be_ready(server, f"{url}/count")
        load = {"rate": float(FREEZE_RATE_RPS)} if is_open else {"users": USERS, "think_s": think_s}
        # Half a period after the first freeze: the pool has its connections, and no edge falls into a freeze.
        warmup_s = 1.5 * FREEZE_EVERY_S + FREEZE_S / 2
        _hub_turn(bench, url, warmup_s=warmup_s, measure_s=FREEZE_PERIODS * FREEZE_EVERY_S, **load)  # type: ignore[arg-type]
    yield from ({"kind": kind, **row} for kind in ("service", "response") for row in _percentiles(bench, kind))


def _percentiles(bench: CalibrationSetup, kind: str) -> Iterator[CalibrationRow]:
    from hdrh.histogram import HdrHistogram

    total = HdrHistogram(schema.HISTOGRAM_MIN_US, schema.HISTOGRAM_MAX_US, schema.HISTOGRAM_DIGITS)
    folder = bench.folder / "logs" / "hub"
    with (folder / "counts.csv").open(encoding="utf-8", newline="") as file:
        measured = {row["start_s"] for row in csv.DictReader(file) if row["measured"] == "1"}
    for line in (folder / "requests.hlog").read_text(encoding="ascii").splitlines():
        if not line.startswith("Tag="):
            continue
        tag, start_s, _, _, payload = line.split(",")
        if tag.endswith(f":{kind}") and start_s in measured:
            total.decode_and_add(payload)
    if not total.get_total_count():
        return
    for percentile in FREEZE_PERCENTILES:
        yield {"percentile": percentile, "value_ms": total.get_value_at_percentile(percentile) / 1000}


FREEZE_PERCENTILES = (50, 75, 82, 85, 90, 95, 98, 99)


# Memory, overhead, noise


def memory(bench: CalibrationSetup) -> Iterator[CalibrationRow]:
    """The recorder's resident set after so many requests."""
    for requests in MEMORY_REQUESTS:
        bench.say(f"memory: {requests:,} requests")
        command = [sys.executable, "-m", "bench.calibrate.recorder_memory", str(requests)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=catalogue.ROOT)
        yield {"requests": requests, "resident_mb": float(done.stdout)}


def overhead(bench: CalibrationSetup) -> Iterator[CalibrationRow]:
    """What a lineup of N servers takes beyond its warm-up and measurement."""
    scenario = catalogue.load("identical", APPS)
    for number in range(1, bench.rounds + 1):
        for servers in (1, 2, 3, 5):
            bench.say(f"overhead: round {number}/{bench.rounds}, {servers} server(s)")
            first = scenario.variants[0]
            names = [f"copy_{index}" for index in range(servers)]
            copies = replace(
                scenario, variants=tuple(replace(first, name=name, same_file_as=first.name) for name in names)
            )
            plan = make_plan(copies, Load(users=USERS), 1, 0.4, bench.seed + number)
            for lineup in plan.rounds[0].groups:
                begun_s = time.perf_counter()
                run_group(copies, lineup, bench.folder / "logs" / "overhead")
                extra_s = time.perf_counter() - begun_s - lineup.load_s
                yield {"round": number, "servers": servers, "overhead_s": extra_s}


def noise(bench: CalibrationSetup) -> Iterator[CalibrationRow]:
    """The log ratio of two identical variants in each round, taking turns and one after another."""
    scenario = catalogue.load("identical", APPS)
    for number in range(1, bench.rounds + 1):
        for method in _shuffled({"taking turns": 0, "one after another": 0}, bench.seed + number):
            bench.say(f"noise: round {number}/{bench.rounds}, {method}")
            arranged = scenario if method == "taking turns" else _exclusive(scenario)
            plan = make_plan(arranged, Load(users=USERS), 1, NOISE_S, bench.seed + number)
            begun_s = time.perf_counter()
            rates: dict[str, float] = {}
            for lineup in plan.rounds[0].groups:
                for trial in run_group(scenario, lineup, bench.folder / "logs" / "noise"):
                    rates[trial.variant] = _throughput_rps(trial.facts)
            ratio = math.log(rates["first"] / rates["second"])
            yield {
                "round": number,
                "method": method,
                "log_ratio": ratio,
                "measured_s": NOISE_S,
                "took_s": time.perf_counter() - begun_s,
            }


def _exclusive(scenario: Scenario) -> Scenario:
    return replace(scenario, variants=tuple(replace(variant, exclusive=True) for variant in scenario.variants))


def probe(bench: CalibrationSetup) -> Iterator[CalibrationRow]:
    """The log ratio of a trivial endpoint's throughput with the probe in its server and without, taking turns."""
    scenario = catalogue.load("identical", APPS)
    first = scenario.variants[0]
    pair = replace(
        scenario,
        variants=(
            replace(first, name="with", same_file_as="first"),
            replace(first, name="without", same_file_as="first", probed=False),
        ),
    )
    for number in range(1, bench.rounds + 1):
        bench.say(f"probe: round {number}/{bench.rounds}")
        plan = make_plan(pair, Load(users=USERS), 1, NOISE_S, bench.seed + number)
        rates: dict[str, float] = {}
        for lineup in plan.rounds[0].groups:
            for trial in run_group(pair, lineup, bench.folder / "logs" / "probe"):
                rates[trial.variant] = _throughput_rps(trial.facts)
        yield {"round": number, "log_ratio": math.log(rates["with"] / rates["without"]), "measured_s": NOISE_S}


def verdicts(bench: CalibrationSetup) -> Iterator[CalibrationRow]:
    """Four identical variants, one made 5 % slower and one 10 %, all taking turns: the rate in each turn."""
    from bench.analysis.rounds import rotation_rates
    from bench.analysis.summary import cpu_per_request_ms

    bench.say("verdicts: how much work makes a request slower")
    frames = _frames(bench, _slowed(bench), "verdicts", bench.rounds, VERDICTS_S)
    if frames.troubles:
        first = frames.troubles[0]
        bench.say(f"verdicts: {len(frames.troubles)} trials are no evidence; round {first.round}: {first.reasons[0]}")
    cpu_ms = {name: cpu_per_request_ms(frames, name) for name in SLOWED_PERCENT}
    for (name, number), rates in sorted(rotation_rates(frames, "GET /").items(), key=lambda item: item[0][1]):
        if number not in cpu_ms[name] or not all(rate > 0 for rate in rates.values()):
            continue
        for rotation, rate in rates.items():
            yield {
                "round": number,
                "rotation": rotation,
                "variant": name,
                "slowed_percent": SLOWED_PERCENT[name],
                "rate_rps": rate,
                "cpu_us_per_request": 1e3 * cpu_ms[name][number],
            }


def _slowed(bench: CalibrationSetup) -> Scenario:
    """The scenario with the loops that make a request as much slower as it says, found by trying."""
    from bench.analysis.comparisons import throughput_logs
    from bench.analysis.summary import throughputs_rps

    scenario = catalogue.load("slowed", APPS)
    loops = {"none": 0, "many": TRIED_LOOPS}
    tried = replace(scenario, variants=tuple(_looping(scenario.variants[0], name, n) for name, n in loops.items()))
    frames = _frames(bench, tried, "tried", TRIED_ROUNDS, NOISE_S)
    logs = throughput_logs(frames, "none", "many", "GET /")
    if not logs:
        raise RuntimeError("no round could be trusted; is something else running on this machine?")
    request_s = 1 / statistics.fmean(throughputs_rps(frames, "none", "GET /").values())
    loop_s = request_s * math.expm1(statistics.fmean(logs.values())) / TRIED_LOOPS
    if loop_s <= 0:
        raise RuntimeError(f"{TRIED_LOOPS} loops cost no time; is something else running on this machine?")

    def wanted(percent: int) -> int:
        """Of n % less throughput, the time of a request is 100 / (100 - n) times as long."""
        return round(request_s * (100 / (100 - percent) - 1) / loop_s)

    variants = tuple(_looping(v, v.name, wanted(SLOWED_PERCENT[v.name])) for v in scenario.variants)
    return replace(scenario, variants=variants)


def _looping(variant: Variant, name: str, loops: int) -> Variant:
    return replace(variant, name=name, environment=(("LOOPS", str(loops)),))


def _frames(bench: CalibrationSetup, scenario: Scenario, name: str, rounds: int, measure_s: float) -> ScenarioTables:
    """Measure a run, and read it as the analysis of any run does: only trials that are evidence, in whole rounds."""
    from bench.analysis.tables import read_run, read_scenario

    run = bench.folder / "logs" / name
    shutil.rmtree(run, ignore_errors=True)
    plan = make_plan(scenario, Load(users=USERS), rounds, measure_s, bench.seed)
    open_run(run, plan, "calibration", [], lambda: {"machine": {}, "git": None})
    for made in plan.rounds:
        bench.say(f"{name}: round {made.number}/{rounds}")
        for lineup in made.groups:
            run_group(scenario, lineup, run)
    read = read_run(run)
    return read_scenario(read, read.scenarios[0])


def _throughput_rps(facts: dict[str, Any]) -> float:
    return float(facts["endpoints"]["GET /"]["throughput_rps"])


# Steps


@contextmanager
def _null_server(bench: CalibrationSetup) -> Iterator[str]:
    port = free_port()
    folder = bench.folder / "logs" / "null"
    folder.mkdir(parents=True, exist_ok=True)
    _, command = null_server.command(port, folder)
    with bench.start(command, "null-server", generator=False) as server:
        url = f"http://127.0.0.1:{port}"
        _must_be_ready(server, f"{url}/count")
        yield url


def _must_be_ready(server: Process, url: str) -> None:
    if reason := wait_until_ready({"server": (server, url)}, 10.0)["server"]:
        raise RuntimeError(f"{server.name} {reason}; see {server.log}")


def _shuffled(names: dict[str, Any], seed: int) -> list[str]:
    order = list(names)
    random.Random(seed).shuffle(order)
    return order


PARTS: dict[str, tuple[Callable[[CalibrationSetup], Iterator[CalibrationRow]], int]] = {
    "generators": (generators, 5),
    "lag": (lag, 5),
    "freeze": (freeze, 2),
    "memory": (memory, 1),
    "overhead": (overhead, 5),
    "noise": (noise, 10),
    "probe": (probe, 20),
    "verdicts": (verdicts, 24),
}
"""{part: (what measures it, rounds by default)}"""
