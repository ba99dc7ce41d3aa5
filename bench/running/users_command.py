"""Runs a command of the user's own: one that drives the app, or one that puts its data back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from bench.model.errors import UsageError
from bench.running.environment import of_own_app
from bench.running.log_tail import tail
from bench.running.processes import StartError, start
from bench.running.redaction import redactor_of_own_app
from bench.running.temporary import OwnedFolder

URL = "ASYNC_BENCH_URL"
"""Variable in which the command finds the app's address. ``{url}`` in its words is replaced by it, too."""


def run_users_command(
    command: str, folder: Path, environment: Mapping[str, str], within_s: float, url: str = ""
) -> tuple[int, str]:
    """Run ``command`` in ``folder`` until it ends. Its exit status, and the last line of what it printed.

    The words are split as a shell does it, but no shell runs. UsageError when it cannot be started, or does not end in time.
    """
    redact = redactor_of_own_app(environment)
    words = [word.replace("{url}", url) if url else word for word in shlex.split(command)]
    with OwnedFolder("command") as temporary:
        log = temporary.path / "log"
        variables = {**of_own_app(), **environment, **({URL: url} if url else {})}
        try:
            with start(words, name=words[0] if words else "command", log=log, env=variables, cwd=folder) as process:
                status = process.wait(within_s)
        except StartError as error:
            raise UsageError(f"the command {command!r} cannot be run: {redact(str(error))}") from None
        if status is None:
            raise UsageError(f"the command {command!r} did not end within {within_s:g} s")
        last = tail(log, 1).strip()
    return status, redact(last)
