"""One measurement a machine and user: two at once would disturb each other, whatever folders they write to.

    with hold_machine("bench blocking into /home/me/results/monday", wait=False, say=print):
        ...

The lock is a file in the user's home folder, so it is the same for every clone, installation and results folder. The
kernel releases it when the process ends, SIGKILL included (flock(2)). The file says who holds it.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.model.errors import UsageError

POLL_S = 0.5
MAX_HOLDER_CHARS = 300


@contextmanager
def hold_machine(what: str, wait: bool = False, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock. ``what`` describes this measurement to others.

    UsageError while another measurement holds it; with ``wait`` it waits for the end of that, and says so.
    """
    lock = _open(lock_file())
    try:
        waiting = False
        while not _locked(lock):
            holder = _holder(lock)
            if not wait:
                raise UsageError(
                    f"another measurement is running on this machine ({holder}), and two at once disturb each other: "
                    "end it, or wait for it with --wait"
                )
            if not waiting:
                say(f"waiting for another measurement to end: {holder}")
                waiting = True
            time.sleep(POLL_S)
        _write_holder(lock, f"{what}, process {os.getpid()}, since {time.strftime('%H:%M:%S')}")
        yield
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def lock_file() -> Path:
    """The file. It lies in the temporary folder where the home folder cannot be written to, as in some containers."""
    temporary = Path(tempfile.gettempdir()) / f"async-bench-lock-{os.geteuid()}"
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)  # not $HOME, which may differ between two shells of one user
        folders = [home / ".cache" / "async-bench", temporary]
    except KeyError:  # a container may run as a user that nobody has entered
        folders = [temporary]
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and _is_ours(folder):
            return folder / "measuring"
    raise UsageError(
        "no folder for the lock of measurements: neither the home nor the temporary folder can be written to"
    )


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of this user. In the temporary folder somebody else could have made it, or a link."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _open(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UsageError(f"the lock of measurements cannot be opened: {file}: {error.strerror}") from None


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> str:
    text = os.pread(lock, MAX_HOLDER_CHARS, 0).decode(errors="replace")
    return "".join(each if each.isprintable() else "?" for each in text) or "which has just begun"


def _write_holder(lock: int, text: str) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, text[:MAX_HOLDER_CHARS].encode(errors="replace"), 0)
