"""The two CSV files. Whole lines are appended at once, so that they survive a SIGKILL."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable

SERVER_COLUMNS = (
    "at_s",
    "lag_ms",
    "lag_max_ms",
    "tokens_borrowed",
    "tokens_total",
    "tokens_waiting",
    "threads",
    "cpu_s",
    "loop_cpu_s",
    "children_cpu_s",
    "rss_mb",
    "connections",
    "in_flight",
)
STALLS_COLUMNS = ("at_s", "stall", "kind", "stalled_ms", "file", "line", "function", "callee", "samples")
"""The harness documents both in its results schema, which cannot be imported here. A test compares them."""


class CsvFile:
    """A CSV file that is being written."""

    def __init__(self, path: str, columns: tuple[str, ...]) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.write([columns])

    def write(self, rows: Iterable[Iterable[object]]) -> None:
        """Append rows with one system call. Floats have six decimals at most."""
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows([_text(cell) for cell in row] for row in rows)
        if text := lines.getvalue():
            os.write(self._descriptor, text.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:.6f}".rstrip("0").rstrip(".") if isinstance(cell, float) else str(cell)
