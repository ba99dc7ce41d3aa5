"""Books the intervals of a whole lineup: writes each trial's files, and sums up the facts that go into trial.json."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.load.endpoint_recorder import SAMPLE_ERRORS, IntervalStats
from bench.load.generator_monitor import CpuSample
from bench.load.trial_writer import TrialWriter


@dataclass
class IntervalReport:
    """What one generator saw of one target, within one part (warm-up or measured) of one turn."""

    turn: int
    number: int
    """Counts the part's intervals from 0, in the same way in every generator."""
    target: str
    measured: bool
    start_s: float
    end_s: float
    rows: list[IntervalStats]

    @property
    def key(self) -> tuple[int, bool, int]:
        """What the intervals of several generators have in common."""
        return self.turn, self.measured, self.number

    def message(self) -> dict[str, Any]:
        """As a worker sends it. Shallow, since it is taken apart at once: a deep copy would hold the hub."""
        return {**vars(self), "rows": [vars(row) for row in self.rows]}

    @classmethod
    def of(cls, message: dict[str, Any]) -> IntervalReport:
        """From a worker's message."""
        return cls(**{**message, "rows": [IntervalStats(**row) for row in message["rows"]]})


@dataclass
class TurnRecord:
    """When a turn really was, as trial.json has it."""

    target: str
    rotation: int
    start_s: float
    warm_until_s: float
    end_s: float
    quiet: bool | None
    """Whether all had come back before the next turn; None for the lineup's last."""
    late_s: float


@dataclass
class _Endpoint:
    measured_s: float = 0.0
    finished: int = 0
    area_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)
    warmup_failed: int = 0
    lags: Counter[int] = field(default_factory=Counter)
    responses: Counter[int] = field(default_factory=Counter)

    def add(self, row: IntervalStats, measured: bool) -> None:
        new = [sample for sample in row.samples if sample not in self.samples]
        self.samples = [*self.samples, *new][:SAMPLE_ERRORS]
        if not measured:
            self.warmup_failed += sum(row.causes.values())
            return
        self.finished += row.finished
        self.area_s += row.area_s
        self.counts.update(row.counts)
        self.causes.update(row.causes)
        self.statuses.update(row.statuses)
        self.lags.update(row.buckets.get("lag", {}))
        self.responses.update(row.buckets.get("response", {}))

    def facts(self, measured_s: float) -> dict[str, Any]:
        seconds = measured_s or None
        return {
            "measured_s": measured_s,
            "started": self.counts["started"],
            "finished": self.finished,
            "failed": self.causes.total(),
            "failed_in_warmup": self.warmup_failed,
            "causes": dict(self.causes),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "unfinished": self.counts["unfinished"],
            "completed_late": self.counts["completed_late"],
            "dropped": self.counts["dropped"],
            "reconnects": self.counts["reconnects"],
            "throughput_rps": self.finished / seconds if seconds else None,
            "in_flight_mean": self.area_s / seconds if seconds else None,
            "lag_p50_ms": _percentile_ms(self.lags, 0.5),
            "lag_p99_ms": _percentile_ms(self.lags, 0.99),
            "response_p50_ms": _percentile_ms(self.responses, 0.5),
            "errors": self.samples,
        }


def _percentile_ms(buckets: Counter[int], share: float) -> float | None:
    """A percentile of bucketed microseconds; None where fewer than ten samples lie beyond it."""
    total = buckets.total()
    if total * (1 - share) < 10:
        return None
    seen = 0
    for value_us in sorted(buckets):
        seen += buckets[value_us]
        if seen >= share * total:
            break
    return value_us / 1000


class TrialRecorder:
    """Collects a lineup's intervals and turns. With several generators an interval is written when all have sent it."""

    def __init__(self, folders: dict[str, Path], generators: int = 1) -> None:
        self._writers = {target: TrialWriter(folder) for target, folder in folders.items()}
        self._generators = generators
        self._open: dict[tuple[int, bool, int], list[IntervalReport]] = {}
        self._endpoints: dict[str, dict[str, _Endpoint]] = {target: {} for target in folders}
        self._turns: dict[str, list[TurnRecord]] = {target: [] for target in folders}
        self._loads: dict[str, list[CpuSample]] = {target: [] for target in folders}

    def interval(self, interval: IntervalReport) -> None:
        """Book one generator's interval."""
        parts = self._open.setdefault(interval.key, [])
        parts.append(interval)
        if len(parts) == self._generators:
            self._write(self._open.pop(interval.key))

    def turn(self, record: TurnRecord) -> None:
        """Book a turn that has ended."""
        self._turns[record.target].append(record)

    def load(self, target: str, load: CpuSample) -> None:
        """Book a sample of a generator's own CPU, taken while ``target`` had its turn."""
        self._loads[target].append(load)

    def finish(self) -> dict[str, Any]:
        """Write what is left, close the files, and return {target: facts}."""
        for key in sorted(self._open):
            self._write(self._open[key])
        self._open.clear()
        for writer in self._writers.values():
            writer.close()
        return {target: self._facts(target) for target in self._writers}

    def _write(self, parts: list[IntervalReport]) -> None:
        rows: dict[str, IntervalStats] = {}
        for part in parts:
            for row in part.rows:
                if row.endpoint in rows:
                    rows[row.endpoint].add(row)
                else:
                    rows[row.endpoint] = row
        first = parts[0]
        start_s, end_s = min(p.start_s for p in parts), max(p.end_s for p in parts)
        self._writers[first.target].interval(start_s, end_s, first.measured, list(rows.values()))
        endpoints = self._endpoints[first.target]
        for name, row in rows.items():
            endpoints.setdefault(name, _Endpoint()).add(row, first.measured)

    def _facts(self, target: str) -> dict[str, Any]:
        turns = self._turns[target]
        measured_s = sum(turn.end_s - turn.warm_until_s for turn in turns)
        loads = self._loads[target]
        waits = [load.waiting_share for load in loads if load.waiting_share is not None]
        return {
            "turns": [{key: value for key, value in asdict(turn).items() if key != "target"} for turn in turns],
            "endpoints": {name: e.facts(measured_s) for name, e in self._endpoints[target].items()},
            "generator_cpu_cores_max": max((load.cpu_cores for load in loads), default=None),
            "generator_cpu_cores_mean": sum(load.cpu_cores for load in loads) / len(loads) if loads else None,
            "generator_waiting_share_mean": sum(waits) / len(waits) if waits else None,
        }
