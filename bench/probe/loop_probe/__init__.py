"""Monitors the event loop of a uvicorn worker: measures its lag and finds the line that blocks it.

    PYTHONPATH=bench/probe LOOP_PROBE_APP=shop:app LOOP_PROBE_FOLDER=/tmp/telemetry uvicorn --factory loop_probe:app

The package runs in the app's environment: it needs only the standard library (and the uvicorn that imports it), and its
folder holds nothing else. Every uvicorn worker imports it and calls ``app``, which starts a monitoring thread and
returns the real app, unwrapped. So a request costs nothing extra (unless requests are recorded, see recording.py).

| module | what is in it |
|---|---|
| probe_settings.py | the environment variables |
| app_loader.py | imports the app as uvicorn does |
| monitor.py | the monitoring thread |
| heartbeat.py | the callback that measures the loop's lag; the only data that two threads share |
| sampling.py | one frozen ``Sample`` of the process |
| decisions.py | what follows from a sample; pure functions |
| blame.py, stacks.py | which code delays the loop |
| attribution.py | how much time each piece of code is charged with; pure |
| meters.py, uvicorn_server.py | what is read from the system and from uvicorn |
| csv_files.py | the two files |
| recording.py | records requests, only where that is asked for |

The app is imported when this package is imported. uvicorn does that outside the event loop wherever it does so for any
app, so an app may call ``asyncio.run`` in its module. The time it takes is not blamed on anything.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from . import app_loader, probe_settings
from .monitor import attach
from .recording import Recorder

_settings = probe_settings.take(os.environ, sys.path)
_target = app_loader.load(_settings.app) if _settings is not None else None


def app() -> Any:
    """Build the app, as uvicorn would, and monitor the running loop from now on."""
    if _settings is None:
        sys.exit(f"loop_probe: set {probe_settings.APP} to the app, as module:attribute")
    built = app_loader.build(_target, _settings.factory)
    attach(_settings)
    return Recorder(built, _settings.record) if _settings.record else built
