"""Lines of an app that a static check suspects of blocking: ruff's rules ASYNC (flake8-async).

It sees what stands in the source, and so also what no request has reached. It cannot tell whether it matters.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.results.schema import SuspectedRecord

WITHIN_S = 30.0
RULES = "ASYNC"
LEFT_OUT = "ASYNC109,ASYNC110,ASYNC115,ASYNC116"
"""Rules about the style of asynchronous code, as opposed to blocking."""


def suspected_lines(folder: Path) -> Iterator[SuspectedRecord]:
    """The suspected lines of the app in ``folder``. None where ruff is not installed, or does not end."""
    ruff = _ruff()
    if ruff is None:
        return
    command = [ruff, "check", "--isolated", "--no-cache", "--exit-zero", "--quiet", "--output-format", "json"]
    command += ["--select", RULES, "--ignore", LEFT_OUT, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=WITHIN_S, cwd=folder)
        found = json.loads(done.stdout or b"[]")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return
    for each in found:
        if each.get("code"):
            place = Path(each["filename"]).resolve().relative_to(folder.resolve())
            yield SuspectedRecord(str(place), int(each["location"]["row"]), str(each["code"]), str(each["message"]))


def _ruff() -> str | None:
    beside = Path(sys.executable).with_name("ruff")
    return str(beside) if beside.is_file() else shutil.which("ruff")
