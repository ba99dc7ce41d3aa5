"""The control channel between the harness and Locust, with a real process on the other end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from harness import ROOT, until

from bench.results.control_messages import (
    LoadFailed,
    MeasurementCancelled,
    MeasurementRequested,
    PlannedTurn,
    RunTurns,
    ServerStopping,
    TargetRecord,
    TurnsDone,
)
from bench.running.control_channel import ControlChannel
from bench.running.processes import Process, Program, start_program

ECHO = """
import sys
from bench.load.harness_channel import HarnessChannel
from bench.results.control_messages import MeasurementRequested, RunTurns, TurnsDone
channel = HarnessChannel(int(sys.argv[1]))
for message in channel:
    if isinstance(message, RunTurns):
        channel.send(MeasurementRequested(message.targets[0].variant, message.seed, None))
    else:
        channel.send(TurnsDone({}))
        break
"""
TURNS = RunTurns((TargetRecord("fine", "http://127.0.0.1:1", "/nowhere"),), (PlannedTurn("fine", 1, 0.5, 1.0),), seed=7)


def locust(program: str, channel: ControlChannel, folder: Path) -> Process:
    """A process that inherits the other end."""
    command = [sys.executable, "-c", program, str(channel.fd)]
    process = start_program(Program(command, "locust", folder / "log", cwd=ROOT, pass_fds=(channel.fd,)))
    channel.handed_over()
    return process


def test_messages_go_both_ways_until_the_other_side_ends(tmp_path: Path) -> None:
    with ControlChannel() as channel, locust(ECHO, channel, tmp_path) as process:
        channel.send(TURNS)
        assert channel.receive(60) == MeasurementRequested("fine", 7, None)
        assert channel.receive(0) is None
        channel.send(ServerStopping())
        assert channel.receive(60) == TurnsDone({})
        assert process.wait(60) == 0
        assert channel.receive(60) is None
        assert channel.ended
        channel.send(TURNS)  # to nobody


def test_the_channel_ends_with_the_process_even_when_it_is_killed(tmp_path: Path) -> None:
    with ControlChannel() as channel, locust("import time; time.sleep(600)", channel, tmp_path) as process:
        assert channel.receive(0.05) is None
        assert not channel.ended
        process.stop()
        until(lambda: channel.receive(0.1) is None and channel.ended, "the channel has ended")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("garbage", "cannot be read"),
        ('{"kind": "server_stopping"}', "not for the harness"),
        ('{"kind": "turns_done", "facts": 3}', "cannot be read"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_line_that_is_no_message_fails_the_load(sent: str, reason: str, tmp_path: Path) -> None:
    program = f"import os, sys; os.write(int(sys.argv[1]), {sent.encode('latin-1')!r} + b'\\n')"
    with ControlChannel() as channel, locust(program, channel, tmp_path):
        message = channel.receive(60)
    assert isinstance(message, LoadFailed)
    assert reason in message.reason


def test_a_message_may_come_in_pieces(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\nfor part in (b'{\"kind\": \"measurement', b'_cancelled\"}\\n{', b'\"kind\": 1'):\n"
        "    os.write(int(sys.argv[1]), part); time.sleep(0.05)"
    )
    with ControlChannel() as channel, locust(program, channel, tmp_path):
        assert channel.receive(60) == MeasurementCancelled()
        assert channel.receive(0.5) is None  # the rest is no whole line
