"""The tables of one scenario's trials, and what run.json says of the run: the data model of the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.analysis.survival import NOTHING, Floats, Latencies, add, latencies
from bench.model import HEALTH_PATH, Claim
from bench.results.schema import DoctorRecord, GitRecord, MachineRecord, ScenarioRecord, TrialFacts

HEALTH_ENDPOINT = f"GET {HEALTH_PATH}"

REFUSED = "refused"
"""A trial whose files are not complete. trial.json never has this status."""


@dataclass(frozen=True)
class VariantInfo:
    """A variant as run.json declares it. The bound's fields are None, or empty, where no bound is known."""

    name: str
    role: str
    summary: str
    file: str
    source: str
    formula: str
    kind: str
    max_rps: float | None
    min_latency_s: float | None
    control_of: str = ""
    """The variant that it is the same as, measured twice to see the noise; empty for a variant of its own."""


@dataclass(frozen=True)
class ScenarioInfo:
    """A scenario as run.json declares it; ``record`` is that part of run.json whole.

    ``variants`` are those to be shown. ``controls`` are A/A controls: measured like the others, they only show the noise.
    """

    name: str
    question: str
    path: str
    load: str
    users: int | None
    rate_rps: float | None
    seed: int | None
    rounds: int
    measure_s: float | None
    profile: str
    variants: tuple[VariantInfo, ...]
    record: ScenarioRecord
    controls: tuple[VariantInfo, ...] = ()
    claims: tuple[Claim, ...] = ()
    sweep: tuple[ScenarioInfo, ...] = ()
    """The same under each other load that it was measured under; without claims, which are about its own load."""

    @property
    def all_variants(self) -> tuple[VariantInfo, ...]:
        """Variants and A/A controls: all that a round needs to be complete."""
        return (*self.variants, *self.controls)

    @property
    def baseline(self) -> str:
        """What every variant is compared with: the first fix that is declared, where there is none the first variant.

        Declared and not measured: the best of a run is the best by luck, too. Empty where there are no variants.
        """
        fixes = [variant.name for variant in self.variants if variant.role == "fix"]
        return next(iter([*fixes, *(variant.name for variant in self.variants)]), "")

    @property
    def endpoint(self) -> str:
        """The endpoint that the users ask for, named as in Locust."""
        return self.record.endpoint

    @property
    def kind(self) -> str:
        """The kind of latency that is the headline: response time where a schedule drives the load, else service time."""
        return "service" if self.rate_rps is None else "response"

    def variant(self, name: str) -> VariantInfo:
        """The variant or twin called ``name``; KeyError when there is none."""
        return {variant.name: variant for variant in self.all_variants}[name]


@dataclass(frozen=True)
class Run:
    """What run.json says, with the folder it lies in."""

    folder: Path
    name: str
    created_unix_s: float | None
    command: str
    """As a shell would take it."""
    machine: MachineRecord
    git: GitRecord | None
    scenarios: tuple[ScenarioInfo, ...]
    doctor: DoctorRecord | None = None
    """What only a run of the doctor has."""


@dataclass(frozen=True)
class ExcludedTrial:
    """A trial that is no evidence, and why. ``status`` is invalid, failed or refused; ``where`` is relative."""

    scenario: str
    variant: str
    round: int
    status: str
    reasons: tuple[str, ...]
    log_tail: str
    where: str


@dataclass(frozen=True)
class IncompleteRound:
    """A round that was cut short, and the variants it still lacks. It is measured again on resume."""

    scenario: str
    round: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class ScenarioTables:
    """All that was measured of one scenario.

    ``trials``: one row a trial that is evidence: variant, round, origin_s (the first measured moment on the trial's
    own clock), measured_s; and NaN where unknown: generator_cpu_cores, server_cpu_cores (over the measured parts,
    process pools included), worker_cpu_cores (without them), loop_cpu_cores (by the loops' own threads), workers (that were watched) and cores (that the server had);
    and group (whose servers were up together).
    ``turns``: one row a turn of such a trial.
    ``counts``: schema.COUNTS_COLUMNS with variant and round before them.
    ``latencies``: LATENCY_COLUMNS; one row per interval and histogram bucket. Values are the *highest equivalent*
    value of the bucket, in us, as HdrHistogram's own tools print them (at most 0.1 % above the truth).
    ``server``: what the probe saw, a row a moment, workers put together (telemetry.merged); ``stalls``: the pieces of
    stalls, with measured_ms: how much of each lies within the measured parts. Both lack trials without telemetry.
    In all of them times are seconds after the trial's first measured moment: warm-up is negative.
    """

    scenario: ScenarioInfo
    trials: pd.DataFrame
    counts: pd.DataFrame
    latencies: pd.DataFrame
    turns: pd.DataFrame
    server: pd.DataFrame
    stalls: pd.DataFrame
    excluded: tuple[ExcludedTrial, ...]
    incomplete_rounds: tuple[IncompleteRound, ...]
    facts: Mapping[tuple[str, int], TrialFacts] = field(default_factory=dict)
    """What the load generator reported of each trial, by variant and round."""
    services: Mapping[str, str] = field(default_factory=dict)
    """Versions of the servers behind the variants: ``{"postgres": "18.4"}``."""

    @cached_property
    def _measured(self) -> dict[tuple[str, str, str, int], tuple[Floats, Floats]]:
        rows = self.latencies[self.latencies["measured"]]
        grouped = rows.groupby(["variant", "endpoint", "kind", "round"], observed=True, sort=False)
        return {
            (str(variant), str(endpoint), str(kind), int(str(number))): (
                part["value_us"].to_numpy(dtype=float),
                part["count"].to_numpy(dtype=float),
            )
            for (variant, endpoint, kind, number), part in grouped
        }

    @property
    def variants(self) -> tuple[VariantInfo, ...]:
        """The variants that have evidence, A/A controls excluded, in the catalogue's order."""
        seen = set(self.trials["variant"])
        return tuple(variant for variant in self.scenario.variants if variant.name in seen)

    def rounds(self, variant: str) -> tuple[int, ...]:
        """The rounds in which ``variant`` gave evidence, ascending."""
        return tuple(sorted(int(n) for n in self.trials.loc[self.trials["variant"] == variant, "round"]))

    def watched_rounds(self, variant: str) -> tuple[int, ...]:
        """Those of them in which its server was watched by the probe, with samples of the measured parts."""
        rows = self.server[(self.server["variant"] == variant) & self.server["measured"]]
        return tuple(sorted(int(number) for number in rows["round"].unique()))

    @property
    def repeated_rounds(self) -> int:
        """Number of rounds that were measured again, since a trial was invalid."""
        return int(self.trials.loc[self.trials["attempt"] > 1, "round"].nunique())

    @property
    def turns_taken_again(self) -> tuple[int, int]:
        """Number of turns that were taken again, since the generator had to wait for a core, and of measured turns."""
        return int(self.trials["turns_taken_again"].sum()), int(self.trials["measured_turns"].sum())

    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that were requested, the scenario's own first."""
        seen = set(self.counts["endpoint"]) | set(self.latencies["endpoint"])
        return tuple(sorted(seen, key=lambda name: (name != self.scenario.endpoint, name)))

    def has_kind(self, endpoint: str, kind: str) -> bool:
        """Whether any measured interval of ``endpoint`` recorded ``kind``."""
        return any(key[1] == endpoint and key[2] == kind for key in self._measured)

    def headline_kind(self, endpoint: str) -> str:
        """``response`` where a schedule requests the endpoint (as it does for health checks), else ``service``."""
        if endpoint == self.scenario.endpoint:
            return self.scenario.kind
        return "response" if self.has_kind(endpoint, "response") or endpoint == HEALTH_ENDPOINT else "service"

    def round_latencies(self, variant: str, endpoint: str, number: int, kind: str | None = None) -> Latencies:
        """Measured latencies of one trial with the ages of its unanswered requests; the headline kind by default.

        ``straddling`` requests, which began before the measured part and were answered in it, are left out: they belong
        to the part before, whose other requests are not here. Ages count from the intended start. For service time that
        is a little early where requests were sent late.
        """
        kind = kind or self.headline_kind(endpoint)
        kinds = (kind, "unfinished", "straddling_unfinished")
        return latencies(*(self.histogram(variant, endpoint, each, number) for each in kinds))

    def histogram(self, variant: str, endpoint: str, kind: str, number: int) -> tuple[Floats, Floats]:
        """(values in us, counts) of one kind over the measured parts of one trial."""
        return self._measured.get((variant, endpoint, kind, number), NOTHING)

    def measured_s(self, variant: str, number: int) -> float:
        """Measured seconds of one trial."""
        trials = self.trials
        return float(trials.loc[(trials["variant"] == variant) & (trials["round"] == number), "measured_s"].iloc[0])

    def pooled_latencies(self, variant: str, endpoint: str, kind: str | None = None) -> Latencies:
        """The histograms of all rounds, added."""
        return add(self.round_latencies(variant, endpoint, number, kind) for number in self.rounds(variant))
