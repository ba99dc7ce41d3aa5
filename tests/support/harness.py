"""Shared by tests of the whole harness: the command line as a subprocess, and all of its descendants."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
UGLY = ROOT / "tests" / "support" / "ugly"

PATIENCE_S = 60.0
"""How long a test waits for an event. No test depends on how fast the event comes."""

BUSY_MACHINE = "the generator waited for a core"
"""The one reason that says nothing about the app nor the harness: something else ran on this machine meanwhile."""


def until(happened: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> float:
    """Poll until it has happened, and return the seconds that took. The test fails if it does not happen."""
    begun_s = time.monotonic()
    while not happened():
        assert time.monotonic() < begun_s + within_s, f"not in {within_s:g} s: {what}"
        time.sleep(0.005)
    return time.monotonic() - begun_s


def lives(process: psutil.Process) -> bool:
    """Whether it still runs. A zombie does not, and its pid may belong to another process by now."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def bench(*arguments: object, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
    """Run ``python -m bench ...`` to its end. All of its descendants end with it, also after a time-out."""
    with Bench(*arguments) as started:
        out, err = started.popen.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(started.popen.args, started.popen.returncode, out, err)


class Bench:
    """A running ``python -m bench ...`` in its own session, without a terminal. Killed at the end if it still runs."""

    def __init__(self, *arguments: object, argv: list[str] | None = None, env: Mapping[str, str] | None = None) -> None:
        self._seen: set[psutil.Process] = set()
        self.popen = subprocess.Popen(
            argv or command(*arguments),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200", **(env or {})},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.descendants()
        if self.popen.poll() is None:
            self.popen.kill()
        for process in self._seen:
            if lives(process):
                with suppress(psutil.Error):
                    process.kill()
        self.popen.communicate()

    def descendants(self) -> set[psutil.Process]:
        """All descendants, now and at earlier calls."""
        with suppress(psutil.Error):
            self._seen.update(psutil.Process(self.popen.pid).children(recursive=True))
        return self._seen

    def wait_for(self, happened: Callable[[], bool], what: str) -> None:
        """Poll until it happened; fails at once when the command has ended before."""

        def happened_or_ended() -> bool:
            return happened() or self.popen.poll() is not None

        until(happened_or_ended, what)
        assert happened(), f"it ended with {self.popen.wait()} before: {what}\n{self.popen.communicate()}"

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the process group, as a terminal does on Ctrl-C. Supervisors and their trees are not part of it."""
        os.killpg(self.popen.pid, number)

    def left(self) -> list[psutil.Process]:
        """Descendants that still live."""
        return [process for process in self._seen if lives(process)]


def trial_folder(run: Path, scenario: str, variant: str, number: int = 1) -> Path:
    """The folder of the variant's one load."""
    (folder,) = (run / scenario / variant).glob(f"*/{number}")
    return folder


def trial(run: Path, scenario: str, variant: str, number: int = 1) -> dict[str, Any]:
    """The variant's trial.json."""
    content: dict[str, Any] = json.loads((trial_folder(run, scenario, variant, number) / "trial.json").read_text())
    return content


def reasons(trial: dict[str, Any]) -> list[str]:
    """Why the trial is no evidence, but for what only says that this machine was busy with something else."""
    return [reason for reason in trial["reasons"] if not reason.startswith(BUSY_MACHINE)]
