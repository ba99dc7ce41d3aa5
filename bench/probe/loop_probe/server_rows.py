"""The rows of server-<pid>.csv."""

from __future__ import annotations

from .csv_files import CsvFile
from .decisions import OVERDUE_AFTER_S
from .meters import ChildrenMeter, Meter, ThreadpoolTokens
from .sampling import Sample, Sampler


class ServerRows:
    """Collects the loop's lag between two rows, and writes the rows."""

    def __init__(self, file: CsvFile, sampler: Sampler, meter: Meter, begun_s: float) -> None:
        self.written_s = begun_s
        """When the last row was written."""
        self._file = file
        self._sampler = sampler
        self._meter = meter
        self._children = ChildrenMeter()
        self._lag_s = 0.0
        self._lag_max_s = 0.0

    def note_answer(self, lag_s: float) -> None:
        """The lag of an answered heartbeat."""
        self._lag_s = lag_s
        self.note_pending(lag_s)

    def note_pending(self, age_s: float) -> None:
        """The age of a heartbeat that is overdue: its lag will be at least that."""
        self._lag_max_s = max(self._lag_max_s, age_s)

    def write(self, sample: Sample, pending_s: float, tokens: ThreadpoolTokens | None) -> None:
        """Write a row. ``pending_s``: age of the pending heartbeat, 0 if there is none."""
        lag_s = pending_s if pending_s > OVERDUE_AFTER_S else self._lag_s
        counts = sample.counts
        row = (
            *(sample.at_s, lag_s * 1000, max(lag_s, self._lag_max_s) * 1000),
            *(tokens or (None, None, None)),
            *(sample.threads, sample.usage.cpu_s, sample.usage.loop_cpu_s),
            self._children.cpu_s(),
            self._sampler.releasing_gil(self._meter.rss_mb),
            *((counts.connections, counts.in_flight) if counts is not None else (None, None)),
        )
        self._sampler.releasing_gil(self._file.write, [row])
        self._lag_max_s = 0.0
        self.written_s = sample.at_s
