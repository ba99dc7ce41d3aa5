"""What the servers of our own have in common: a tree with a guard, a temporary folder, readiness against a deadline."""

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
from pathlib import Path

from bench.running.processes import Process, start
from bench.running.services import ServiceFailed

TENANT = Path(__file__).resolve().with_name("run_unprivileged.py")
READY_WITHIN_S = 20.0
"""PostgreSQL makes its cluster and starts in 1.5 s, on a busy machine in 5."""
LOOK_EVERY_S = 0.02
PREFIX = "async-bench-"
"""Of temporary folders."""


def temporary_folder(name: str) -> Path:
    """The path of a temporary folder for one server, which tenant.py makes and removes."""
    return Path(tempfile.gettempdir()) / f"{PREFIX}{name}-{secrets.token_hex(6)}"


def remove(folder: Path) -> None:
    """Remove what tenant.py could not: on a busy machine the guard's patience ends before the server has shut down."""
    if folder.name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def packages() -> Path:
    """Where Python's packages are installed, those with servers in them, too."""
    return Path(sysconfig.get_path("platlib"))


def is_root() -> bool:
    """Then servers run as somebody else, on a copy that somebody else can read."""
    return os.geteuid() == 0


def start_tenant(
    name: str,
    folder: Path,
    programs: Sequence[Sequence[str | Path]],
    log: Path,
    cores: tuple[int, ...] | None,
    needed: Sequence[str],
) -> Process:
    """Run ``programs``, one after the other, in ``folder``; see tenant.py.

    The first word of each lies in one of the folders ``needed`` below ``packages()``, and is named from there.
    """
    root = folder if is_root() else packages()
    copied = [one for one in needed if (packages() / one).is_dir()] if is_root() else []
    words = [str(word) for program, *arguments in programs for word in ("--", root / program, *arguments)][1:]
    tenant = [sys.executable, "-I", "-S", "-E", str(TENANT), str(folder), str(packages()), ":".join(copied)]
    return start([*tenant, *words], name=name, log=log, cores=cores)


def wait_listening(process: Process, port: int) -> None:
    """Return when somebody listens on ``port``; ServiceFailed when the process ends first, or never gets there."""
    until_s = time.monotonic() + READY_WITHIN_S
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > until_s:
                raise ServiceFailed(f"did not listen within {READY_WITHIN_S:g} s") from None
            time.sleep(LOOK_EVERY_S)
        else:
            return
    raise ServiceFailed(f"ended with status {process.poll()} while starting")
