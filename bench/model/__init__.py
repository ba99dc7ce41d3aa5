"""The nouns of the harness as frozen dataclasses. Standard library only: everything may import this module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bench.model.bounds import UpperBound

Role = Literal["trap", "fix", "baseline"]
Status = Literal["ok", "invalid", "failed"]
"""ok: evidence. invalid: measured, but not to be trusted. failed: could not be measured at all."""

HEALTH_PATH = "/health"


@dataclass(frozen=True)
class Sidecar:
    """A program that a variant needs beside its server, in the same environment and on the same cores."""

    name: str
    command: tuple[str, ...]
    """``python`` in front is the interpreter that runs the server."""
    ready: str
    """It is ready once this stands in its log."""


@dataclass(frozen=True)
class AppSource:
    """An app that the catalogue has no file of: what uvicorn serves, where it lives, and what runs it."""

    target: str
    """As uvicorn is given it: ``shop.main:app``."""
    folder: str
    """Where that is importable (uvicorn's ``--app-dir``), and where its server runs."""
    python: str = ""
    """Its own interpreter, with its own packages; empty is the harness's."""
    factory: bool = False
    """Whether the target is a function that makes the app."""
    code: tuple[str, ...] = ()
    """Folders of its own code besides: of a package that is installed."""
    start_up: bool = False
    """Whether the probe watches it while it starts, too."""
    url: str = ""
    """Where it runs already: then it is neither started nor stopped, and nothing else of this counts."""


@dataclass(frozen=True)
class Variant:
    """One way to write the endpoint: the file ``apps/<scenario>/<name>.py`` with a FastAPI ``app``."""

    name: str
    role: Role
    summary: str
    """A few words for charts and tables: ``time.sleep in async def``."""
    bound: UpperBound | None = None
    workers: int = 1
    uvicorn_options: tuple[str, ...] = ()
    file: str = ""
    """Name of another variant whose file it runs: for variants that differ only in how they are served, and twins."""
    probed: bool = True
    """Whether the probe is in its server. Only who measures the probe's own cost goes without."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that its server gets besides: ``(("OMP_NUM_THREADS", "1"),)``."""
    sidecars: tuple[Sidecar, ...] = ()
    """Programs that run beside its server, started and stopped with it: a queue's workers."""
    exclusive: bool = False
    """It does not fall quiet when its turn ends (work goes on behind it), so it gets a lineup of its own."""
    app: AppSource | None = None
    """What it serves in place of a file of the catalogue."""
    latency_s: float | None = None
    """What a request takes under the load, as tried beforehand, where no law says so."""
    twin: str = ""
    """Name of the variant that it is the same as under another name: the harness's own control, an A/A pair."""

    @property
    def module(self) -> str:
        """Name of its file in the scenario's folder, without ``.py``."""
        return self.file or self.name


Relation = Literal["above", "below", "equivalent"]


@dataclass(frozen=True)
class Comparison:
    """``metric`` of ``variant`` is above (below, equivalent to) ``factor`` times that of ``other``.

        Comparison("throughput_rps", "awaited", "above", "blocking_call", factor=10)
        Comparison("latency_p50_ms", "blocking_call", "above", 1000, endpoint="GET /health")

    ``metric`` is one of summary.csv's. ``other`` is a variant of the scenario, or a number in the metric's unit.
    ``endpoint`` is named as in summary.csv; empty is the scenario's own, or none for a metric of the server.
    """

    metric: str
    variant: str
    relation: Relation
    other: str | float
    factor: float = 1.0
    endpoint: str = ""


@dataclass(frozen=True)
class Claim:
    """A statement that the measurement puts to the test.

    Confirmed when every comparison holds beyond its uncertainty, refuted when one is contradicted beyond it,
    inconclusive otherwise.
    """

    name: str
    statement: str
    """One sentence in plain words."""
    comparisons: tuple[Comparison, ...]
    guide: bool = False
    """Whether the guide that is put to the test says so; the others are our own."""
    question: str = ""
    """The guide's quiz question that it answers, in our words; empty for none."""


@dataclass(frozen=True)
class Scenario:
    """A question, and the variants whose measurements answer it."""

    name: str
    question: str
    variants: tuple[Variant, ...]
    path: str
    """The path that the users ask for, the same in every variant."""
    users: int = 32
    locustfile: str = "locustfiles/get_and_health.py"
    """How its users behave, relative to the repository."""
    method: str = "GET"
    body: str = ""
    """JSON that is sent along, for a method that takes some."""
    health_path: str = HEALTH_PATH
    """What the health prober asks."""
    locust_args: tuple[str, ...] | None = None
    """What its locustfile is told in place of the path, the method and the body."""
    has_think_time: bool = False
    """Its users may pause between their requests, so that Little's law does not count them back."""
    secondary_endpoints: tuple[str, ...] = ()
    """Other endpoints that the same users ask for in turn."""
    endpoint: str = ""
    """What its laws and verdicts are about, as Locust names it; by default the method and the path."""
    rate_rps: float | None = None
    """Arrivals a second by a timetable, in place of looping users."""
    services: tuple[str, ...] = ()
    """Modules of bench/services/ whose servers it needs."""
    packages: str = ""
    """The dependency group in pyproject.toml that its variants need besides."""
    warmup_s: float = 0.0
    """Of a variant alone: longer than usual, where more than a server has to come up to speed."""
    parallel: bool = False
    """It is about parallelism: on two cores the servers get both, and share one with the load generator."""
    claims: tuple[Claim, ...] = ()
    folder: str = ""
    """Where its variants' files are; the catalogue fills it in."""

    def __post_init__(self) -> None:
        if not self.endpoint:
            object.__setattr__(self, "endpoint", f"{self.method} {self.path}")

    @property
    def load(self) -> Load:
        """What its servers are asked, unless the command line says otherwise."""
        return Load(users=self.users) if self.rate_rps is None else Load(rate_rps=self.rate_rps)

    def variant(self, name: str) -> Variant:
        """The variant called ``name``; KeyError when there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(name)


@dataclass(frozen=True)
class Profile:
    """How long to measure: rounds, and the seconds measured a variant and round (stretched where a law needs it)."""

    name: str
    rounds: int
    measure_s: float
    twins: bool = False
    """Whether every scenario gets a twin of one of its variants: the harness's own control."""


PROFILES = {
    profile.name: profile
    for profile in (Profile("quick", 1, 2.0), Profile("standard", 5, 2.0), Profile("thorough", 12, 6.0, twins=True))
}
"""Two seconds of ten health checks each: the median of one round and the p90 of five have about ten beyond them."""


@dataclass(frozen=True)
class Load:
    """What the server is asked: ``users`` looping without think time, or arrivals at ``rate_rps`` a second."""

    users: int | None = None
    rate_rps: float | None = None

    def __post_init__(self) -> None:
        if (self.users is None) == (self.rate_rps is None):
            raise ValueError("a load is either a number of users or an arrival rate")

    @property
    def name(self) -> str:
        """As in the results' folders: ``users-32``, ``rate-500``."""
        return f"users-{self.users}" if self.rate_rps is None else f"rate-{self.rate_rps:g}"

    @property
    def model(self) -> Literal["closed", "open"]:
        """The closed model's users wait for their answers; the open model's arrivals do not."""
        return "closed" if self.rate_rps is None else "open"

    def as_json(self) -> dict[str, str | int | float | None]:
        """As the results' files have it."""
        return {"name": self.name, "model": self.model, "users": self.users, "rate_rps": self.rate_rps}


@dataclass(frozen=True)
class Turn:
    """A slice of load on one variant: ``warmup_s`` that is thrown away, then ``measure_s`` that counts."""

    variant: str
    rotation: int
    """0 is the fresh server's warm-up, measured by nobody; the rotations that count start at 1."""
    warmup_s: float
    measure_s: float
    stagger_s: float = 0.0
    """The users' first requests are spread over this long, so that they do not march in step."""


@dataclass(frozen=True)
class ServerGroup:
    """Servers that are up together, and the turns that the load takes on them."""

    scenario: str
    round: int
    number: int
    """Counts the lineups of a round, from 1."""
    variants: tuple[str, ...]
    load: Load
    turns: tuple[Turn, ...]
    seed: int

    @property
    def name(self) -> str:
        """As in the names of its logs: ``users-32-round-2-lineup-1``."""
        return f"{self.load.name}-round-{self.round}-lineup-{self.number}"

    @property
    def load_s(self) -> float:
        """Seconds of load, warm-up included."""
        return sum(turn.warmup_s + turn.measure_s for turn in self.turns)


@dataclass(frozen=True)
class Round:
    """A randomised complete block: every variant once under one load, on fresh servers."""

    scenario: str
    load: Load
    number: int
    lineups: tuple[ServerGroup, ...]


@dataclass(frozen=True)
class Plan:
    """All that will be measured of one scenario, in order."""

    scenario: Scenario
    load: Load
    seed: int
    measure_s: float
    rounds: tuple[Round, ...]
    sweep: tuple[Load, ...] = ()
    """Loads besides: each number has a round of ``load`` and one of each of these."""

    @property
    def repeats(self) -> int:
        """How many rounds each load has."""
        return len({made.number for made in self.rounds})

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants that are measured, in the catalogue's order."""
        return tuple(variant.name for variant in self.scenario.variants)


@dataclass(frozen=True)
class Trial:
    """One variant in one round, all its turns: the unit of evidence, as ``trial.json`` keeps it."""

    scenario: str
    variant: str
    round: int
    load: Load
    status: Status
    reasons: tuple[str, ...] = ()
    log_tail: str = ""
    facts: dict[str, object] = field(default_factory=dict)
