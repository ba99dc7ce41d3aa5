"""Runs made of arithmetic instead of measurement, written to disk through the same contract, with known answers.

``write_run`` and ``write_trial`` put any content into the contract's files; ``blocking_run`` simulates the blocking
scenario as the laws have it: seeded, so that the same call writes the same bytes.
"""

from __future__ import annotations

import csv
import io
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hdrh.histogram import HdrHistogram

from bench.model.bounds import UpperBound, awaited, blocked_loop, threadpool
from bench.results import files, layout, schema

ENDPOINT = "GET /report"
HEALTH = "GET /health"
WAIT_S = 0.05
USERS = 32
DRAIN_S = 2.0
"""What comes within this time after the end of a turn is drained: late, but answered."""

UNIX_MINUS_PERF_S = 1_700_000_000.0


@dataclass(frozen=True)
class Histogram:
    """One line of requests.hlog: ``values`` maps microseconds to counts."""

    endpoint: str
    kind: str
    start_s: float
    length_s: float
    values: Mapping[int, int]


@dataclass(frozen=True)
class Request:
    """One request of a simulated user; ``done_s`` may lie after the end of the turn."""

    endpoint: str
    sent_s: float
    done_s: float
    timetable: bool = False


@dataclass(frozen=True)
class Seen:
    """What the probe sees of a variant's server under load: lags evenly spread, or, of a loop that is held for
    ``held_s`` at a time, rising until then."""

    lag_ms: tuple[float, float] = (0.1, 2.0)
    held_s: float = 0.0
    cores: float = 0.3
    borrowed: tuple[int, int] | None = None
    waiting: int = 0
    line: int = 0
    callee: str = ""
    kind: str = "loop"


@dataclass(frozen=True)
class Way:
    """How one variant behaves in the simulation."""

    name: str
    role: str
    summary: str
    bound: UpperBound | None
    extra_s: float = 0.003
    """What a request costs beyond the law's wait."""
    health_s: tuple[float, float] = (0.002, 0.009)
    """The health check takes between these, evenly spread."""
    source: str = field(default="")
    seen: Seen | None = None
    """None: a server that nobody watched."""


def line(histogram: Histogram) -> str:
    """As the recorder writes it."""
    encoder = HdrHistogram(schema.HISTOGRAM_MIN_US, schema.HISTOGRAM_MAX_US, schema.HISTOGRAM_DIGITS)
    for value_us, count in histogram.values.items():
        assert encoder.record_value(value_us, count)
    tag = f"{quote(histogram.endpoint, safe='/')}:{histogram.kind}"
    longest_ms = max(histogram.values) / 1e3
    payload = encoder.encode().decode()
    return f"Tag={tag},{histogram.start_s:.6f},{histogram.length_s:.6f},{longest_ms:.3f},{payload}\n"


def write_run(run: Path, scenarios: Mapping[str, Mapping[str, Any]], **more: Any) -> Path:
    """run.json; ``more`` overrides any of its entries."""
    content = {
        "schema": schema.SCHEMA,
        "name": run.name,
        "created_unix_s": UNIX_MINUS_PERF_S,
        "command": "python -m bench run blocking --seed 7",
        "machine": {"cpu": {"model": "A synthetic processor", "cores_usable": 2}, "python": {"version": "3.13.1"}},
        "git": {"revision": "0123456789abcdef", "dirty": False},
        "scenarios": dict(scenarios),
    }
    files.write_json(run / "run.json", content | more)
    return run


def scenario(ways: Sequence[Way], **more: Any) -> dict[str, Any]:
    """A scenario's part of run.json."""
    declared = {
        "question": "What does one blocking call in async def cost everybody else?",
        "path": "/report",
        "endpoint": "GET /report",
        "load": load_record(f"users-{USERS}"),
        "seed": 7,
        "rounds": 2,
        "measure_s": 3.0,
        "profile": "standard",
        "variants": [_variant(way) for way in ways],
    }
    return declared | more


def load_record(name: str) -> dict[str, Any]:
    """A load as the files have it, from its name: ``users-32``, ``rate-500``."""
    kind, _, amount = name.partition("-")
    is_open = kind == "rate"
    users, rate_rps = (None, float(amount)) if is_open else (int(amount), None)
    return {"name": name, "model": "open" if is_open else "closed", "users": users, "rate_rps": rate_rps}


def write_trial(
    run: Path,
    scenario_name: str,
    variant: str,
    number: int,
    *,
    histograms: Iterable[Histogram] = (),
    counts: Iterable[Mapping[str, Any]] = (),
    turns: Sequence[Mapping[str, Any]] = (),
    status: str = "ok",
    load: str = f"users-{USERS}",
    server: Mapping[int, Sequence[Mapping[str, Any]]] | None = None,
    stalls: Mapping[int, Sequence[Mapping[str, Any]]] | None = None,
    **more: Any,
) -> Path:
    """One trial's folder, trial.json last. ``more`` overrides entries of trial.json.

    ``server`` and ``stalls`` are the probe's rows by worker; each worker in ``server`` has both files.
    """
    folder = layout.trial_folder(run, scenario_name, variant, load, number)
    base = f"#[BaseTime: {UNIX_MINUS_PERF_S:.3f} (seconds since epoch)]\n"
    files.write_text(folder / "requests.hlog", base + "".join(line(histogram) for histogram in histograms))
    files.write_text(folder / "counts.csv", counts_csv(counts))
    for pid, rows in (server or {}).items():
        files.write_text(folder / f"server-{pid}.csv", table_csv(schema.SERVER_COLUMNS, rows))
        files.write_text(folder / f"stalls-{pid}.csv", table_csv(schema.STALLS_COLUMNS, (stalls or {}).get(pid, ())))
    content = {
        "schema": schema.SCHEMA,
        "scenario": scenario_name,
        "variant": variant,
        "round": number,
        "load": load_record(load),
        "group": f"{load}-round-{number}-group-1",
        "position": 1,
        "status": status,
        "reasons": [],
        "log_tail": "",
        "clock": {"perf_counter_s": 0.0, "unix_s": UNIX_MINUS_PERF_S},
        "timings": {},
        "pids": {},
        "cores": {"server": [0], "generator": [1]},
        "port": 8000,
        "services": {},
        "facts": {"turns": list(turns), "endpoints": {}, "generator_cpu_cores_max": 0.25},
        "files": files.file_sizes(folder),
    }
    files.write_json(folder / "trial.json", content | more)
    return folder


def turn(start_s: float, warm_until_s: float, end_s: float, pass_number: int = 1) -> dict[str, Any]:
    """One entry of trial.json's turns."""
    edges = {"start_s": start_s, "warm_until_s": warm_until_s, "end_s": end_s}
    return {"pass_number": pass_number, **edges, "drained": True, "drain_s": 0.0}


def counts_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of counts.csv; what a row leaves out is 0."""
    return table_csv(schema.COUNTS_COLUMNS, rows, 0)


def table_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], missing: object = "") -> str:
    """Rows of any of the tables; what a row leaves out is ``missing``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval=missing, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def beats(begin_s: float, end_s: float, cores: float = 0.3, **gauges: Any) -> list[dict[str, Any]]:
    """Rows of server-<pid>.csv, one every 100 ms, of a server that uses ``cores`` throughout."""
    every = [begin_s + 0.1 * i for i in range(round((end_s - begin_s) / 0.1) + 1)]
    usual = {"lag_ms": 0.5, "lag_max_ms": 1.0, "threads": 1, "rss_mb": 60.0, "connections": 32, "in_flight": 32}
    return [usual | {"at_s": f"{at:.6f}", "cpu_s": f"{1 + cores * (at - begin_s):.6f}"} | gauges for at in every]


TRAP_SOURCE = """import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/report")
async def report() -> dict[str, str]:
    time.sleep(0.05)
    return {"report": "done"}
"""
AWAITED_SOURCE = TRAP_SOURCE.replace("import time", "import asyncio").replace("time.sleep", "await asyncio.sleep")
DEF_SOURCE = TRAP_SOURCE.replace("async def", "def")

WAYS = (
    Way(
        "blocking_call",
        "trap",
        "time.sleep in async def",
        blocked_loop(WAIT_S),
        0.0003,
        (1.5, 8.0),
        TRAP_SOURCE,
        Seen(held_s=1.6, cores=0.012, line=10, callee="time.sleep"),
    ),
    Way("awaited", "fix", "await asyncio.sleep", awaited(WAIT_S), 0.004, source=AWAITED_SOURCE, seen=Seen(cores=0.24)),
    Way(
        "plain_def",
        "fix",
        "time.sleep in plain def",
        threadpool(WAIT_S),
        0.006,
        (0.003, 0.014),
        DEF_SOURCE,
        Seen((0.1, 6.0), cores=0.42, borrowed=(28, 32)),
    ),
    Way(
        "run_in_threadpool",
        "fix",
        "run_in_threadpool",
        threadpool(WAIT_S),
        0.0075,
        (0.003, 0.016),
        DEF_SOURCE,
        Seen((0.1, 7.0), cores=0.45, borrowed=(28, 32)),
    ),
)


def blocking_run(run: Path, rounds: int = 2, ways: Sequence[Way] = WAYS, seed: int = 7, name: str = "blocking") -> Path:
    """The blocking scenario, simulated: every variant ok in every round."""
    write_run(run, {name: scenario(ways, rounds=rounds)})
    return blocking_trials(run, rounds, ways, seed, name)


def blocking_trials(run: Path, rounds: int, ways: Sequence[Way] = WAYS, seed: int = 7, name: str = "blocking") -> Path:
    """Its trials alone, without run.json."""
    for number in range(1, rounds + 1):
        for way in ways:
            simulate_trial(run, name, way, number, random.Random(f"{seed}/{way.name}/{number}"))
    return run


def troubled_run(run: Path, reason: str = "the app raised ImportError", log_tail: str = "ImportError: nope") -> Path:
    """Two complete rounds with one failed and one invalid trial in the second, and a third round cut short."""
    blocking_run(run, rounds=2)
    for variant, status in (("plain_def", "failed"), ("run_in_threadpool", "invalid")):
        write_trial(run, "blocking", variant, 2, status=status, reasons=[reason], log_tail=log_tail)
    simulate_trial(run, "blocking", WAYS[0], 3, random.Random(3))
    return run


def simulate_trial(run: Path, name: str, way: Way, number: int, draws: random.Random) -> Path:
    """A warm-up, then a measured part of at least four latencies; a closed loop of users beside a health prober."""
    latency_s = way.bound.min_latency_s(USERS) if way.bound else WAIT_S
    start_s = 1000.0 * number
    warm_until_s = start_s + max(1.0, 2 * latency_s)
    end_s = warm_until_s + max(3.0, 4 * latency_s)
    speed = draws.gauss(1.0, 0.012)
    requests = [*_users(way, start_s, end_s, speed, draws), *_prober(way, start_s, end_s, draws)]
    parts = ((start_s, warm_until_s), (warm_until_s, end_s))
    histograms, rows = _record(requests, parts)
    turns = [turn(start_s, warm_until_s, end_s)]
    server, stalls = _watch(way, [(start_s, end_s)], draws) if way.seen else (None, None)
    return write_trial(
        run, name, way.name, number, histograms=histograms, counts=rows, turns=turns, server=server, stalls=stalls
    )


MANY = (
    Way("blocks", "trap", "requests.get in async def", None, seen=Seen(held_s=0.3, cores=0.05, line=9, callee="x.get")),
    Way(
        "crowded",
        "trap",
        "60 users on 40 threads",
        None,
        0.02,
        seen=Seen(cores=0.5, borrowed=(40, 40), waiting=20, line=7, callee="sqlite3.connect", kind="threadpool"),
    ),
    Way("unwatched", "baseline", "nobody watched this one", None),
    *WAYS[1:],
)


def turns_run(run: Path, ways: Sequence[Way] = MANY, passes: int = 8) -> Path:
    """One round whose variants take turns: one turn of warm-up, then ``passes`` of 0.5 s, 0.1 s of it warm-up."""
    write_run(run, {"blocking": scenario(ways, rounds=1, question="What do these cost?")})
    for place, way in enumerate(ways):
        draws = random.Random(f"turns/{way.name}")
        starts = [100 + 0.55 * (number * len(ways) + place) for number in range(passes + 1)]
        turns = [turn(at, at + (0.1 if i else 0.5), at + 0.5, pass_number=i) for i, at in enumerate(starts)]
        histograms = [part for one in turns for part in _of_turn(way, one, draws)]
        counts = [
            {"start_s": t["warm_until_s"], "end_s": t["end_s"], "endpoint": ENDPOINT, "measured": 1, "finished": 200}
            for t in turns[1:]
        ]
        load = [(t["start_s"], t["end_s"]) for t in turns]
        server, stalls = _watch(way, load, draws) if way.seen else (None, None)
        write_trial(
            run,
            "blocking",
            way.name,
            1,
            histograms=histograms,
            counts=counts,
            turns=turns,
            server=server,
            stalls=stalls,
        )
    return run


def _of_turn(way: Way, one: Mapping[str, Any], draws: random.Random) -> list[Histogram]:
    low_us = 53_000 + 1e6 * way.extra_s + (6e5 if way.role == "trap" else 0)
    found = []
    for begin_s, end_s in ((one["start_s"], one["warm_until_s"]), (one["warm_until_s"], one["end_s"])):
        if end_s - begin_s > 0.01:
            values = Counter(round(low_us * draws.uniform(1, 1.2)) for _ in range(200))
            health = Counter(round(1e6 * draws.uniform(*way.health_s)) for _ in range(4))
            found += [Histogram(ENDPOINT, "service", begin_s, end_s - begin_s, values)]
            found += [Histogram(HEALTH, "response", begin_s, end_s - begin_s, health)]
    return found


PID = 4321
Watched = dict[int, list[dict[str, Any]]]


def _watch(way: Way, load: Sequence[tuple[float, float]], draws: random.Random) -> tuple[Watched, Watched]:
    """The probe's rows: from half a second before the first turn of the load until half a second after the last."""
    assert way.seen
    seen, cpu_s, start_s = way.seen, 1.0, load[0][0]
    rows, stalls = [], []
    for i, row in enumerate(beats(start_s - 0.5, load[-1][1] + 0.5)):
        at_s = float(row["at_s"])
        loaded = any(begin_s < at_s <= end_s for begin_s, end_s in load)
        cpu_s += 0.1 * (seen.cores * draws.uniform(0.97, 1.03) if loaded else 0.005)
        held_s = (at_s - start_s) % seen.held_s if seen.held_s and loaded else 0.0
        lag_ms = 1e3 * held_s if held_s else draws.uniform(*seen.lag_ms)
        row |= {
            "lag_ms": f"{lag_ms:.3f}",
            "lag_max_ms": f"{max(lag_ms, 1e3 * seen.held_s if held_s < 0.1 and loaded else 0):.3f}",
        }
        row |= {"cpu_s": f"{cpu_s:.6f}", "rss_mb": f"{61 + 0.01 * i:.2f}", "in_flight": USERS if loaded else 0}
        if seen.borrowed:
            borrowed = draws.randint(*seen.borrowed) if loaded else 0
            row |= {"tokens_borrowed": borrowed, "tokens_total": 40, "tokens_waiting": seen.waiting if loaded else 0}
        if seen.line and loaded:
            place = {
                "file": f"apps/blocking/{way.name}.py",
                "line": seen.line,
                "function": "report",
                "callee": seen.callee,
            }
            piece = {"at_s": f"{at_s - 0.1:.6f}", "stall": 1, "kind": seen.kind, "stalled_ms": 97.0, "samples": 10}
            stalls.append(piece | place)
        rows.append(row)
    return {PID: rows}, {PID: stalls}


def _variant(way: Way) -> dict[str, Any]:
    bound = way.bound and {
        "formula": way.bound.formula,
        "service_s": way.bound.service_s,
        "places": None if way.bound.places == float("inf") else way.bound.places,
        "kind": way.bound.kind,
        "max_rps": way.bound.max_rps(USERS),
        "min_latency_s": way.bound.min_latency_s(USERS),
    }
    described = {"name": way.name, "role": way.role, "summary": way.summary, "bound": bound, "workers": 1}
    return described | {"file": f"apps/blocking/{way.name}.py", "source": way.source}


def _users(way: Way, start_s: float, end_s: float, speed: float, draws: random.Random) -> list[Request]:
    latency_s = way.bound.min_latency_s(USERS) if way.bound else WAIT_S
    requests = []
    for _ in range(USERS):
        now_s = start_s + draws.random() * latency_s
        while now_s < end_s:
            extra_s = draws.expovariate(1 / way.extra_s) * (USERS if latency_s > 1 else 1)
            done_s = now_s + (latency_s + extra_s) * speed
            requests.append(Request(ENDPOINT, now_s, done_s))
            now_s = done_s
    return requests


def _prober(way: Way, start_s: float, end_s: float, draws: random.Random) -> list[Request]:
    probes = int((end_s - start_s) / 0.1)
    sent_s = [start_s + 0.1 * probe for probe in range(probes)]
    return [Request(HEALTH, at_s, at_s + draws.uniform(*way.health_s), timetable=True) for at_s in sent_s]


Parts = tuple[tuple[float, float], tuple[float, float]]


def _record(requests: Sequence[Request], parts: Parts) -> tuple[list[Histogram], list[dict[str, Any]]]:
    """What the recorder would write of ``requests``: intervals of at most a second within each part."""
    intervals = [
        (at_s, min(at_s + schema.INTERVAL_S, stop_s), measured)
        for measured, (begin_s, stop_s) in enumerate(parts)
        for at_s in _steps(begin_s, stop_s)
    ]
    values: dict[tuple[int, str, str], Counter[int]] = defaultdict(Counter)
    counted: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for request in requests:
        _place(request, intervals, parts, values, counted)
    histograms = [
        Histogram(endpoint, kind, intervals[i][0], intervals[i][1] - intervals[i][0], histogram)
        for (i, endpoint, kind), histogram in sorted(values.items())
    ]
    rows = [
        {"start_s": intervals[i][0], "end_s": intervals[i][1], "measured": intervals[i][2], "endpoint": endpoint, **row}
        for (i, endpoint), row in sorted(counted.items())
    ]
    return histograms, rows


def _steps(begin_s: float, stop_s: float) -> list[float]:
    steps = [begin_s]
    while steps[-1] + schema.INTERVAL_S < stop_s - 1e-9:
        steps.append(steps[-1] + schema.INTERVAL_S)
    return steps


def _place(request: Request, intervals: Any, parts: Parts, values: Any, counted: Any) -> None:
    begun = next(i for i, (at_s, until_s, _) in enumerate(intervals) if at_s <= request.sent_s < until_s)
    counted[begun, request.endpoint]["started"] += 1
    warm = request.sent_s < parts[1][0]
    end_s = parts[1][1]
    last = len(intervals) - 1
    if request.done_s >= end_s:
        age_us = max(1, round((end_s - request.sent_s) * 1e6))
        values[last, request.endpoint, "straddling_unfinished" if warm else "unfinished"][age_us] += 1
        counted[last, request.endpoint]["unfinished"] += 1
        counted[last, request.endpoint]["completed_late"] += request.done_s < end_s + DRAIN_S
        return
    ended = next(i for i, (at_s, until_s, _) in enumerate(intervals) if at_s <= request.done_s < until_s)
    counted[ended, request.endpoint]["finished"] += 1
    latency_us = round((request.done_s - request.sent_s) * 1e6)
    if warm and intervals[ended][2]:
        values[ended, request.endpoint, "straddling"][latency_us] += 1
        return
    for kind in ("service", "response") if request.timetable else ("service",):
        values[ended, request.endpoint, kind][latency_us] += 1
