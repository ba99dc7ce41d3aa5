"""Where each results file is. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

TRIAL_FILES = ("requests.hlog", "counts.csv")
"""What the load generator writes into a trial's folder."""

PROBE_FILES = ("server-*.csv", "stalls-*.csv")
"""What the probe writes there, two files a worker process, until the server has stopped."""


def trial_folder(run: Path, scenario: str, variant: str, load: str, round_number: int) -> Path:
    """The folder of one trial."""
    return run / scenario / variant / load / str(round_number)


def logs_folder(run: Path, scenario: str) -> Path:
    """The folder of the files that each group has once: Locust's log and the group's file."""
    return run / scenario / "logs"


def point_latest(results: Path, run: Path) -> None:
    """Make ``results/latest`` point to ``run``; where links cannot be made, leave it."""
    link = results / "latest"
    temporary = results / f".latest-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(run.name)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)
