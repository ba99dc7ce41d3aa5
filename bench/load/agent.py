"""Does on this process's stage what the conductor says, and reports back."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import gevent

from bench.load.generator_monitor import CpuSample
from bench.load.messages import REPORT
from bench.load.request import Target
from bench.load.session import LoadSession
from bench.load.trial_recorder import IntervalReport

QUIET_EVERY_S = 0.002


class Agent:
    """One process's side of a lineup. Batches are numbered, so that the conductor knows when it has them all."""

    def __init__(self, runner: Any, stage: LoadSession) -> None:
        self._runner = runner
        self._stage = stage
        self._sent = 0

    def report_all(self) -> None:
        """From now on, send every interval and every sample of this process's CPU."""
        self._stage.on_interval = self._send_interval
        self._stage.on_load = self._send_load

    def joined(self, by_hand: bool = False) -> None:
        """Say who is here; ``by_hand``, without a lineup, the answer is this process's share of the timetables."""
        self._report(kind="joined", users=dict(self._stage.players), by_hand=by_hand)

    def obey(self, message: dict[str, Any]) -> None:
        """Do what a message of the conductor says."""
        match message["act"]:
            case "share":
                self._share(message["shares"])
            case "begin":
                self._share(message["shares"])
                target = Target(*message["target"])
                self._edge(message, self._stage.begin(message["turn"], target, message["stagger_s"], message["seed"]))
            case "measure":
                self._edge(message, self._stage.measure())
            case "end":
                self._edge(message, self._stage.end())
                gevent.spawn(self._wait_quiet, message["turn"], message["within_s"])
            case "close":
                self._stage.close_turn(message["end_s"])
            case "finish":
                gevent.spawn(self._finish)

    def _share(self, shares: dict[str, dict[str, tuple[int, int]]]) -> None:
        mine = shares.get(self._client_id, {})
        self._stage.share({name: (part, parts) for name, (part, parts) in mine.items()})

    @property
    def _client_id(self) -> str:
        return str(getattr(self._runner, "client_id", "local"))

    def _edge(self, message: dict[str, Any], at_s: float) -> None:
        self._report(kind="edge", turn=message["turn"], act=message["act"], at_s=at_s)

    def _wait_quiet(self, turn: int, within_s: float) -> None:
        until_s = perf_counter() + within_s
        while not self._stage.quiet and perf_counter() < until_s:
            gevent.sleep(QUIET_EVERY_S)
        self._report(kind="quiet", turn=turn, quiet=self._stage.quiet)

    def _send_interval(self, interval: IntervalReport) -> None:
        self._sent += 1
        self._report(kind="interval", interval=interval.message())

    def _send_load(self, target: str, load: CpuSample) -> None:
        self._report(kind="load", target=target, cpu_cores=load.cpu_cores, waiting_share=load.waiting_share)

    def _finish(self) -> None:
        self._stage.finish()
        self._report(kind="finished", intervals=self._sent)

    def _report(self, **content: Any) -> None:
        self._runner.send_message(REPORT, content)
