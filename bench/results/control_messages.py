"""Control messages between the harness and Locust as JSON lines: one message a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from bench.model import Status
from bench.results.schema import TrialFacts

# Harness to Locust


@dataclass(frozen=True)
class TargetRecord:
    """A server that is ready."""

    variant: str
    url: str
    folder: str
    """Where the trial's files go."""


@dataclass(frozen=True)
class PlannedTurn:
    """A turn to take."""

    variant: str
    pass_number: int
    warmup_s: float
    measure_s: float
    stagger_s: float = 0.0
    """The users' first requests are spread over this time."""


@dataclass(frozen=True)
class RunTurns:
    """Harness to Locust: the servers are ready; take these turns."""

    targets: tuple[TargetRecord, ...]
    turns: tuple[PlannedTurn, ...]
    seed: int
    locustfile: str = ""
    """The locustfile whose users to start. A headless Locust has it on its command line, too."""
    locust_args: tuple[str, ...] = ()
    """Its options."""
    cores: int = 1
    """Cores that the server has."""
    kind: Literal["run_turns"] = "run_turns"


@dataclass(frozen=True)
class Configure:
    """Harness to Locust, web UI only, first message: what can be chosen."""

    choices: Mapping[str, float | None]
    """``scenario/variant`` and its arrival rate; null where users loop."""
    locustfiles: tuple[str, ...]
    max_users: int
    results: str
    host: str
    login_name: str = ""
    """Empty where no login is needed."""
    login_password: str = ""
    kind: Literal["configure"] = "configure"


@dataclass(frozen=True)
class ServerStopping:
    """Harness to Locust: the server is being stopped, so end the load."""

    kind: Literal["server_stopping"] = "server_stopping"


@dataclass(frozen=True)
class BoundedMs:
    """A duration that may be a lower bound."""

    value: float
    at_least: bool


@dataclass(frozen=True)
class EndpointRate:
    """Throughput of one endpoint."""

    throughput_rps: float | None


@dataclass(frozen=True)
class MeasuredTrial:
    """A row of the web UI's list of measurements."""

    id: str
    at_unix_s: float
    run: str
    scenario: str
    variant: str
    load: str
    round: int
    status: Status
    reasons: tuple[str, ...]
    log_tail: str
    endpoints: Mapping[str, EndpointRate]


@dataclass(frozen=True)
class TrialFigures:
    """Figures of one trial that need the analysis."""

    scenario: str
    variant: str
    round: int
    throughput_rps: float | None
    latency_p50_ms: BoundedMs | None
    latency_p90_ms: BoundedMs | None
    latency_p99_ms: BoundedMs | None
    health_p50_ms: BoundedMs | None
    health_p90_ms: BoundedMs | None
    health_p99_ms: BoundedMs | None
    loop_lag_p50_ms: BoundedMs | None
    loop_lag_max_ms: BoundedMs | None
    id: str = ""
    """As in MeasuredTrial."""


@dataclass(frozen=True)
class FiguresRecord:
    """The file through which the report hands figures to the web UI."""

    schema: int
    trials: tuple[TrialFigures, ...]


@dataclass(frozen=True)
class TrialRecorded:
    """Harness to Locust: the measurement was recorded."""

    trial: MeasuredTrial
    kind: Literal["trial_recorded"] = "trial_recorded"


@dataclass(frozen=True)
class TrialNotRecorded:
    """Harness to Locust: the measurement was not recorded."""

    reason: str
    kind: Literal["trial_not_recorded"] = "trial_not_recorded"


@dataclass(frozen=True)
class FiguresReady:
    """Harness to Locust: trials were analysed."""

    trials: tuple[TrialFigures, ...]
    kind: Literal["figures_ready"] = "figures_ready"


@dataclass(frozen=True)
class ReportReady:
    """Harness to Locust: a run has a page."""

    run: str
    kind: Literal["report_ready"] = "report_ready"


# Locust to harness


@dataclass(frozen=True)
class TurnsDone:
    """Locust to harness: every turn was taken and every file written."""

    facts: Mapping[str, TrialFacts]
    """By variant."""
    measured_s: float = 0.0
    kind: Literal["turns_done"] = "turns_done"


@dataclass(frozen=True)
class LoadFailed:
    """Locust to harness: the load could not be run."""

    reason: str
    kind: Literal["load_failed"] = "load_failed"


@dataclass(frozen=True)
class MeasurementRequested:
    """Locust to harness, web UI only: somebody started a measurement."""

    choice: str
    """``scenario/variant``."""
    users: int
    rate_rps: float | None
    kind: Literal["measurement_requested"] = "measurement_requested"


@dataclass(frozen=True)
class MeasurementCancelled:
    """Locust to harness, web UI only: the measurement is not wanted any more."""

    kind: Literal["measurement_cancelled"] = "measurement_cancelled"


ToLocust = RunTurns | Configure | ServerStopping | TrialRecorded | TrialNotRecorded | FiguresReady | ReportReady
ToHarness = TurnsDone | LoadFailed | MeasurementRequested | MeasurementCancelled
ControlMessage = ToLocust | ToHarness


# Lines

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is not one of ours: a trial's facts take a few kilobytes."""

_ADAPTER: TypeAdapter[ControlMessage] = TypeAdapter(Annotated[ControlMessage, Field(discriminator="kind")])


class BadMessage(Exception):
    """A line that is no control message; the message says what is wrong with it, in one line."""


def encode(message: ControlMessage) -> bytes:
    """The message as one line."""
    return _ADAPTER.dump_json(message) + b"\n"


def decode(line: bytes) -> ControlMessage:
    """The message in a line. BadMessage when it is none."""
    try:
        return _ADAPTER.validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadMessage(f"{where}: {first['msg']}" if where else first["msg"]) from None
