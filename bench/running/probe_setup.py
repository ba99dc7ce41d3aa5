"""The harness's side of the probe: how a server is started with it, and whether it wrote what it should.

This is what a user could type, in the folder that holds ``apps``:

    PYTHONPATH=bench/probe LOOP_PROBE_APP=apps.blocking.awaited:app LOOP_PROBE_FOLDER=/tmp/seen \\
        uvicorn --factory loop_probe:app --app-dir .

Only the probe's folder is on the app's path, nothing else of this repository.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.results.schema import HeldLineRecord, TurnRecord

PROBE_FOLDER = Path(__file__).resolve().parent.parent / "probe"
"""The folder that holds the probe and nothing else."""

FACTORY_ARGS = ("--factory", "loop_probe:app")
"""Arguments for uvicorn in place of the app."""

MAX_SILENCE_S = 2.0
"""How much older than the end of the last turn the probe's last row may be. C code that holds the interpreter lock
(0.5 s seen) keeps the probe from writing, for longer on a machine that swaps. A probe that failed writes no more."""


MIN_HELD_SHARE = 0.5
"""Of the measured time, for a line to be named as what kept a server from answering."""


@dataclass(frozen=True)
class WatchedApp:
    """What the probe has to know of the app."""

    target: str
    code_folders: tuple[Path, ...]
    """Folders whose code is blamed."""
    factory: bool = False
    """Whether the target is a function that returns the app."""
    watch_start_up: bool = False
    """Whether to record stalls while the app starts, too."""
    record: str = ""
    """File to record requests in; empty while anything is measured."""


def environment(base: Mapping[str, str], app: WatchedApp, folder: Path) -> dict[str, str]:
    """``base`` and the variables for the probe to serve ``app`` and to write into ``folder``."""
    path = os.pathsep.join(filter(None, (str(PROBE_FOLDER), base.get("PYTHONPATH", ""))))
    settings = {
        "LOOP_PROBE_APP": app.target,
        "LOOP_PROBE_FOLDER": str(folder),
        "LOOP_PROBE_CODE": os.pathsep.join(map(str, app.code_folders)),
        **({"LOOP_PROBE_FACTORY": "1"} if app.factory else {}),
        **({"LOOP_PROBE_START_UP": "1"} if app.watch_start_up else {}),
        **({"LOOP_PROBE_RECORD": app.record} if app.record else {}),
    }
    return {**base, "PYTHONPATH": path, **settings}


def missing_telemetry(folder: Path, turns: Sequence[TurnRecord], workers: int) -> str | None:
    """Why the probe's files in ``folder`` do not cover the measured ``turns``. None when they do.

    Each of the server's ``workers`` must have a file with rows within the turns, up to their end.
    """
    measured = [(turn.warm_until_s, turn.end_s) for turn in turns if turn.pass_number > 0]
    files = sorted(folder.glob("server-*.csv"))
    if not files:
        return "telemetry missing: the probe wrote no samples; see the server's log"
    if not measured:
        return None
    if len(files) > workers:
        return (
            f"{len(files) - workers} of the server's workers ended while it was measured, and others took their place"
        )
    covering = sum(_covers(_row_times_s(file), measured) for file in files)
    if covering >= workers:
        return None
    return f"telemetry missing: the samples of {covering} of {workers} worker(s) cover the turns"


@dataclass(frozen=True)
class Holder:
    """The line that held the event loop for most of the measured time."""

    line: HeldLineRecord
    measured_s: float

    @property
    def words(self) -> str:
        """``shop/db.py:12 (report in time.sleep) held the event loop for 2.9 of 3.0 s``."""
        line = self.line
        call = f" in {line.callee}" if line.callee else ""
        held = f"held the event loop for {line.stalled_s:.1f} of {self.measured_s:.1f} s"
        return f"{line.file}:{line.line} ({line.function}{call}) {held}"


def holder_of_the_loop(folder: Path, turns: Sequence[TurnRecord]) -> Holder | None:
    """The line that held the event loop for most of the measured turns; None when no line did.

    For a trial in which nothing was answered. Of several workers it is the one that was held longest.
    """
    measured = [(turn.warm_until_s, turn.end_s) for turn in turns if turn.pass_number > 0]
    measured_s = sum(end_s - begin_s for begin_s, end_s in measured)
    held_s: dict[tuple[str, str, int, str, str], float] = defaultdict(float)
    for file in folder.glob("stalls-*.csv"):
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                at_s, stalled_s = float(row["at_s"]), float(row["stalled_ms"] or 0) / 1000
                if row["kind"] == "loop" and row["line"] and any(start <= at_s <= end for start, end in measured):
                    place = (file.name, row["file"], int(row["line"]), row["function"], row["callee"] or "")
                    held_s[place] += stalled_s
    if not held_s:
        return None
    (_, source, line, function, callee), longest_s = max(held_s.items(), key=lambda item: item[1])
    if longest_s < MIN_HELD_SHARE * measured_s:
        return None
    return Holder(HeldLineRecord(source, line, function, callee, longest_s), measured_s)


def _covers(times_s: list[float], measured: list[tuple[float, float]]) -> bool:
    within = any(begin_s <= at_s <= end_s for at_s in times_s for begin_s, end_s in measured)
    return within and times_s[-1] >= measured[-1][1] - MAX_SILENCE_S


def _row_times_s(file: Path) -> list[float]:
    """When each complete row was written. A row that was cut short lacks its last columns."""
    with file.open(encoding="utf-8", newline="") as lines:
        return [float(row["at_s"]) for row in csv.DictReader(lines) if row.get("in_flight") is not None]
