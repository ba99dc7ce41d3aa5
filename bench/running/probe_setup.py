"""How the harness starts a server with the probe in it, and whether the probe saw what it was to see.

What anybody could type, in the folder that holds ``apps``:

    PYTHONPATH=bench/probe LOOP_PROBE_APP=apps.blocking.awaited:app LOOP_PROBE_FOLDER=/tmp/seen \\
        uvicorn --factory loop_probe:app --app-dir .

The probe's folder is on the app's path alone: nothing else of this repository is.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ON_PATH = Path(__file__).resolve().parent.parent / "probe"
"""The folder that holds the probe and nothing else."""

FACTORY_WORDS = ("--factory", "loop_probe:app")
"""What uvicorn is given instead of the app."""

LATEST_S = 2.0
"""The probe's last row may be so much older than the last turn's end: C code that keeps the interpreter lock (0.5 s
seen) keeps it from writing, on a machine that also swaps for longer. One that failed is silent from then on."""


def environment(
    base: Mapping[str, str],
    app: str,
    folder: Path,
    code: Iterable[Path],
    *,
    factory: bool = False,
    start_up: bool = False,
) -> dict[str, str]:
    """``base`` and what the probe needs: to serve ``app``, write into ``folder``, and blame code below ``code``.

    ``factory``: the app is a function that makes it. ``start_up``: stalls while it starts are charged, too.
    """
    path = os.pathsep.join(filter(None, (str(ON_PATH), base.get("PYTHONPATH", ""))))
    settings = {
        "LOOP_PROBE_APP": app,
        "LOOP_PROBE_FOLDER": str(folder),
        "LOOP_PROBE_CODE": os.pathsep.join(map(str, code)),
        **({"LOOP_PROBE_FACTORY": "1"} if factory else {}),
        **({"LOOP_PROBE_START_UP": "1"} if start_up else {}),
    }
    return {**base, "PYTHONPATH": path, **settings}


def missing_telemetry(folder: Path, turns: list[dict[str, Any]], workers: int) -> str | None:
    """Why what the probe wrote into ``folder`` does not cover the measured ``turns``; None when it does.

    Each of the server's ``workers`` must have a file with rows within the turns, until their end.
    """
    measured = [(turn["warm_until_s"], turn["end_s"]) for turn in turns if turn["rotation"] > 0]
    files = sorted(folder.glob("server-*.csv"))
    if not files:
        return "telemetry missing: the probe wrote no samples; the server's log says why"
    if not measured:
        return None
    covering = sum(_covers(_times(file), measured) for file in files)
    if covering >= workers:
        return None
    return f"telemetry missing: the samples of {covering} of {workers} worker(s) cover the turns"


def _covers(times: list[float], measured: list[tuple[float, float]]) -> bool:
    within = any(begin <= at <= end for at in times for begin, end in measured)
    return within and times[-1] >= measured[-1][1] - LATEST_S


def _times(file: Path) -> list[float]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [float(row["at_s"]) for row in csv.DictReader(lines) if row.get("in_flight") is not None]
