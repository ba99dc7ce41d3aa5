"""The probe's settings, from environment variables.

The variables are removed as they are read, so that the app and its child processes do not see them.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import NamedTuple

APP = "LOOP_PROBE_APP"
"""The app to serve, as uvicorn takes it: ``module:attribute``."""
FACTORY = "LOOP_PROBE_FACTORY"
"""``1`` if that is a factory (uvicorn's own ``--factory``)."""
FOLDER = "LOOP_PROBE_FOLDER"
"""Folder for server-<pid>.csv and stalls-<pid>.csv. Default: the current folder."""
CODE = "LOOP_PROBE_CODE"
"""Folders of the app's own code, separated by ``os.pathsep``. Default: the current folder. The deepest frame in them is
blamed. Packages installed inside such a folder are not the app's own code, unless the folder is the package itself."""
THRESHOLD_MS = "LOOP_PROBE_THRESHOLD_MS"
"""Minimum lag of a stall, in milliseconds."""
START_UP = "LOOP_PROBE_START_UP"
"""``1`` to record stalls during start-up, too. They delay no request, so they are left out by default."""

RECORD = "LOOP_PROBE_RECORD"
"""File to record the app's requests in. Not while anything is measured: it takes time from every request."""

DEFAULT_THRESHOLD_MS = 25.0
"""Below 50 ms minus one heartbeat interval (20 ms), so that a call of 50 ms is always found; above the 15 ms that a
healthy loop takes for one iteration with 50 trivial requests. A choice, not a measurement."""

PROBE_FOLDER = str(Path(__file__).resolve().parent.parent)


class ProbeSettings(NamedTuple):
    """The settings, with absolute paths."""

    app: str
    factory: bool
    folder: str
    code: tuple[str, ...]
    threshold_s: float
    start_up: bool
    record: str


def take(environ: MutableMapping[str, str], path: list[str]) -> ProbeSettings | None:
    """Read the settings, and remove them and the probe's folder from ``environ`` and from ``path`` (``sys.path``).

    Returns None if no app is named. Workers that uvicorn spawns still get the variables: its parent process does not
    import the app.
    """
    values = {name: environ.pop(name, "") for name in (APP, FACTORY, FOLDER, CODE, THRESHOLD_MS, START_UP, RECORD)}
    if not values[APP]:
        return None
    _remove_probe_folder(environ, path)
    return ProbeSettings(
        values[APP],
        values[FACTORY] == "1",
        str(Path(values[FOLDER] or ".").resolve()),
        tuple(str(Path(folder).resolve()) for folder in (values[CODE] or ".").split(os.pathsep)),
        float(values[THRESHOLD_MS] or DEFAULT_THRESHOLD_MS) / 1000,
        values[START_UP] == "1",
        values[RECORD],
    )


def _remove_probe_folder(environ: MutableMapping[str, str], path: list[str]) -> None:
    path[:] = [entry for entry in path if not _is_probe_folder(entry)]
    entries = environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in entries if not _is_probe_folder(entry)]
    if len(kept) == len(entries):
        return
    if kept:
        environ["PYTHONPATH"] = os.pathsep.join(kept)
    else:
        del environ["PYTHONPATH"]


def _is_probe_folder(entry: str) -> bool:
    return entry != "" and os.path.realpath(entry) == PROBE_FOLDER
