"""Runs the doctor on the apps in doctor_apps, and reads what it found."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import ROOT, bench
from measuring import undisturbed

APPS = ROOT / "tests" / "support" / "doctor_apps"
SHORT = ("--measure-s", 1)
"""Enough to name a line; figures would want more."""


def blocking_lines(*files: str) -> dict[str, str]:
    """The lines that say BLOCKS, by the word behind: ``{"cpu": "six_faults/blocking.py:55"}``."""
    found = {}
    for file in files:
        for number, line in enumerate((APPS / file).read_text().splitlines(), start=1):
            if match := re.search(r"# BLOCKS (\S+)", line):
                found[match[1]] = f"{file}:{number}"
    return found


@dataclass
class DoctorRun:
    """A finished ``python -m bench doctor``."""

    done: subprocess.CompletedProcess[str]
    run: Path
    content: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        assert (self.run / "doctor.json").is_file(), self.done.stderr
        self.content = json.loads((self.run / "doctor.json").read_text())

    @property
    def lines(self) -> dict[str, list[str]]:
        """Endpoints by the line that is blamed; an empty line where none is."""
        return {
            f"{f['location']['file']}:{f['location']['line']}" if f["location"] else "": f["endpoints"]
            for f in self.content["findings"]
        }

    @property
    def blamed_endpoints(self) -> set[str]:
        return {each["endpoint"] for each in self.content["endpoints"] if each["blamed"]}

    @property
    def problems(self) -> list[str]:
        """Why endpoints could not be measured."""
        return [reason for each in self.content["endpoints"] for reason in each["problems"]]


def doctor_run(results: Path, *arguments: object) -> DoctorRun:
    numbers = itertools.count()

    def measure() -> DoctorRun:
        name = f"r{next(numbers)}"
        return DoctorRun(
            bench("doctor", *arguments, "--results", results, "--run", name, timeout_s=280), results / name
        )

    return undisturbed(measure, lambda found: found.problems, "the doctor")
