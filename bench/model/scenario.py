"""A scenario: a question, its variants, its load and its claims."""

from __future__ import annotations

from dataclasses import dataclass

from bench.model.claim import Claim
from bench.model.variant import Variant
from bench.model.workload import Load

HEALTH_PATH = "/health"
READY_PATH = "/.async-bench/ready"
"""What is requested of a user's own app to see whether it answers. No app has it, so the answer costs as little as any."""


@dataclass(frozen=True)
class Scenario:
    """A question, and the variants whose measurements answer it."""

    name: str
    question: str
    variants: tuple[Variant, ...]
    path: str
    """The path that the users request, the same in every variant."""
    users: int = 32
    locustfile: str = "locustfiles/get_and_health.py"
    """How its users behave. The path is relative to the repository."""
    method: str = "GET"
    body: str = ""
    """JSON to send, for a method that takes a body."""
    health_path: str = HEALTH_PATH
    """The path of the health probe."""
    locust_args: tuple[str, ...] | None = None
    """Options of its locustfile, in place of the path, the method and the body."""
    statuses: str = "200"
    """Statuses of a good answer: one, or a range such as ``200-399``."""
    has_think_time: bool = False
    """Whether its users may pause between requests. Little's law then does not give their number."""
    has_long_requests: bool = False
    """Whether few or no requests end while it is measured: streams, long polls. Then only the others' requests count."""
    secondary_endpoints: tuple[str, ...] = ()
    """Other endpoints that the same users request in turn."""
    endpoint: str = ""
    """The endpoint that bounds and verdicts are about, as Locust names it. Default: the method and the path."""
    rate_rps: float | None = None
    """Arrivals a second by an arrival schedule, in place of looping users."""
    services: tuple[str, ...] = ()
    """Modules of bench/running/services/ whose servers it needs."""
    own_services: tuple[tuple[str, str], ...] = ()
    """Service and URL of the user's own servers that take the place of new ones."""
    extra: str = ""
    """The extra of async-bench (an optional dependency in pyproject.toml) with the packages that its variants need."""
    min_warmup_s: float = 0.0
    """Warm-up at least, of a variant in a group to itself. For variants that start more than a server."""
    min_passes: int = 1
    """Passes at least over the variants of a group in a round. For variants with long turns, whose ratio would otherwise
    rest on two or three pairs of turns."""
    parallel: bool = False
    """Whether it is about parallelism: on two cores the servers then get both, the generator's included."""
    claims: tuple[Claim, ...] = ()
    secrets: tuple[str, ...] = ()
    """Values that the user gave for the requests. No result may hold them."""
    folder: str = ""
    """The folder with its variants' files. The catalogue fills it in."""

    def __post_init__(self) -> None:
        if not self.endpoint:
            path = self.path.partition("?")[0]  # Locust's tables name requests without their queries
            object.__setattr__(self, "endpoint", f"{self.method} {path}")

    @property
    def default_load(self) -> Load:
        """The load when the command line names none."""
        return Load(users=self.users) if self.rate_rps is None else Load(rate_rps=self.rate_rps)

    def variant(self, name: str) -> Variant:
        """The variant called ``name``. KeyError when there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(name)
