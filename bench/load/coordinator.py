"""Leads all generators of a lineup through its turns, as the harness's file says, and books what they report."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import gevent
from gevent.event import Event

from bench.load.generator_monitor import CpuSample
from bench.load.messages import LEAD
from bench.load.request import Target
from bench.load.session import turn_seed
from bench.load.trial_recorder import IntervalReport, TrialRecorder, TurnRecord

FILE_EVERY_S = 0.01
"""How often the lineup's file is looked for: it appears when the servers are ready."""
FILE_WITHIN_S = 120.0
QUIET_WITHIN_S = 2.0
"""Requests still unanswered so long after their turn are hung up on: the next turn must not wait for ever."""
LAST_QUIET_WITHIN_S = 0.25
"""After the last turn nobody comes who could be disturbed: long enough to tell slow from never."""
REPLY_WITHIN_S = 10.0
"""A generator that has not replied by then is gone, and what it measured with it."""


class AgentLost(Exception):
    """A worker has not replied: what it measured is not known."""


@dataclass(frozen=True)
class LoadPlan:
    """What the harness asks of the generator: servers that are ready, turns, and where each target's files go."""

    targets: dict[str, Target]
    folders: dict[str, Path]
    turns: list[dict[str, Any]]
    seed: int

    @classmethod
    def read(cls, path: Path) -> LoadPlan:
        """From the harness's file."""
        content = json.loads(path.read_text(encoding="utf-8"))
        targets = {t["variant"]: Target.parse(t["url"], t["variant"]) for t in content["targets"]}
        folders = {t["variant"]: Path(t["folder"]) for t in content["targets"]}
        return cls(targets, folders, content["turns"], content["seed"])


def wait_for_file(path: Path) -> LoadPlan:
    """Wait until the harness has written the lineup; TimeoutError when it never does."""
    until_s = perf_counter() + FILE_WITHIN_S
    while not path.exists():
        if perf_counter() > until_s:
            raise TimeoutError(f"no lineup appeared at {path} within {FILE_WITHIN_S:g} s")
        gevent.sleep(FILE_EVERY_S)
    return LoadPlan.read(path)


class Coordinator:
    """Speaks to the stages of all generators: this process's own, or those of Locust's workers."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._ledger: TrialRecorder | None = None
        self._news = Event()
        self._joined: dict[str, dict[str, int]] = {}
        self._edges: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
        self._quiet: dict[int, dict[str, bool]] = defaultdict(dict)
        self._received: dict[str, int] = defaultdict(int)
        self._finished: dict[str, int] = {}

    @property
    def generators(self) -> int:
        """How many generators have said who is there."""
        return len(self._joined)

    def joined(self) -> dict[str, int]:
        """How many players of each user class have joined, in all generators."""
        counted: dict[str, int] = defaultdict(int)
        for users in self._joined.values():
            for name, count in users.items():
                counted[name] += count
        return counted

    def hear(self, generator: str, message: dict[str, Any]) -> None:
        """Take in a generator's report."""
        match message["kind"]:
            case "joined":
                self._joined[generator] = message["users"]
                if message["by_hand"]:
                    self._lead(act="share", shares=self._shares())
            case "edge":
                self._edges[message["turn"], message["act"]][generator] = message["at_s"]
            case "quiet":
                self._quiet[message["turn"]][generator] = message["quiet"]
            case "interval":
                self._received[generator] += 1
                if self._ledger is not None:
                    self._ledger.interval(IntervalReport.of(message["interval"]))
            case "load":
                if self._ledger is not None:
                    self._ledger.load(message["target"], CpuSample(message["cpu_cores"], message["waiting_share"]))
            case "finished":
                self._finished[generator] = message["intervals"]
        self._news.set()

    def conduct(self, lineup: LoadPlan) -> dict[str, Any]:
        """Take every turn, one after the other; returns {target: facts} when all has been booked.

        A target that has not fallen quiet after a measured turn gets no other: its trial is no evidence any more, and
        with each further turn it would disturb those that are.
        """
        ledger = self._ledger = TrialRecorder(lineup.folders, generators=len(self._joined))
        restless = set[str]()
        for number, turn in enumerate(lineup.turns):
            if turn["variant"] in restless:
                continue
            taken = self._take_turn(lineup, number, turn)
            ledger.turn(taken)
            if taken.quiet is False and turn["measure_s"] > 0:
                restless.add(turn["variant"])
        self._lead(act="finish")
        self._wait(lambda: all(self._received[g] >= self._finished.get(g, 1 << 62) for g in self._joined))
        return ledger.finish()

    def _take_turn(self, lineup: LoadPlan, number: int, turn: dict[str, Any]) -> TurnRecord:
        target = lineup.targets[turn["variant"]]
        start_s = min(
            self._act(
                "begin",
                number,
                target=(target.name, target.host, target.port),
                stagger_s=turn["stagger_s"],
                seed=turn_seed(lineup.seed, number),
                shares=self._shares(),
            )
        )
        self.pause_until(self.peopled(start_s) + turn["warmup_s"])
        warm_until_s = None
        if turn["measure_s"] > 0:
            warm_until_s = min(self._act("measure", number))
            self.pause_until(warm_until_s + turn["measure_s"])
        last = number == len(lineup.turns) - 1
        end_s = max(self._act("end", number, within_s=LAST_QUIET_WITHIN_S if last else QUIET_WITHIN_S))
        self._wait(lambda: len(self._quiet[number]) == len(self._joined))
        late_s = perf_counter() - end_s
        self._lead(act="close", turn=number, end_s=end_s)
        quiet = None if last else all(self._quiet[number].values())
        warm_s = end_s if warm_until_s is None else warm_until_s
        return TurnRecord(turn["variant"], turn["rotation"], start_s, warm_s, end_s, quiet, late_s)

    def peopled(self, start_s: float) -> float:
        """Wait until a turn that began at ``start_s`` has all its users, and say since when: they come before it."""
        return start_s

    def pause_until(self, moment_s: float) -> None:
        """Let the traffic run."""
        while (left_s := moment_s - perf_counter()) > 0:
            gevent.sleep(left_s)

    def _shares(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Which part of each class's timetable each generator plays: only those that have users of the class count."""
        shares: dict[str, dict[str, tuple[int, int]]] = {generator: {} for generator in self._joined}
        for name in self.joined():
            playing = sorted(generator for generator, users in self._joined.items() if users.get(name))
            for part, generator in enumerate(playing):
                shares[generator][name] = (part, len(playing))
        return shares

    def _act(self, act: str, turn: int, **content: Any) -> list[float]:
        """Have every generator act; returns the moments at which they did."""
        self._lead(act=act, turn=turn, **content)
        edges = self._edges[turn, act]
        self._wait(lambda: len(edges) == len(self._joined))
        return list(edges.values())

    def _lead(self, **content: Any) -> None:
        self._runner.send_message(LEAD, content)

    def _wait(self, done: Any) -> None:
        with gevent.Timeout(REPLY_WITHIN_S, AgentLost(f"a generator has not replied within {REPLY_WITHIN_S:g} s")):
            while not done():
                self._news.clear()
                self._news.wait()
