"""Carries out the coordinator's instructions in one Locust process, and reports what its users saw."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import gevent

from bench.load.generator_monitor import CpuSample, waited_s
from bench.load.messages import (
    REPORT,
    AllSent,
    BeginTurn,
    CloseTurn,
    EndTurn,
    Finish,
    GeneratorCpu,
    Instruction,
    InstructionDone,
    IntervalReport,
    MeasureTurn,
    Report,
    Shares,
    ShareSchedules,
    TurnDrained,
    UsersJoined,
    send,
)
from bench.load.request import Target
from bench.load.session import LoadSession

DRAIN_POLL_S = 0.002


class Agent:
    """The agent of one process. Its intervals are counted, so that the coordinator knows when it has them all."""

    def __init__(self, runner: Any, session: LoadSession) -> None:
        self._runner = runner
        self._session = session
        self._sent = 0

    def report_all(self) -> None:
        """From now on, send every interval and every sample of this process's CPU."""
        self._session.on_interval = self._send_interval
        self._session.on_cpu = self._send_cpu

    def report_users(self, without_turns: bool = False) -> None:
        """Report the users of this process."""
        self._report(UsersJoined(dict(self._session.user_counts), without_turns))

    def carry_out(self, instruction: Instruction) -> None:
        """Do what the coordinator says."""
        session = self._session
        match instruction:
            case ShareSchedules():
                self._share(instruction.shares)
            case BeginTurn():
                self._share(instruction.shares)
                target = Target(*instruction.target)
                begun_s = session.begin(instruction.turn, target, instruction.stagger_s, instruction.seed)
                self._done(instruction, begun_s)
            case MeasureTurn():
                self._done(instruction, session.measure())
            case EndTurn():
                self._done(instruction, session.end())
                gevent.spawn(self._report_drained, instruction)
            case CloseTurn():
                session.close_turn(instruction.end_s)
            case Finish():
                gevent.spawn(self._finish)

    def _share(self, shares: Shares) -> None:
        mine = shares.get(str(getattr(self._runner, "client_id", "local")), {})
        self._session.share({name: (part, parts) for name, (part, parts) in mine.items()})

    def _done(self, instruction: BeginTurn | MeasureTurn | EndTurn, at_s: float) -> None:
        self._report(InstructionDone(instruction.turn, type(instruction).__name__, at_s, waited_s()))

    def _report_drained(self, instruction: EndTurn) -> None:
        until_s = perf_counter() + instruction.max_drain_s
        while not self._session.drained and perf_counter() < until_s:
            gevent.sleep(DRAIN_POLL_S)
        self._report(TurnDrained(instruction.turn, self._session.drained))

    def _send_interval(self, interval: IntervalReport) -> None:
        self._sent += 1
        self._report(interval)

    def _send_cpu(self, target: str, sample: CpuSample) -> None:
        self._report(GeneratorCpu(target, sample.cpu_cores, sample.stopped_s))

    def _finish(self) -> None:
        self._session.finish()
        self._report(AllSent(self._sent))

    def _report(self, report: Report) -> None:
        send(self._runner, REPORT, report)
