"""Claims: statements that a measurement confirms or refutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Relation = Literal["above", "below", "equivalent"]


@dataclass(frozen=True)
class Comparison:
    """``metric`` of ``variant`` is above (below, equivalent to) ``factor`` times that of ``other``.

        Comparison("throughput_rps", "awaited", "above", "blocking_call", factor=10)
        Comparison("latency_p50_ms", "blocking_call", "above", 1000, endpoint="GET /health")

    ``metric`` is a metric of summary.csv. ``other`` is a variant of the scenario, or a number in the metric's unit.
    ``endpoint`` is named as in summary.csv. Empty: the scenario's own endpoint, or none for a metric of the server.
    """

    metric: str
    variant: str
    relation: Relation
    other: str | float
    factor: float = 1.0
    endpoint: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.other, int):  # a record that is written equals the one that is read
            object.__setattr__(self, "other", float(self.other))


@dataclass(frozen=True)
class Claim:
    """A statement that the measurement tests.

    Confirmed when every comparison holds beyond its uncertainty, refuted when one is contradicted beyond it,
    inconclusive otherwise.
    """

    name: str
    statement: str
    """One sentence in plain words."""
    comparisons: tuple[Comparison, ...]
    guide: bool = False
    """Whether the guide under test says so. The other claims are the project's own."""
    question: str = ""
    """The guide's quiz question that this claim helps to answer. Claims with the same question answer it together."""
