"""The parts of calibration, and one row type for each: its fields are the columns of ``<part>.csv``.

Standard library only: the half that measures and the half that reports both import it.
"""

from __future__ import annotations

from dataclasses import dataclass

OUR_GENERATOR, FAST_HTTP_USER, WRK, BARE_LOOP = "HubHttpUser", "FastHttpUser", "wrk", "bare loop"
"""Names of generators in the rows."""

TAKING_TURNS, ONE_AFTER_ANOTHER = "taking turns", "one after another"
"""Ways to compare two variants."""


@dataclass(frozen=True)
class GeneratorRow:
    """One generator in one round, on one core."""

    round: int
    generator: str
    requests_per_s: float
    cpu_us_per_request: float


@dataclass(frozen=True)
class LagRow:
    """How late the open model sent, or the bare loop woke up."""

    round: int
    generator: str
    rate_rps: int
    p50_us: float
    p99_us: float
    sent_share: float
    """Requests sent, as a share of the scheduled ones."""


@dataclass(frozen=True)
class FreezeRow:
    """One percentile of the latencies of a server that freezes for ``freeze_s`` in every ``every_s``."""

    round: int
    model: str
    """open or closed."""
    kind: str
    """service or response."""
    percentile: float
    value_ms: float
    freeze_s: float
    every_s: float
    offered_rps: float


@dataclass(frozen=True)
class MemoryRow:
    """Resident memory of the recorder after so many requests."""

    requests: int
    resident_mb: float


@dataclass(frozen=True)
class OverheadRow:
    """How long a group of servers took beyond its load."""

    round: int
    servers: int
    overhead_s: float


@dataclass(frozen=True)
class NoiseRow:
    """ln(first / second) of the throughputs of two identical variants in one round."""

    round: int
    method: str
    """TAKING_TURNS or ONE_AFTER_ANOTHER."""
    log_ratio: float
    measured_s: float
    took_s: float


@dataclass(frozen=True)
class ProbeRow:
    """ln(with / without) of the throughputs of a server with and without the probe, in one round."""

    round: int
    log_ratio: float
    measured_s: float


@dataclass(frozen=True)
class VerdictRow:
    """One turn of a variant. Variants slowed by 0 % are the same code. The CPU per request is that of the whole round."""

    round: int
    pass_number: int
    variant: str
    slowed_percent: int
    rate_rps: float
    cpu_us_per_request: float


CalibrationRow = GeneratorRow | LagRow | FreezeRow | MemoryRow | OverheadRow | NoiseRow | ProbeRow | VerdictRow

ROW_TYPES: dict[str, type[CalibrationRow]] = {
    "generators": GeneratorRow,
    "lag": LagRow,
    "freeze": FreezeRow,
    "memory": MemoryRow,
    "overhead": OverheadRow,
    "noise": NoiseRow,
    "probe": ProbeRow,
    "verdicts": VerdictRow,
}
"""The row type of each part, in the order of measuring and of the page."""

PARTS = tuple(ROW_TYPES)
"""Names of the parts."""
