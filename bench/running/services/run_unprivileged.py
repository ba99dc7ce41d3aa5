"""Runs a server in a temporary folder of its own, and removes the folder when the server has ended.

    python -I -S -E bench/running/services/run_unprivileged.py <folder> <packages> <copied> <program> [argument ...] [-- <program> ...]

``folder`` is made here and must not exist; the programs run one after the other with it as their working folder, and
the last one is the server. ``copied`` are folders of the folder ``packages``, with ``:`` between them, that are copied
into it first under the same names; it may be empty.

Started by the harness through its guard, which takes down this process with everything below it. On the first signals
of the guard's ladder the server shuts down, and this process, which ignores them, waits for that and removes the
folder: so it is gone, too, when the harness itself was killed. What a SIGKILL of *this* process
leaves (the guard's last step, on a machine too busy for a shutdown in 0.8 s), the harness removes. Only where both are
killed does it stay, in the machine's temporary folder, under a name that begins with ``async-bench-``.

Why another user: PostgreSQL refuses to run as root, as which containers are used. Then the programs run as ``nobody``,
who owns nothing but this folder. ``nobody`` may not look into a home where the interpreter's packages lie, so what it
runs is copied here (40 MB, 0.1 s), instead of opening the permissions of somebody's home.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys

UNPRIVILEGED = "nobody"
"""A name is needed: initdb looks its own user up. Every Linux and macOS has this one."""


def own(folder: str) -> dict[str, object]:
    """Give all in ``folder`` to the unprivileged user, and the arguments that run a program as that user."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    for path, folders, files in os.walk(folder):
        for name in (path, *(os.path.join(path, name) for name in (*folders, *files))):
            os.chown(name, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


def commands(arguments: list[str]) -> list[list[str]]:
    """The programs, split where ``--`` stands."""
    found: list[list[str]] = [[]]
    for argument in arguments:
        if argument == "--":
            found.append([])
        else:
            found[-1].append(argument)
    return found


def run(folder: str, packages: str, copied: list[str], programs: list[list[str]]) -> int:
    """Run the programs until one fails or the server ends; its exit status, as a shell gives it."""
    os.mkdir(folder, 0o700)
    try:
        for name in copied:
            shutil.copytree(os.path.join(packages, name), os.path.join(folder, name), symlinks=True)
        user = own(folder)
        os.chdir(folder)
        status = 0
        for program in programs:
            status = subprocess.run(program, check=False, **user).returncode  # type: ignore[call-overload]
            if status:
                break
        return status if status >= 0 else 128 - status
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, not SIG_IGN: what is ignored, a program would inherit.
        signal.signal(number, lambda *_: None)
        place, source, listed, *words = sys.argv[1:]
    sys.exit(run(place, source, list(filter(None, listed.split(":"))), commands(words)))
