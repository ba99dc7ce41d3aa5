"""Environment variables of the programs that the harness starts: what each needs, and nothing of the harness's.

A program of the catalogue gets a short list of variables, so that neither its speed nor its log depends on what else the
user's shell has set. A user's own app needs the user's variables; it gets all but those that belong to the harness.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

NEEDED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "VIRTUAL_ENV"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONNOUSERSITE"),
    }
)
"""Variables that any program may need: to find programs and libraries, for time and language, and Python's own."""
NEEDED_PREFIX = "LC_"

OF_THE_HARNESS = ("BENCH_", "LOCUST_", "UVICORN_", "LOOP_PROBE_", "NOX_")
"""Prefixes of variables that configure the harness, or that would change a server or the load unnoticed."""
CHANGES_A_SERVER = frozenset({"WEB_CONCURRENCY"})
"""The same for single variables. uvicorn takes its number of workers from this one."""

UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
"""A log must be complete when its program is killed."""


def of_catalogue(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for programs that the harness brings along: the catalogue's apps, services, Locust."""
    base = os.environ if base is None else base
    return {k: v for k, v in base.items() if k in NEEDED or k.startswith(NEEDED_PREFIX)} | UNBUFFERED


def of_own_app(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for a user's own app or locustfile: the user's, without those of the harness."""
    base = os.environ if base is None else base
    kept = {k: v for k, v in base.items() if not k.startswith(OF_THE_HARNESS) and k not in CHANGES_A_SERVER}
    return kept | UNBUFFERED
