"""Draws what was measured, by ``python -m bench report`` as a process of its own, while nothing is measured."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

from bench.planning import catalogue
from bench.running.processes import Process, StartError, start
from bench.web.harness_channel import HarnessChannel
from bench.web.measurement import trial_id

TRIALS, LOG = "trials.json", "report.log"
"""In the run's folder while it is drawn; the log stays where there is no page after all."""


class BackgroundReport:
    """One run at a time. A measurement that begins takes precedence: what was interrupted is drawn again after it."""

    def __init__(self) -> None:
        self._wanted: list[Path] = []
        self._process: Process | None = None
        self._told = False

    def want(self, run: Path) -> None:
        """Have ``run`` drawn when there is time."""
        self.pause()
        self._wanted = [run, *(other for other in self._wanted if other != run)]

    def pause(self) -> None:
        """Let go of the processor."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    close = pause

    def look(self, line: HarnessChannel) -> None:
        """Go on, and tell Locust of figures and pages as they come."""
        if not self._wanted:
            return
        run = self._wanted[0]
        if self._process is None:
            self._begin(run)
            return
        ended = self._process.poll() is not None
        if not self._told and (run / TRIALS).is_file():
            self._told = True
            line.say(event="figures", runs=_figures(run))
            (run / TRIALS).unlink()
        if ended:
            self.pause()
            self._wanted.pop(0)
            if (run / "index.html").is_file():
                (run / LOG).unlink()
                line.say(event="drawn", page=run.name)

    def _begin(self, run: Path) -> None:
        (run / TRIALS).unlink(missing_ok=True)
        self._told = False
        command = [sys.executable, "-m", "bench", "report", str(run), "--trials", str(run / TRIALS)]
        with suppress(StartError):  # tried again at the next look
            self._process = start(command, name="report", log=run / LOG, cwd=catalogue.ROOT)


def _figures(run: Path) -> list[dict[str, object]]:
    trials = json.loads((run / TRIALS).read_text(encoding="utf-8"))["trials"]
    return [{**row, "id": trial_id(run, row["scenario"], row["variant"], row["round"])} for row in trials]
