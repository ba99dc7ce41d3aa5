"""What managed services share: a process tree with a supervisor, a temporary folder, and a deadline for readiness."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.running.environment import of_catalogue
from bench.running.processes import Process, start
from bench.running.services import ServiceError
from bench.running.services.run_unprivileged import PRIVATE, PRIVATE_VARIABLE, SERVER
from bench.running.temporary import OwnedFolder

RUN_UNPRIVILEGED = Path(__file__).resolve().with_name("run_unprivileged.py")
READY_WITHIN_S = 20.0
"""PostgreSQL creates its cluster and starts in 1.5 s, on a busy machine in 5 s."""
POLL_S = 0.02
"""How often a service is checked while it starts."""
PASSWORD_BYTES = 24


def new_password() -> str:
    """A random password. Without one, every user of this machine could use the server."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


class ServiceFolder:
    """A temporary folder for one server. run_unprivileged.py makes ``path`` in it, for the server's user alone.

    That user may pass through the outer folder and cannot list it.
    """

    def __init__(self, name: str) -> None:
        self._owned = OwnedFolder(name, mode=0o711)
        self.outer = self._owned.path
        self.path = self.outer / SERVER
        self.private = self.path / PRIVATE
        """The file with the private content."""

    def remove(self) -> None:
        """Remove it. On a busy machine run_unprivileged.py may be killed before the server has ended."""
        self._owned.remove()


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
    private: str
    """Content of the private file."""
    folders: Sequence[str]
    """Folders in ``packages_folder()`` that they need. Those that do not exist are skipped."""


def start_unprivileged(
    name: str, folder: ServiceFolder, programs: ServerPrograms, log: Path, cores: tuple[int, ...] | None
) -> Process:
    """Run ``programs`` in ``folder``, as an unprivileged user if this is root. See run_unprivileged.py."""
    packages = packages_folder()
    root = folder.path if is_root() else packages
    copied = [each for each in programs.folders if (packages / each).is_dir()] if is_root() else []
    words = [str(word) for program, *arguments in programs.commands for word in ("--", root / program, *arguments)][1:]
    command = [
        sys.executable,
        "-I",
        "-S",
        "-E",
        str(RUN_UNPRIVILEGED),
        str(folder.outer),
        str(packages),
        ":".join(copied),
    ]
    env = {**of_catalogue(), PRIVATE_VARIABLE: programs.private}
    return start([*command, *words], name=name, log=log, env=env, cores=cores)


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
