"""Temporary folders that know their owner, so that those of a killed process can be removed by the next start.

    with OwnedFolder("group") as folder:
        (folder.path / "tmp").mkdir()

    remove_left_behind()        # when a command starts

A folder is called ``async-bench-<kind>-…`` and lies in the machine's temporary folder. In it is a file ``owner`` that
its process holds locked (flock(2)). The kernel releases the lock when the process ends, SIGKILL included, so a folder
whose file is not locked has no owner any more. A process id would not tell: it may belong to another process by now, or
to another container that shares the folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

PREFIX = "async-bench-"
OWNER = "owner"


class OwnedFolder:
    """A new temporary folder that only this user may enter. Removed by ``remove``, or at the end of ``with``."""

    def __init__(self, kind: str, mode: int = 0o700) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))
        # Locked before it has its name, so that nobody ever finds the file without its lock.
        unnamed = self.path / f".{OWNER}"
        self._lock = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(self.path / OWNER)
        self.path.chmod(mode)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()

    def folder(self, name: str) -> Path:
        """A new folder in it."""
        made = self.path / name
        made.mkdir()
        return made

    def remove(self) -> None:
        """Remove it with everything in it. Idempotent."""
        if self._lock < 0:
            return
        try:
            shutil.rmtree(self.path, ignore_errors=True)
        except BaseException:  # Ctrl-C while it is being removed
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        finally:
            os.close(self._lock)
            self._lock = -1


def remove_left_behind() -> list[Path]:
    """Remove this user's folders whose process has ended. Returns them."""
    return [path for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if _is_left_behind(path) and _removed(path)]


def _is_left_behind(path: Path) -> bool:
    """Whether it is a folder of this user that nobody owns any more."""
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return False
        owner = os.open(path / OWNER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(owner)
    return True


def _removed(path: Path) -> bool:
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()
