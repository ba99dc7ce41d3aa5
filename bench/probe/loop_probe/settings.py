"""ProbeSettings, from environment variables. They are taken away as they are read: the app's own children know nothing."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import NamedTuple

APP = "LOOP_PROBE_APP"
"""What to serve, as uvicorn is told it: ``module:attribute``."""
FACTORY = "LOOP_PROBE_FACTORY"
"""``1`` when that is a factory (uvicorn's own ``--factory``)."""
FOLDER = "LOOP_PROBE_FOLDER"
"""Where server-<pid>.csv and stalls-<pid>.csv go. The current folder by default."""
CODE = "LOOP_PROBE_CODE"
"""Folders of the app's own code, between ``os.pathsep``: blame goes to the deepest frame there. The current one by
default. Installed packages inside of them are never the app's own; a folder that is one of these is."""
THRESHOLD_MS = "LOOP_PROBE_THRESHOLD_MS"
START_UP = "LOOP_PROBE_START_UP"
"""``1`` to charge stalls while the app starts, too, which keep nobody waiting who has been served before."""

DEFAULT_THRESHOLD_MS = 25.0
"""A loop that is late by more than this is stalled. A call of 50 ms, the guide's own example, must be caught although
up to a beat (20 ms) of it has passed when it is noticed; and a healthy turn of the loop with 50 trivial requests takes
15 ms. There is no truth here."""

HERE = str(Path(__file__).resolve().parent.parent)


class ProbeSettings(NamedTuple):
    """What the probe was told."""

    app: str
    factory: bool
    folder: str
    code: tuple[str, ...]
    threshold_s: float
    start_up: bool


def take(environ: MutableMapping[str, str], path: list[str]) -> ProbeSettings | None:
    """Read the settings and remove them, and the probe's folder, from the environment and from ``sys.path``.

    None when they are not there. Workers that uvicorn spawns are not affected: its parent process imports no app.
    """
    values = {name: environ.pop(name, "") for name in (APP, FACTORY, FOLDER, CODE, THRESHOLD_MS, START_UP)}
    if not values[APP]:
        return None
    _leave_path(environ, path)
    return ProbeSettings(
        values[APP],
        values[FACTORY] == "1",
        str(Path(values[FOLDER] or ".").resolve()),
        tuple(str(Path(folder).resolve()) for folder in (values[CODE] or ".").split(os.pathsep)),
        float(values[THRESHOLD_MS] or DEFAULT_THRESHOLD_MS) / 1000,
        values[START_UP] == "1",
    )


def _leave_path(environ: MutableMapping[str, str], path: list[str]) -> None:
    path[:] = [entry for entry in path if not _is_ours(entry)]
    entries = environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in entries if not _is_ours(entry)]
    if len(kept) == len(entries):
        return
    if kept:
        environ["PYTHONPATH"] = os.pathsep.join(kept)
    else:
        del environ["PYTHONPATH"]


def _is_ours(entry: str) -> bool:
    return entry != "" and os.path.realpath(entry) == HERE
