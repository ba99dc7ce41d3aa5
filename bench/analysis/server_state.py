"""What a server was doing, in one word and one sentence of numbers: pure arithmetic over sums of what the probe wrote.

    found = diagnose(Sums(rows=50, loop_stalled=0.97, own=1.0))
    found.category   "loop blocked"
    found.evidence   "the loop's own thread stalled it 97 % of the time, 100 % of it in the app's own code"
    advice(found.category)

Standard library only. bench/results/schema.py documents the rows (ServerRow and StallRow) and the categories;
bench/analysis/diagnosis.py adds them up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MIN_ROWS = 5
"""Half a second of one worker. Less than that is an accident, not a picture."""
MIN_STALLED_SHARE = 0.1
"""A loop that stands still for a tenth of the time has a tail latency that somebody complains about. A healthy one
under full load shows 0; one garbage collection or a busy machine, 2 %. There is no truth here."""
MIN_EXHAUSTED_SHARE = 0.1
"""Likewise for requests that wait for a thread of the pool."""
MIN_OWN_SHARE = 0.3
"""A loop is blocked by the app when so much of its stalled time falls on the app's own lines. One that is merely full
spends it in the framework: a trivial endpoint's own line has 2 %, one with some work to do 10 %."""
MIN_FULL_SHARE = 0.8
"""A process that uses so much of the cores it could use has no more to give: the rest is waiting at the edges."""
MIN_OTHERS_SHARE = 0.5
"""Of the CPU time, used by threads beside the loop's: then it is them who compete with the loop for the interpreter."""
MAX_CORES_OF_INTERPRETER = 1.2
"""Cores that one interpreter can use at most while it runs Python. More: code that gives the lock back, so no GIL."""
MAX_IDLE_CORES = 0.05
MAX_IDLE_IN_FLIGHT = 0.2
"""Twenty health checks a second are idleness: 0.04 cores, and never two at once."""


@dataclass(frozen=True)
class Sums:
    """One trial over its measured windows, all workers together. What could not be had is None."""

    rows: int
    """Samples that fell into the windows."""
    workers: int = 1
    cores: int = 1
    """Cores that the server may use, as far as it has workers for them."""
    loop_stalled: float = 0.0
    gil_stalled: float = 0.0
    exhausted: float = 0.0
    """Shares of the time, 0 to 1, of an average worker: stalled by the loop's own thread; stalled by other threads;
    all of the threadpool's tokens borrowed while requests waited."""
    own: float = 0.0
    """Share of ``loop_stalled`` that was charged to the app's own code."""
    lag_p50_ms: float | None = None
    lag_p99_ms: float | None = None
    lag_max_ms: float | None = None
    tokens_borrowed: float | None = None
    tokens_total: float | None = None
    tokens_waiting: float | None = None
    """Means; the total is the largest seen in a worker."""
    cpu_cores: float | None = None
    """Of the workers themselves: what their process pools use does not compete for their interpreters."""
    loop_cpu_cores: float | None = None
    """Of ``cpu_cores``: used by the loops' own threads."""
    in_flight: float | None = None
    """Mean, summed over workers."""


@dataclass(frozen=True)
class Diagnosis:
    """One of schema.CATEGORIES, and the numbers that say so."""

    category: str
    evidence: str


def diagnose(sums: Sums) -> Diagnosis:
    """The first finding that holds. Their order is that of their harm: a blocked loop stops everything else."""
    for category, find in FINDINGS:
        if evidence := find(sums):
            return Diagnosis(category, evidence)
    return Diagnosis("waiting on others", _waiting(sums))


# Findings: each gives its evidence, or nothing


def _too_little(sums: Sums) -> str:
    return f"{sums.rows} samples, fewer than {MIN_ROWS}" if sums.rows < MIN_ROWS else ""


def _gil(sums: Sums) -> str:
    if sums.gil_stalled >= max(MIN_STALLED_SHARE, sums.loop_stalled):
        return f"other threads kept the loop from running {_percent(sums.gil_stalled)} of the time{_cpu(sums)}"
    others = _others_share(sums)
    if others is None or others < MIN_OTHERS_SHARE or not _full(sums) or sums.loop_stalled >= MIN_STALLED_SHARE:
        return ""
    if (sums.cpu_cores or 0.0) > MAX_CORES_OF_INTERPRETER * sums.workers:
        return ""
    return (
        f"threads beside the loop used {_percent(others)} of the CPU time of an interpreter that was full{_cpu(sums)}"
    )


def _blocked(sums: Sums) -> str:
    if sums.loop_stalled < MIN_STALLED_SHARE:
        return ""
    if sums.own < MIN_OWN_SHARE and (_full(sums) or _loop_cores(sums) >= sums.loop_stalled):
        return ""  # the framework was at work all that time, on a machine that may have had no more to give
    whose = f", {_percent(sums.own)} of it in the app's own code" if sums.own else ", none of it in the app's own code"
    return f"the loop's own thread stalled it {_percent(sums.loop_stalled)} of the time{whose}{_lag(sums)}{_cpu(sums)}"


def _exhausted(sums: Sums) -> str:
    if sums.exhausted < MIN_EXHAUSTED_SHARE:
        return ""
    tokens = ""
    if sums.tokens_borrowed is not None and sums.tokens_total is not None and sums.tokens_waiting is not None:
        tokens = (
            f" ({sums.tokens_borrowed:.0f} of {sums.tokens_total:.0f} borrowed and {sums.tokens_waiting:.0f} waiting"
            " on average)"
        )
    return f"requests waited for a thread {_percent(sums.exhausted)} of the time{tokens}"


def _cpu_bound(sums: Sums) -> str:
    if not _full(sums):
        return ""
    return f"the server used {sums.cpu_cores:.2f} of {_usable(sums)} core(s) that it could use{_lag(sums)}"


def _idle(sums: Sums) -> str:
    if (sums.cpu_cores or 0.0) >= MAX_IDLE_CORES or (sums.in_flight or 0.0) >= MAX_IDLE_IN_FLIGHT:
        return ""
    return f"nothing to do{_cpu(sums)}{_in_flight(sums)}"


def _waiting(sums: Sums) -> str:
    return f"the loop answered{_lag(sums)}{_in_flight(sums)}{_cpu(sums)}"


FINDINGS: tuple[tuple[str, Callable[[Sums], str]], ...] = (
    ("not enough data", _too_little),
    ("GIL-bound", _gil),
    ("loop blocked", _blocked),
    ("threadpool exhausted", _exhausted),
    ("CPU-bound", _cpu_bound),
    ("idle", _idle),
)


def _usable(sums: Sums) -> int:
    return max(1, min(sums.workers, sums.cores))


def _full(sums: Sums) -> bool:
    return sums.cpu_cores is not None and sums.cpu_cores >= MIN_FULL_SHARE * _usable(sums)


def _others_share(sums: Sums) -> float | None:
    if not sums.cpu_cores or sums.loop_cpu_cores is None:
        return None
    return 1 - sums.loop_cpu_cores / sums.cpu_cores


def _loop_cores(sums: Sums) -> float:
    """Used by the loop's thread of an average worker; 0 where that is not known."""
    return (sums.loop_cpu_cores or 0.0) / sums.workers


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _lag(sums: Sums) -> str:
    if sums.lag_p99_ms is None or sums.lag_max_ms is None:
        return ""
    return f", loop lag {sums.lag_p99_ms:.0f} ms at p99 and {sums.lag_max_ms:.0f} ms at most"


def _cpu(sums: Sums) -> str:
    return "" if sums.cpu_cores is None else f", {sums.cpu_cores:.2f} cores used"


def _in_flight(sums: Sums) -> str:
    return "" if sums.in_flight is None else f", {sums.in_flight:.1f} requests in flight on average"
