"""Records the intervals of a group's turns: writes each trial's files, and sums up the facts of trial.json."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.load.endpoint_recorder import SAMPLE_ERRORS, IntervalStats
from bench.load.generator_monitor import CpuSample
from bench.load.messages import IntervalReport
from bench.load.trial_writer import TrialWriter
from bench.results.schema import HEALTH_TIMEOUT_S, EndpointFacts, TrialFacts, TurnRecord


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
    sequence: list[tuple[float, float]] = field(default_factory=list)

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
        self.sequence += [(intended_s, latency_s) for intended_s, latency_s in row.sequence]

    def facts(self, measured_s: float) -> EndpointFacts:
        return EndpointFacts(
            measured_s=measured_s,
            started=self.counts["started"],
            finished=self.finished,
            failed=self.causes.total(),
            failed_in_warmup=self.warmup_failed,
            causes=dict(self.causes),
            statuses={str(status): count for status, count in self.statuses.items()},
            unfinished=self.counts["unfinished"],
            completed_late=self.counts["completed_late"],
            dropped=self.counts["dropped"],
            reconnects=self.counts["reconnects"],
            throughput_rps=self.finished / measured_s if measured_s else None,
            in_flight_mean=self.area_s / measured_s if measured_s else None,
            lag_p50_ms=_percentile_ms(self.lags, 0.5),
            lag_p99_ms=_percentile_ms(self.lags, 0.99),
            response_p50_ms=_percentile_ms(self.responses, 0.5),
            errors=tuple(self.samples),
            late_in_a_row=late_in_a_row(self.sequence),
        )


def late_in_a_row(sequence: list[tuple[float, float]]) -> int | None:
    """The most requests in a row, by intended start, that took longer than HEALTH_TIMEOUT_S. None without any.

    A request that was unanswered at the end of its turn, and younger than that, says nothing.
    """
    longest = run = 0
    for _, latency_s in sorted(sequence):
        run = run + 1 if latency_s > HEALTH_TIMEOUT_S else 0
        longest = max(longest, run)
    return longest if sequence else None


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
    """Collects the intervals and turns of a group. With several agents an interval is written when all have sent it."""

    def __init__(self, folders: dict[str, Path], agents: int = 1) -> None:
        self._writers = {target: TrialWriter(folder) for target, folder in folders.items()}
        self._agents = agents
        self._incomplete: dict[tuple[int, bool, int], list[IntervalReport]] = {}
        self._undecided: dict[int, list[list[IntervalReport]]] = {}
        """Measured intervals of turns that may yet be taken again, by turn."""
        self._taken_again: set[int] = set()
        self._endpoints: dict[str, dict[str, _Endpoint]] = {target: {} for target in folders}
        self._turns: dict[str, list[TurnRecord]] = {target: [] for target in folders}
        self._cpu: dict[str, list[CpuSample]] = {target: [] for target in folders}
        self._waits: dict[str, list[tuple[float, float]]] = {target: [] for target in folders}
        """Length and waiting share of each measured turn."""

    def add_interval(self, interval: IntervalReport) -> None:
        """Record one agent's interval."""
        reports = self._incomplete.setdefault(interval.key, [])
        reports.append(interval)
        if len(reports) == self._agents:
            self._write(self._incomplete.pop(interval.key))

    def begin_turn(self, number: int, undecided: bool) -> None:
        """A turn begins. ``undecided``: its measured intervals are kept back until it has ended."""
        if undecided:
            self._undecided[number] = []

    def end_turn(self, target: str, number: int, turn: TurnRecord, waiting_share: float | None) -> None:
        """Record a turn that has ended, and the share of it that the generator waited for a core.

        The intervals of a turn that is taken again do not count as measured.
        """
        self._turns[target].append(turn)
        if turn.taken_again:
            self._taken_again.add(number)
        elif waiting_share is not None:
            self._waits[target].append((turn.end_s - turn.warm_until_s, waiting_share))
        for reports in self._undecided.pop(number, ()):
            self._write(reports)

    def add_cpu(self, target: str, sample: CpuSample) -> None:
        """Record a sample of an agent's CPU, taken while ``target`` had its turn."""
        self._cpu[target].append(sample)

    def mean_latency_s(self, target: str) -> float | None:
        """Mean latency of the target's slowest endpoint so far, by Little's law: time in flight by requests finished.

        None where no endpoint has finished a request.
        """
        means = [each.area_s / each.finished for each in self._endpoints[target].values() if each.finished]
        return max(means, default=None)

    def finish(self) -> dict[str, TrialFacts]:
        """Write what is left, close the files, and return {target: facts}."""
        for key in sorted(self._incomplete):
            self._write(self._incomplete[key])
        self._incomplete.clear()
        for number in list(self._undecided):  # the turn was interrupted
            for reports in self._undecided.pop(number):
                self._write(reports)
        for writer in self._writers.values():
            writer.close()
        return {target: self._facts(target) for target in self._writers}

    def _write(self, reports: list[IntervalReport]) -> None:
        first = reports[0]
        if first.measured and first.turn in self._undecided:
            self._undecided[first.turn].append(reports)
            return
        measured = first.measured and first.turn not in self._taken_again
        rows: dict[str, IntervalStats] = {}
        for report in reports:
            for row in report.rows:
                if row.endpoint in rows:
                    rows[row.endpoint].add(row)
                else:
                    rows[row.endpoint] = row
        start_s, end_s = min(r.start_s for r in reports), max(r.end_s for r in reports)
        self._writers[first.target].interval(start_s, end_s, measured, list(rows.values()))
        endpoints = self._endpoints[first.target]
        for name, row in rows.items():
            endpoints.setdefault(name, _Endpoint()).add(row, measured)

    def _facts(self, target: str) -> TrialFacts:
        turns = self._turns[target]
        measured_s = sum(turn.end_s - turn.warm_until_s for turn in turns)
        samples = self._cpu[target]
        waits = self._waits[target]
        waited_s = sum(length_s * share for length_s, share in waits)
        return TrialFacts(
            turns=tuple(turns),
            endpoints={name: endpoint.facts(measured_s) for name, endpoint in self._endpoints[target].items()},
            generator_cpu_cores_max=max((sample.cpu_cores for sample in samples), default=None),
            generator_cpu_cores_mean=sum(s.cpu_cores for s in samples) / len(samples) if samples else None,
            generator_waiting_share_mean=waited_s / sum(length_s for length_s, _ in waits) if waits else None,
            generator_stopped_s_max=max((sample.stopped_s for sample in samples), default=None),
        )
