"""Has a real Locust take turns, as the harness does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from harness import ROOT

from bench.results.control_messages import RunTurns, TurnsDone
from bench.results.schema import TrialFacts
from bench.running.control_channel import ControlChannel

MAX_LOCUST_S = 60.0
"""How long a run may take. Generous: it is no measurement."""


def locust_environment() -> dict[str, str]:
    """This process's environment without options of Locust."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}


def take_turns(turns: RunTurns, *options: str) -> Mapping[str, TrialFacts]:
    """Start Locust headless with ``options``, send it the turns, and return the facts by variant."""
    with ControlChannel() as channel:
        command = [sys.executable, "-m", "locust", "--headless", *options, "--control-fd", str(channel.fd)]
        with subprocess.Popen(
            command, cwd=ROOT, env=locust_environment(), stderr=subprocess.PIPE, text=True, pass_fds=(channel.fd,)
        ) as process:
            channel.handed_over()
            channel.send(turns)
            message = channel.receive(MAX_LOCUST_S)
            _, complaints = process.communicate(timeout=MAX_LOCUST_S)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints, complaints
    assert isinstance(message, TurnsDone), message
    return message.facts
