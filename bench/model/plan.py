"""A plan: what is measured of one scenario, in which order and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.model.scenario import Scenario
from bench.model.workload import Load

Status = Literal["ok", "invalid", "failed"]
"""Of a trial. ok: evidence. invalid: measured, but not trustworthy. failed: could not be measured."""


@dataclass(frozen=True)
class Profile:
    """How long to measure: the number of rounds, and the seconds measured for each variant and round.

    A variant with a long predicted latency is measured for longer.
    """

    name: str
    rounds: int
    measure_s: float
    controls: bool = False
    """Whether every scenario gets an A/A control of one of its variants."""


PROFILES = {
    profile.name: profile
    for profile in (Profile("quick", 1, 2.0), Profile("standard", 5, 2.0), Profile("thorough", 12, 6.0, controls=True))
}
"""Two seconds bring 40 health checks: the median of one round and the p90 of five have more than nine beyond."""


MAX_REPEATED_TURN_S = 1.0
"""A turn whose measured part is no longer than this is taken again when the generator had to wait for a core. A longer one
would cost too much: its whole round is measured again."""


def repeatable_s(turns: Sequence[tuple[float, float]]) -> float:
    """How much longer a load may take, since turns are taken again: as long again as those that can be.

    ``turns``: the seconds of warm-up and of the measured part of each.
    """
    return sum(warmup_s + measure_s for warmup_s, measure_s in turns if 0 < measure_s <= MAX_REPEATED_TURN_S)


@dataclass(frozen=True)
class Turn:
    """A time slice of load on one variant: ``warmup_s`` is discarded, ``measure_s`` counts."""

    variant: str
    pass_number: int
    """0 is the warm-up of the fresh server, which is never measured. Measured passes start at 1."""
    warmup_s: float
    measure_s: float
    stagger_s: float = 0.0
    """The users' first requests are spread over this time, so that they do not run in step."""


@dataclass(frozen=True)
class ServerGroup:
    """Servers that are up together (co-located), and the turns that the load takes on them."""

    scenario: str
    round: int
    number: int
    """Its place among the groups of its round, from 1."""
    variants: tuple[str, ...]
    load: Load
    turns: tuple[Turn, ...]
    seed: int
    attempt: int = 1
    """Above 1 when its round is measured again, since a trial was invalid."""

    @property
    def name(self) -> str:
        """Part of its logs' names: ``users-32-round-2-group-1``."""
        return f"{self.load.name}-round-{self.round}-group-{self.number}"

    @property
    def load_s(self) -> float:
        """Seconds of load, warm-up included."""
        return sum(turn.warmup_s + turn.measure_s for turn in self.turns)

    @property
    def max_load_s(self) -> float:
        """The same when as many turns as possible are taken again."""
        return self.load_s + repeatable_s([(turn.warmup_s, turn.measure_s) for turn in self.turns])


@dataclass(frozen=True)
class Round:
    """A randomised complete block: every variant once under one load, on fresh servers."""

    scenario: str
    load: Load
    number: int
    groups: tuple[ServerGroup, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that is measured of one scenario, in order."""

    scenario: Scenario
    load: Load
    seed: int
    measure_s: float
    rounds: tuple[Round, ...]
    sweep: tuple[Load, ...] = ()
    """More loads. Each round number then has one round under ``load`` and one under each of these."""

    @property
    def rounds_per_load(self) -> int:
        """How many rounds each load has."""
        return len({made.number for made in self.rounds})

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants that are measured, in the catalogue's order."""
        return tuple(variant.name for variant in self.scenario.variants)
