"""The probe: sees the event loop of a uvicorn worker while it is frozen, and names the line that froze it.

    PYTHONPATH=bench/probe LOOP_PROBE_APP=shop:app LOOP_PROBE_FOLDER=/tmp/seen uvicorn --factory loop_probe:app

This package runs in an app's own environment: it needs nothing but the standard library, and its folder is on the path
alone. Every uvicorn worker imports it and calls ``app``, which starts a thread beside the loop and returns the app
itself, unwrapped. settings.py has the variables; watch.py is the thread; what it writes is documented in the harness's
store.py (SERVER and STALLS).

The target is imported when this module is: outside of the loop wherever uvicorn imports apps there, so that an app may
call ``asyncio.run`` meanwhile; and whatever that takes is not blame.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from . import settings, target
from .watch import attach

_settings = settings.take(os.environ, sys.path)
_target = target.load(_settings.app) if _settings is not None else None


def app() -> Any:
    """The target's app, as uvicorn would have made it of the target; the loop that runs now is watched from here on."""
    if _settings is None:
        sys.exit(f"loop_probe: {settings.APP} must name the app, as module:attribute")
    built = target.build(_target, _settings.factory)
    attach(_settings)
    return built
