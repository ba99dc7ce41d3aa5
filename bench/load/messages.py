"""Messages between the coordinator and its agents, over Locust's own connection between master and workers.

In a single process Locust delivers the same messages to itself, so one process and several work the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from bench.load.endpoint_recorder import IntervalStats

Shares = Mapping[str, Mapping[str, tuple[int, int]]]
"""{agent: {user class: (part, parts)}}: which part of the class's arrival schedule the agent's users follow."""

# Coordinator to agents


@dataclass(frozen=True)
class ShareSchedules:
    """Follow these parts of the arrival schedules."""

    shares: Shares


@dataclass(frozen=True)
class BeginTurn:
    """Start the warm-up of a turn."""

    turn: int
    """Number of the turn."""
    target: tuple[str, str, int]
    """Variant, host and port."""
    stagger_s: float
    seed: int
    shares: Shares


@dataclass(frozen=True)
class MeasureTurn:
    """The warm-up is over."""

    turn: int


@dataclass(frozen=True)
class EndTurn:
    """Send no more requests, and report whether all were answered within ``max_drain_s``."""

    turn: int
    max_drain_s: float


@dataclass(frozen=True)
class CloseTurn:
    """Close connections with unanswered requests, and report the turn's last interval, which ended at ``end_s``."""

    turn: int
    end_s: float


@dataclass(frozen=True)
class Finish:
    """There are no more turns."""


Instruction = ShareSchedules | BeginTurn | MeasureTurn | EndTurn | CloseTurn | Finish

# Agents to coordinator


@dataclass(frozen=True)
class UsersJoined:
    """The users of this agent are there."""

    users: Mapping[str, int]
    """By user class."""
    without_turns: bool = False
    """Somebody runs a locustfile by hand: the answer is this agent's share of the arrival schedules."""


@dataclass(frozen=True)
class InstructionDone:
    """BeginTurn, MeasureTurn or EndTurn was carried out at ``at_s``."""

    turn: int
    instruction: str
    at_s: float
    waited_s: float | None = None
    """For how long this process has waited for a core until then, since its start; None where that is not known."""


@dataclass(frozen=True)
class TurnDrained:
    """Whether every request of the turn was answered in time."""

    turn: int
    drained: bool


@dataclass(frozen=True)
class IntervalReport:
    """What one agent saw of one target during one interval of the warm-up or of the measured part of a turn."""

    turn: int
    number: int
    """Counts the intervals of the part from 0, in the same way in every agent."""
    target: str
    measured: bool
    start_s: float
    end_s: float
    rows: tuple[IntervalStats, ...]

    @property
    def key(self) -> tuple[int, bool, int]:
        """What the intervals of several agents have in common."""
        return self.turn, self.measured, self.number


@dataclass(frozen=True)
class GeneratorCpu:
    """CPU of this agent's process while ``target`` had its turn."""

    target: str
    cpu_cores: float
    stopped_s: float


@dataclass(frozen=True)
class AllSent:
    """The agent has sent ``intervals`` IntervalReports, and sends no more."""

    intervals: int


Report = UsersJoined | InstructionDone | TurnDrained | IntervalReport | GeneratorCpu | AllSent

INSTRUCTION = "bench_instruction"
REPORT = "bench_report"

_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in (*get_args(Instruction), *get_args(Report))}


def send(runner: Any, name: str, message: Instruction | Report) -> None:
    """Send a message. Shallow copies only: a deep one of an interval would hold the hub."""
    content = {"kind": type(message).__name__, **vars(message)}
    if isinstance(message, IntervalReport):
        content["rows"] = [vars(row) for row in message.rows]
    runner.send_message(name, content)


def listen(runner: Any, name: str, on_message: Callable[[str, Any], None]) -> None:
    """Have ``on_message(sender, message)`` called for every message called ``name``."""
    runner.register_message(name, lambda environment, msg, **_: on_message(msg.node_id, _decoded(msg.data)))


def _decoded(content: Mapping[str, Any]) -> Instruction | Report:
    fields = {key: value for key, value in content.items() if key != "kind"}
    if content["kind"] == "IntervalReport":
        fields["rows"] = tuple(IntervalStats(**row) for row in fields["rows"])
    message: Instruction | Report = _TYPES[content["kind"]](**fields)
    return message
