"""Draws the page of what was measured, while nothing is measured: ``python -m bench report`` as its own process."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bench.planning import catalogue
from bench.results import files
from bench.results.control_messages import FiguresReady, FiguresRecord, ReportReady
from bench.running.control_channel import ControlChannel
from bench.running.processes import Process, StartError, start
from bench.web.measurement import trial_id

FIGURES, LOG = "figures.json", "report.log"
"""In the run's folder while its page is drawn. The log stays where drawing failed."""


class BackgroundReport:
    """One run at a time. A measurement comes first: a report that it interrupts is drawn again after it."""

    def __init__(self) -> None:
        self._waiting: list[Path] = []
        self._process: Process | None = None
        self._figures_sent = False

    def request(self, run: Path) -> None:
        """Draw ``run`` next."""
        self.pause()
        self._waiting = [run, *(other for other in self._waiting if other != run)]

    def pause(self) -> None:
        """Stop drawing."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    close = pause

    def advance(self, channel: ControlChannel) -> None:
        """Start what waits, and tell Locust of figures and pages that are ready."""
        if not self._waiting:
            return
        run = self._waiting[0]
        if self._process is None:
            self._start(run)
            return
        ended = self._process.poll() is not None
        if not self._figures_sent and (run / FIGURES).is_file():
            self._figures_sent = True
            channel.send(_figures(run))
            (run / FIGURES).unlink()
        if ended:
            self.pause()
            self._waiting.pop(0)
            if (run / "index.html").is_file():
                (run / LOG).unlink()
                channel.send(ReportReady(run.name))

    def _start(self, run: Path) -> None:
        (run / FIGURES).unlink(missing_ok=True)
        self._figures_sent = False
        command = [sys.executable, "-m", "bench", "report", str(run), "--trials", str(run / FIGURES)]
        with suppress(StartError):  # tried again at the next call
            self._process = start(command, name="report", log=run / LOG, cwd=catalogue.ROOT)


def _figures(run: Path) -> FiguresReady:
    trials = files.read_record(run / FIGURES, FiguresRecord).trials
    return FiguresReady(tuple(replace(t, id=trial_id(run, t.scenario, t.variant, t.round)) for t in trials))
