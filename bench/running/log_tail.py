"""The end of a log file."""

from __future__ import annotations

import os
from pathlib import Path

EXCEPTION_LINES = 200
"""Lines of a log in which an exception is looked for."""


def tail(log: Path, lines: int = 40, limit: int = 8000) -> str:
    """The last ``lines`` lines of a log, read from at most its last ``limit`` bytes. Empty if there is no such file.

    Bytes that are not UTF-8 become U+FFFD, since a log may hold anything.
    """
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read(limit).decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def last_exception(log: Path) -> str:
    """The last exception in a log, else its last line."""
    lines = [line.strip() for line in tail(log, EXCEPTION_LINES).splitlines() if line.strip()]
    exceptions = [line for line in lines if line.partition(":")[0].rpartition(".")[2].endswith(("Error", "Exception"))]
    return " ".join((exceptions or lines or ["its log is empty"])[-1].split())
