"""What managed services share: a process tree with a supervisor, a temporary folder, and a deadline for readiness."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.running.processes import Process, start
from bench.running.services import ServiceError

RUN_UNPRIVILEGED = Path(__file__).resolve().with_name("run_unprivileged.py")
READY_WITHIN_S = 20.0
"""PostgreSQL creates its cluster and starts in 1.5 s, on a busy machine in 5 s."""
POLL_S = 0.02
"""How often a service is checked while it starts."""
PREFIX = "async-bench-"
"""Names of temporary folders begin with it."""


def temporary_folder(name: str) -> Path:
    """Path of a temporary folder for one server. run_unprivileged.py creates and removes it."""
    return Path(tempfile.gettempdir()) / f"{PREFIX}{name}-{secrets.token_hex(6)}"


def remove(folder: Path) -> None:
    """Remove a folder that run_unprivileged.py left: on a busy machine it may be killed before the server has ended."""
    if folder.name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def packages_folder() -> Path:
    """Where Python's packages are installed, those that contain servers included."""
    return Path(sysconfig.get_path("platlib"))


def is_root() -> bool:
    """Whether this is root. Then servers run as another user, from a copy that this user can read."""
    return os.geteuid() == 0


@dataclass(frozen=True)
class ServerPrograms:
    """Programs to run one after the other; the last one is the server."""

    commands: Sequence[Sequence[str | Path]]
    """The first word of each is relative to ``packages_folder()``."""
    folders: Sequence[str]
    """Folders in ``packages_folder()`` that they need. Those that do not exist are skipped."""


def start_unprivileged(
    name: str, folder: Path, programs: ServerPrograms, log: Path, cores: tuple[int, ...] | None
) -> Process:
    """Run ``programs`` in ``folder``, as an unprivileged user if this is root. See run_unprivileged.py."""
    packages = packages_folder()
    root = folder if is_root() else packages
    copied = [each for each in programs.folders if (packages / each).is_dir()] if is_root() else []
    words = [str(word) for program, *arguments in programs.commands for word in ("--", root / program, *arguments)][1:]
    command = [sys.executable, "-I", "-S", "-E", str(RUN_UNPRIVILEGED), str(folder), str(packages), ":".join(copied)]
    return start([*command, *words], name=name, log=log, cores=cores)


def wait_listening(process: Process, port: int) -> None:
    """Return when ``port`` accepts connections. ServiceError if the process ends first, or at the deadline."""
    deadline_s = time.monotonic() + READY_WITHIN_S
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > deadline_s:
                raise ServiceError(f"did not listen within {READY_WITHIN_S:g} s") from None
            time.sleep(POLL_S)
        else:
            return
    raise ServiceError(f"ended with status {process.poll()} while starting")
