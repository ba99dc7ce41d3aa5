"""Runs a server in a temporary folder, as an unprivileged user if this is root, and then removes the folder.

    python -I -S -E bench/running/services/run_unprivileged.py <place> <packages> <copied> <program> [argument ...] [-- <program> ...]

``place`` is a folder that was made for this. In it the folder ``server`` is created, for the programs' user alone, and
is their working folder. The content of
the environment variable PRIVATE_FILE is written to the file ``private`` in it, and the variable is removed: a password
must stand neither in a command line nor in an environment that others can read. The programs run one after the other,
and the last one is the server. ``copied`` lists folders in ``packages``, separated by ``:``, that are first copied into
``server`` under the same names. It may be empty.

The harness starts this script through its supervisor, which takes down this process and all of its descendants. On the
supervisor's first signals the server shuts down. This process handles them without ending, waits for the server, and
removes ``place``, also when the harness was killed. If *this* process is killed (the supervisor's last step, when a
shutdown takes more than 0.8 s), the harness removes it. If both are killed, the next start of the harness
removes it (bench/running/temporary.py).

Why another user: PostgreSQL refuses to run as root, and containers often run as root. Then the programs run as
``nobody``, which owns only this folder. ``nobody`` may not be able to read the interpreter's packages in a home folder,
so the programs are copied (40 MB, 0.1 s), and no permissions of a home folder are changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys

SERVER = "server"
PRIVATE, PRIVATE_VARIABLE = "private", "PRIVATE_FILE"

UNPRIVILEGED_USER = "nobody"
"""The user needs a name, since initdb looks it up. Every Linux and macOS has this one."""


def unprivileged(folder: str) -> dict[str, object]:
    """Give ``folder`` and its content to the unprivileged user. Returns subprocess arguments that run as that user."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    for path, folders, files in os.walk(folder):
        for name in (path, *(os.path.join(path, name) for name in (*folders, *files))):
            os.chown(name, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


def commands(arguments: list[str]) -> list[list[str]]:
    """The programs, which ``--`` separates."""
    found: list[list[str]] = [[]]
    for argument in arguments:
        if argument == "--":
            found.append([])
        else:
            found[-1].append(argument)
    return found


def run(place: str, packages: str, copied: list[str], private: str, programs: list[list[str]]) -> int:
    """Run the programs until one fails or the server ends. Returns its exit status as a shell does."""
    folder = os.path.join(place, SERVER)
    try:
        os.mkdir(folder, 0o700)
        with open(os.open(os.path.join(folder, PRIVATE), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(private)
        for name in copied:
            shutil.copytree(os.path.join(packages, name), os.path.join(folder, name), symlinks=True)
        user = unprivileged(folder)
        os.chdir(folder)
        status = 0
        for program in programs:
            status = subprocess.run(program, check=False, **user).returncode  # type: ignore[call-overload]
            if status:
                break
        return status if status >= 0 else 128 - status
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, not SIG_IGN, which the programs would inherit.
        signal.signal(number, lambda *_: None)
        place, source, listed, *words = sys.argv[1:]
    content = os.environ.pop(PRIVATE_VARIABLE, "")
    sys.exit(run(place, source, list(filter(None, listed.split(":"))), content, commands(words)))
