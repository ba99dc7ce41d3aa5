"""Leads the agents of all Locust processes through the turns of a group, and records what they report."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import gevent
from gevent.event import Event

from bench.load.generator_monitor import CpuSample
from bench.load.messages import (
    INSTRUCTION,
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
from bench.load.session import turn_seed
from bench.load.trial_recorder import TrialRecorder
from bench.model.plan import MAX_REPEATED_TURN_S, repeatable_s
from bench.results.control_messages import PlannedTurn, RunTurns
from bench.results.schema import MAX_WAITING_SHARE, TrialFacts, TurnRecord

MAX_DRAIN_S = 2.0
"""Requests that are unanswered so long after their turn are closed: the next turn must not wait for ever."""
LAST_DRAIN_LATENCIES = 2
"""The last turn disturbs no other, so its requests get two typical latencies to be answered: a request that was merely
in flight when the load stopped is not one that is never answered."""
MIN_LAST_DRAIN_S, MAX_LAST_DRAIN_S = 0.25, 5.0
MAX_REPLY_S = 10.0
"""An agent that has not replied by then has ended, and what it measured is lost."""


class AgentLost(Exception):
    """An agent has not replied: what it measured is not known."""


class Coordinator:
    """Instructs the agents: the one of this process, or those of Locust's workers."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._recorder: TrialRecorder | None = None
        self._reported = Event()
        self._users: dict[str, Mapping[str, int]] = {}
        self._done: dict[tuple[int, str], dict[str, InstructionDone]] = defaultdict(dict)
        self._drained: dict[int, dict[str, bool]] = defaultdict(dict)
        self._received: Counter[str] = Counter()
        self._sent: dict[str, int] = {}

    @property
    def agents(self) -> int:
        """Number of agents that have reported their users."""
        return len(self._users)

    def user_counts(self) -> Counter[str]:
        """Number of users of each class, over all agents."""
        counts: Counter[str] = Counter()
        for users in self._users.values():
            counts.update(users)
        return counts

    def on_report(self, agent: str, report: Report) -> None:
        """Take in an agent's report."""
        match report:
            case UsersJoined():
                self._users[agent] = report.users
                if report.without_turns:
                    self._instruct(ShareSchedules(self._shares()))
            case InstructionDone():
                self._done[report.turn, report.instruction][agent] = report
            case TurnDrained():
                self._drained[report.turn][agent] = report.drained
            case IntervalReport():
                self._received[agent] += 1
                if self._recorder is not None:
                    self._recorder.add_interval(report)
            case GeneratorCpu():
                if self._recorder is not None:
                    sample = CpuSample(report.cpu_cores, report.stopped_s)
                    self._recorder.add_cpu(report.target, sample)
            case AllSent():
                self._sent[agent] = report.intervals
        self._reported.set()

    def run_turns(self, plan: RunTurns) -> dict[str, TrialFacts]:
        """Take every turn, one after the other. Returns {variant: facts} when everything is recorded.

        A server that has not answered every request by the end of a measured turn and its drain gets no other turn:
        its trial is invalid, and each further turn would disturb the valid ones. A short turn in which the generator had
        to wait for a core is taken again at once, as long as all of them together take no longer than planned.
        """
        folders = {target.variant: Path(target.folder) for target in plan.targets}
        targets = {target.variant: Target.parse(target.url, target.variant) for target in plan.targets}
        recorder = self._recorder = TrialRecorder(folders, agents=len(self._users))
        not_drained = set[str]()
        spare_s = repeatable_s([(turn.warmup_s, turn.measure_s) for turn in plan.turns])
        waiting = deque(enumerate(plan.turns))
        number = 0
        while waiting:
            place, turn = waiting.popleft()
            if turn.variant in not_drained:
                continue
            length_s = turn.warmup_s + turn.measure_s
            can_be_repeated = 0 < turn.measure_s <= MAX_REPEATED_TURN_S and length_s <= spare_s
            recorder.begin_turn(number, undecided=can_be_repeated)
            last = place == len(plan.turns) - 1
            taken = self._take_turn(number, turn, targets[turn.variant], turn_seed(plan.seed, number), last)
            waited = self._waiting_share(number) if turn.measure_s > 0 else None
            if can_be_repeated and waited is not None and waited > MAX_WAITING_SHARE:
                taken = replace(taken, pass_number=0, warm_until_s=taken.end_s, taken_again=True)
                spare_s -= length_s
                waiting.appendleft((place, turn))
            recorder.end_turn(turn.variant, number, taken, waited)
            if taken.drained is False and turn.measure_s > 0:
                not_drained.add(turn.variant)
            number += 1
        self._instruct(Finish())
        self._wait(lambda: all(a in self._sent and self._received[a] >= self._sent[a] for a in self._users))
        return recorder.finish()

    def _take_turn(self, number: int, turn: PlannedTurn, target: Target, seed: int, last: bool) -> TurnRecord:
        wire_target = (target.name, target.host, target.port)
        start_s = min(self._act(BeginTurn(number, wire_target, turn.stagger_s, seed, self._shares())))
        self.pause_until(self.all_users_since(start_s) + turn.warmup_s)
        warm_until_s = None
        if turn.measure_s > 0:
            warm_until_s = min(self._act(MeasureTurn(number)))
            self.pause_until(warm_until_s + self.measured_length_s(turn))
        end_s = max(self._act(EndTurn(number, self._last_drain_s(target.name, turn) if last else MAX_DRAIN_S)))
        self._wait(lambda: len(self._drained[number]) == len(self._users))
        drain_s = perf_counter() - end_s
        self._instruct(CloseTurn(number, end_s))
        return TurnRecord(
            pass_number=turn.pass_number,
            start_s=start_s,
            warm_until_s=end_s if warm_until_s is None else warm_until_s,
            end_s=end_s,
            drained=None if last else all(self._drained[number].values()),
            drain_s=drain_s,
        )

    def _waiting_share(self, number: int) -> float | None:
        """The share of a turn's measured part that the agents waited for a core, on average. None where it is not known."""
        begun, ended = self._done[number, MeasureTurn.__name__], self._done[number, EndTurn.__name__]
        shares = []
        for agent, end in ended.items():
            begin = begun[agent]
            if end.waited_s is None or begin.waited_s is None or end.at_s <= begin.at_s:
                return None
            shares.append((end.waited_s - begin.waited_s) / (end.at_s - begin.at_s))
        return fmean(shares) if shares else None

    def _last_drain_s(self, target: str, turn: PlannedTurn) -> float:
        """How long the requests of the last turn may take to be answered."""
        typical_s = self._recorder.mean_latency_s(target) if self._recorder else None
        drain_s = LAST_DRAIN_LATENCIES * (turn.measure_s if typical_s is None else typical_s)
        return min(max(drain_s, MIN_LAST_DRAIN_S), MAX_LAST_DRAIN_S)

    def all_users_since(self, start_s: float) -> float:
        """Wait until a turn that began at ``start_s`` has all its users; returns since when. They join before it."""
        return start_s

    def measured_length_s(self, turn: PlannedTurn) -> float:
        """How long the measured part of the turn is."""
        return turn.measure_s

    def pause_until(self, moment_s: float) -> None:
        """Let the users send their requests until then."""
        while (left_s := moment_s - perf_counter()) > 0:
            gevent.sleep(left_s)

    def _shares(self) -> Shares:
        """Only agents that have users of a class follow a part of its schedule."""
        shares: dict[str, dict[str, tuple[int, int]]] = {agent: {} for agent in self._users}
        for name in self.user_counts():
            agents = sorted(agent for agent, users in self._users.items() if users.get(name))
            for part, agent in enumerate(agents):
                shares[agent][name] = (part, len(agents))
        return shares

    def _act(self, instruction: BeginTurn | MeasureTurn | EndTurn) -> list[float]:
        """Have every agent carry out an instruction. Returns the moments at which they did."""
        done = self._done[instruction.turn, type(instruction).__name__]
        self._instruct(instruction)
        self._wait(lambda: len(done) == len(self._users))
        return [each.at_s for each in done.values()]

    def _instruct(self, instruction: Instruction) -> None:
        send(self._runner, INSTRUCTION, instruction)

    def _wait(self, done: Callable[[], bool]) -> None:
        with gevent.Timeout(MAX_REPLY_S, AgentLost(f"an agent has not replied within {MAX_REPLY_S:g} s")):
            while not done():
                self._reported.clear()
                self._reported.wait()
