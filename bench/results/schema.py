"""The contract between the half that measures and the half that analyses: one frozen dataclass for each record.

``layout.py`` says where each file lies, ``files.py`` reads and writes records, ``document.py`` makes
docs/file-formats.md and the JSON Schemas from this module. Standard library only.

Units stand in names. ``_s``, ``_ms``, ``_us`` are seconds, milliseconds, microseconds; ``_rps`` is requests a second.
Times without ``unix`` in their name are ``time.perf_counter`` in seconds (CLOCK_MONOTONIC on Linux), the same clock in
every process of one machine. ``ClockRecord`` says what to add for Unix time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from bench.model import Claim, Role, Status

SCHEMA = 2
"""Version of all files. It changes when old results cannot be read or compared any more; CHANGELOG.md says why."""

HEALTH_TIMEOUT_S = 1.0
"""The time-out that health checks are held against: the default of Kubernetes' probes (timeoutSeconds: 1)."""

MAX_WAITING_SHARE = 0.1
"""Share of the time that the load generator may wait for a core, in a turn and in a whole trial: another program used it."""

# run.json


@dataclass(frozen=True)
class CpuRecord:
    """The processor. A value that the system does not tell is null."""

    model: str | None = None
    architecture: str | None = None
    cores_logical: int | None = None
    cores_physical: int | None = None
    cores_usable: int | None = None
    """Cores that this process may run on."""
    smt: bool | None = None
    """Whether two threads share a core."""
    governor: str | None = None
    virtual_machine: bool | None = None


@dataclass(frozen=True)
class CgroupRecord:
    """Limits of the control group; null where there is none."""

    cpu_cores: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class PythonRecord:
    """The harness's interpreter."""

    implementation: str | None = None
    version: str | None = None
    build: str | None = None
    compiler: str | None = None
    debug: bool = False
    gil_enabled: bool | None = None
    free_threaded_build: bool | None = None


@dataclass(frozen=True)
class MachineRecord:
    """The fingerprint of the machine and of the software that can change a figure."""

    cpu: CpuRecord = field(default_factory=CpuRecord)
    memory_bytes: int | None = None
    kernel: str | None = None
    cgroup: CgroupRecord = field(default_factory=CgroupRecord)
    python: PythonRecord = field(default_factory=PythonRecord)
    packages: Mapping[str, str] = field(default_factory=dict)
    """Version of each package that matters, by name."""


@dataclass(frozen=True)
class GitRecord:
    """The harness's own revision."""

    revision: str
    dirty: bool
    """Whether files differ from that revision, new files included."""


@dataclass(frozen=True)
class LoadRecord:
    """The load: a number of looping users, or an arrival rate."""

    name: str
    """Name of the folder: ``users-32`` or ``rate-500``."""
    model: Literal["closed", "open"]
    """Closed: a user waits for the answer before the next request. Open: requests arrive by a schedule."""
    users: int | None = None
    rate_rps: float | None = None


@dataclass(frozen=True)
class BoundRecord:
    """The variant's throughput bound under the load."""

    formula: str
    kind: Literal["waiting", "cpu"]
    """``waiting``: a clock sets the bound and no measurement can exceed it. ``cpu``: a rough figure of one machine."""
    service_s: float
    """How long one place serves one request."""
    places: float | None
    """How many requests are served at once; null where there is no limit."""
    max_rps: float
    """Requests a second at most, under this load."""
    min_latency_s: float
    """Latency at least, under this load."""


@dataclass(frozen=True)
class VariantRecord:
    """One variant as it was measured."""

    name: str
    role: Role
    summary: str
    file: str = ""
    """Its source file, relative to the folder with the apps; empty for a server that ran already."""
    source: str = ""
    """Text of that file when it was measured."""
    workers: int = 1
    uvicorn_options: tuple[str, ...] = ()
    control_of: str = ""
    """Name of the variant that this one repeats (an A/A control); empty otherwise."""
    bound: BoundRecord | None = None


@dataclass(frozen=True)
class SweepRecord:
    """Another load under which the same variants were measured (``--sweep``)."""

    load: LoadRecord
    bounds: Mapping[str, BoundRecord | None]
    """The bound of each variant under this load, by the variant's name."""


@dataclass(frozen=True)
class ScenarioRecord:
    """One scenario of a run. A round counts when every variant has its trial.json; other rounds were cut short."""

    question: str
    path: str
    endpoint: str
    """What the bounds and verdicts are about, as Locust names it: ``GET /report``."""
    load: LoadRecord
    seed: int
    rounds: int
    measure_s: float
    """Seconds measured for each variant and round, as planned."""
    profile: str
    variants: tuple[VariantRecord, ...]
    claims: tuple[Claim, ...] = ()
    services: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of packages that only some scenarios need."""
    parallel: bool = False
    """Whether the server got every core, the generator's included."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """What else must be the same when the run is continued: name and digest. Digests, since a body or a variable may be
    a secret."""
    sweep: tuple[SweepRecord, ...] = ()


@dataclass(frozen=True)
class HeldLineRecord:
    """A line that held the event loop, outside the measurement: while the app started, or before it."""

    file: str
    line: int
    function: str
    callee: str
    stalled_s: float


@dataclass(frozen=True)
class EndpointRecord:
    """One operation that the doctor measured."""

    scenario: str
    """Folder of its trials."""
    endpoint: str
    """The operation as the app's document names it: ``GET /items/{item_id}``."""
    path: str
    alone_s: float
    """Median answer time before the measurement, one request at a time."""
    is_long: bool = False
    """Whether one answer takes so long that few or none end while it is measured: a stream, a long poll."""
    first_byte_s: float | None = None
    """Of a long one: seconds until its answer began; null where nothing came."""
    source: str = ""
    """Where the request's values come from: ``slug from GET /articles``. Empty: from the user or the document."""
    first_s: float = 0.0
    """How long the first request took before the measurement, which also pays for lazy imports and connections."""


@dataclass(frozen=True)
class BlockedRecord:
    """An operation that kept the server from answering anybody: there are no figures, and that is the finding."""

    endpoint: str
    path: str
    blocked_s: float
    at_least: bool
    """Whether the server was still blocked when it was stopped."""
    by: HeldLineRecord | None = None
    """The line that held the event loop; null where no line of the app is known."""
    source: str = ""
    under_load: bool = False
    """Whether it took several requests at once: one by one they were answered."""


@dataclass(frozen=True)
class SuspectedRecord:
    """A line of the app that a static check suspects, in code that was not measured."""

    file: str
    line: int
    rule: str
    message: str


@dataclass(frozen=True)
class SkippedRecord:
    """An operation that the doctor did not measure."""

    name: str
    reason: str
    group: str = ""
    """Why, for grouping: write, value, login, rate limit, once, rejected, unanswered, excluded or unsupported."""


@dataclass(frozen=True)
class FunctionRecord:
    """A function of the app whose role is known."""

    role: str
    """endpoint, dependency, middleware or start-up."""
    name: str
    file: str
    first: int
    """First line."""
    last: int
    """Last line."""
    awaits: bool | None = None
    """Whether its body awaits anything; null where it is not known."""


@dataclass(frozen=True)
class StartUpRecord:
    """The app's start."""

    ready_s: float
    """Seconds from the start of the process to the first answer."""
    stalls: tuple[HeldLineRecord, ...] = ()


@dataclass(frozen=True)
class ExcerptRecord:
    """Source lines around a line that held the server."""

    file: str
    line: int
    first: int
    """Number of the first line of ``text``."""
    text: tuple[str, ...]


@dataclass(frozen=True)
class DoctorRecord:
    """What only a run of the doctor has."""

    app: str
    python: str
    """Version of the app's interpreter; empty for a server that ran already."""
    uvicorn: str
    watched: bool
    """Whether the probe was in the server."""
    users: int
    health_probe: str
    """The operation that stands for all other requests."""
    endpoints: tuple[EndpointRecord, ...]
    skipped: tuple[SkippedRecord, ...] = ()
    functions: tuple[FunctionRecord, ...] = ()
    start_up: StartUpRecord = field(default_factory=lambda: StartUpRecord(0.0))
    excerpts: tuple[ExcerptRecord, ...] = ()
    blocked: tuple[BlockedRecord, ...] = ()
    driven: tuple[HeldLineRecord, ...] = ()
    """The lines that held the event loop while the user's own command drove the app."""
    suspected: tuple[SuspectedRecord, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of the app's packages that serve, or that often block."""


@dataclass(frozen=True)
class RunRecord:
    """run.json: what was measured, how and where."""

    schema: int
    name: str
    created_unix_s: float
    command: str
    """Command line that measures the same again, as a shell takes it."""
    machine: MachineRecord
    git: GitRecord | None
    scenarios: Mapping[str, ScenarioRecord]
    doctor: DoctorRecord | None = None


# trial.json


@dataclass(frozen=True)
class TurnRecord:
    """A turn as it took place."""

    pass_number: int
    """0 is the warm-up of the fresh server, which is never measured; measured passes start at 1."""
    start_s: float
    warm_until_s: float
    """End of the warm-up. Equal to ``end_s`` where nothing was measured."""
    end_s: float
    drained: bool | None
    """Whether every request was answered before the next turn; null for the group's last turn."""
    drain_s: float
    """Seconds until then."""
    taken_again: bool = False
    """Whether the generator had to wait for a core in its measured part, so that another turn took its place. It then
    counts as warm-up: ``pass_number`` is 0, and ``warm_until_s`` is ``end_s``."""


@dataclass(frozen=True)
class EndpointFacts:
    """Requests to one endpoint, over the measured parts of the trial's turns."""

    measured_s: float
    started: int
    finished: int
    """Answered with an expected status."""
    failed: int
    failed_in_warmup: int
    causes: Mapping[str, int]
    """Failures by cause, one of CAUSES."""
    statuses: Mapping[str, int]
    """Answers with an unexpected status, by status."""
    unfinished: int
    """Not answered at the end of their turn."""
    completed_late: int
    """Of the unfinished: answered before the next turn."""
    dropped: int
    """Arrivals that were not sent, since no connection was free."""
    reconnects: int
    throughput_rps: float | None
    """finished / measured_s; null where nothing was measured."""
    in_flight_mean: float | None
    """Requests in flight on average, from the summed latencies (Little's law)."""
    lag_p50_ms: float | None = None
    """Lag of the generator: sent minus intended. Open model only."""
    lag_p99_ms: float | None = None
    response_p50_ms: float | None = None
    errors: tuple[str, ...] = ()
    """At most 5 sample messages."""
    late_in_a_row: int | None = None
    """Health checks only: the most in a row that failed or took longer than HEALTH_TIMEOUT_S."""


@dataclass(frozen=True)
class TrialFacts:
    """What the load generator reports of one trial."""

    turns: tuple[TurnRecord, ...]
    endpoints: Mapping[str, EndpointFacts]
    generator_cpu_cores_max: float | None = None
    """Highest CPU use of a generator process in any half second, in cores."""
    generator_cpu_cores_mean: float | None = None
    generator_waiting_share_mean: float | None = None
    """Share of the time that the generator could run but had no core."""
    generator_stopped_s_max: float | None = None
    """Longest time that a generator process did not run at all although it was due, or that the machine was suspended."""


@dataclass(frozen=True)
class ClockRecord:
    """Both clocks, read at the same moment."""

    perf_counter_s: float
    unix_s: float


@dataclass(frozen=True)
class TimingsRecord:
    """How long the group took; null for a stage that was not reached."""

    ready_s: float | None = None
    """Until every server was ready."""
    total_s: float | None = None
    overhead_s: float | None = None
    """Beyond the planned load."""


@dataclass(frozen=True)
class CoresRecord:
    """Cores that the processes were kept on; null where they were not pinned."""

    server: tuple[int, ...] | None = None
    generator: tuple[int, ...] | None = None


@dataclass(frozen=True)
class PidsRecord:
    """Process numbers; null where the process was not started."""

    server: int | None = None
    locust: int | None = None


@dataclass(frozen=True)
class TrialRecord:
    """trial.json: one variant in one round, the unit of evidence. Written last: without it a trial was cut short."""

    schema: int
    scenario: str
    variant: str
    round: int
    load: LoadRecord
    group: str
    """Name of the group of servers that were up together."""
    position: int
    """Place of the variant in the group's order, from 1."""
    status: Status
    """ok: evidence. invalid: measured, but not trustworthy. failed: could not be measured."""
    reasons: tuple[str, ...]
    """Why it is not ok."""
    log_tail: str
    """End of the log that may tell why; empty when the trial is ok."""
    clock: ClockRecord
    timings: TimingsRecord
    pids: PidsRecord
    cores: CoresRecord
    port: int | None
    """null where the server was not started."""
    services: Mapping[str, str]
    """Version of each service, as the service itself tells it."""
    facts: TrialFacts | None
    """null where the load generator reported nothing."""
    files: Mapping[str, int]
    """Size in bytes of each other file of the trial. A file of another size was changed and is refused."""
    attempt: int = 1
    """Above 1 when the round was measured again, since a trial of the last attempt was invalid."""


# requests.hlog

KINDS = (
    *("service", "response", "lag", "failed", "unfinished"),
    *("straddling", "straddling_remaining", "straddling_unfinished"),
)
"""Kinds of histograms in requests.hlog. Values are integer microseconds.

service: done minus sent, of requests that began and ended well in the same warm-up or measured part.
response: done minus intended, of the same requests; open model only.
lag: sent minus intended; open model only.
failed: done minus intended, of failed requests.
unfinished: age at the turn's end of requests that began in that part and were not answered (right-censored).
straddling: done minus intended, of requests that began in an earlier part.
straddling_remaining: done minus the start of this part, of the same requests.
straddling_unfinished: age of those that were not answered.
"""

HISTOGRAM_MIN_US = 1
HISTOGRAM_MAX_US = 600_000_000
HISTOGRAM_DIGITS = 3
"""Significant digits of the histograms."""

INTERVAL_S = 1.0
"""The longest interval of requests.hlog and counts.csv, in seconds."""

EDGE_S = 1e-3
"""Slack when an interval is assigned to a turn: times are written with few decimals, and no interval is this short."""

# Rows of csv files. The fields are the columns, in this order; an empty cell is None.

CAUSES = ("status", "refused", "reset", "closed", "timeout", "malformed", "other")
"""Causes of failure: unexpected status; connection refused; reset; closed before the answer was complete; no answer
within the time-out; an answer that is not HTTP; anything else, such as an exception in the user's code."""


@dataclass(frozen=True)
class CountsRow:
    """counts.csv: one row for each interval and endpoint."""

    start_s: float
    end_s: float
    endpoint: str
    measured: int
    """1, or 0 in the warm-up."""
    started: int
    finished: int
    failed: int
    """Sum of the causes."""
    unfinished: int
    completed_late: int
    dropped: int
    in_flight: int
    """At the interval's end."""
    reconnects: int
    failed_status: int
    failed_refused: int
    failed_reset: int
    failed_closed: int
    failed_timeout: int
    failed_malformed: int
    failed_other: int


@dataclass(frozen=True)
class ServerRow:
    """server-<pid>.csv: one row every 100 ms for each worker process, written by the probe (every 500 ms when idle)."""

    at_s: float
    lag_ms: float | None
    """Lag of the loop's latest heartbeat, or how long it is overdue now."""
    lag_max_ms: float | None
    """Largest lag since the previous row, an overdue heartbeat included."""
    tokens_borrowed: float | None
    """Tokens of anyio's threadpool in use; empty until the app has a threadpool."""
    tokens_total: float | None
    tokens_waiting: float | None
    """Requests that wait for a token."""
    threads: int | None
    """Threads of Python, the probe's excluded."""
    cpu_s: float | None
    """CPU time of the process since its start."""
    loop_cpu_s: float | None
    """CPU time of the loop's thread; empty on macOS."""
    children_cpu_s: float | None
    """CPU time of the processes that it started through multiprocessing (process pools); empty on macOS."""
    rss_mb: float | None
    connections: int | None
    in_flight: int | None
    """Requests in flight; empty where uvicorn does not tell."""


STALL_KINDS = ("loop", "gil", "threadpool")
"""loop: a call held the loop's own thread. gil: the loop could run, but other threads held the interpreter lock; they
are charged. threadpool: every token was in use and requests waited; the functions that held the tokens are charged."""


@dataclass(frozen=True)
class StallRow:
    """stalls-<pid>.csv: one row for each part of a stall, at least every 100 ms while it lasts.

    A call shorter than the threshold (25 ms) that a sample found the loop asleep in is a stall of its own: it is charged
    with the sample interval (20 ms), as in a sampling profiler.
    """

    at_s: float
    """When the part began."""
    stall: int
    """Number of the stall; the parts of one stall add up."""
    kind: Literal["loop", "gil", "threadpool"]
    stalled_ms: float
    file: str
    """File of the deepest frame in the app's own code; empty where there is none."""
    line: int | None
    function: str
    callee: str
    """The call that the line is in, such as ``time.sleep``."""
    samples: int
    """Stack samples that support the row."""


@dataclass(frozen=True)
class SummaryRow:
    """summary.csv: one row for each figure."""

    scenario: str
    variant: str
    load: str
    endpoint: str
    metric: str
    unit: str
    value: float | None
    ci_low: float | None
    """95 % interval of the mean over rounds; empty where there is none."""
    ci_high: float | None
    trials: int
    at_least: int
    """1 where the value is a lower bound, else 0."""


@dataclass(frozen=True)
class ClaimsRow:
    """claims.csv: one row for each claim."""

    scenario: str
    claim: str
    verdict: Literal["confirmed", "refuted", "inconclusive"]
    evidence: str
    """One sentence with the figures that decided."""


def columns(row_type: type) -> tuple[str, ...]:
    """Names of a csv file's columns: the fields of its row type, in order."""
    return tuple(each.name for each in fields(row_type))


COUNTS_COLUMNS = columns(CountsRow)
SERVER_COLUMNS = columns(ServerRow)
STALLS_COLUMNS = columns(StallRow)
SUMMARY_COLUMNS = columns(SummaryRow)
CLAIMS_COLUMNS = columns(ClaimsRow)

# Server states

CATEGORIES = (
    "loop blocked",
    "threadpool exhausted",
    "GIL-bound",
    "CPU-bound",
    "waiting on others",
    "idle",
    "not enough data",
)
"""What a server was doing, a closed set. ``waiting on others`` is healthy: a server of awaited I/O does that."""


# doctor.json


@dataclass(frozen=True)
class LocationRecord:
    """A line of the app's own code."""

    file: str
    line: int
    function: str
    callee: str
    """The call that the line is in; empty where the line computes."""
    role: str
    """endpoint, dependency, middleware or start-up; empty for a function that one of them calls."""


@dataclass(frozen=True)
class GainRecord:
    """What a fix can bring at most."""

    formula: str
    max_rps: float
    capped: bool
    """The bound allows more, but no endpoint of this app was faster on this machine."""


@dataclass(frozen=True)
class FindingRecord:
    """One cause and what it costs."""

    category: str
    """One of CATEGORIES, lower case with hyphens."""
    location: LocationRecord | None
    endpoints: tuple[str, ...]
    everywhere: bool
    """In nearly all endpoints, so that none of them is blamed."""
    share: float
    """Share of the time, in the worst endpoint."""
    gain: GainRecord | None
    remedies: tuple[str, ...]
    """Markdown."""


@dataclass(frozen=True)
class EndpointVerdictRecord:
    """One endpoint's verdict."""

    endpoint: str
    category: str
    blamed: bool
    evidence: str
    problems: tuple[str, ...]
    """Why it could not be measured."""
    alone_ms: float | None
    throughput_rps: float | None
    health_p50_ms: float | None
    health_p90_ms: float | None
    health_max_ms: float | None
    is_long: bool = False
    """Whether few or no requests ended while it was measured: a stream, a long poll."""
    blocked_s: float | None = None
    """How long one request kept the server from answering anybody; it was not measured under load then."""
    source: str = ""
    """Where the values of its request come from; empty: from the user or the document."""


@dataclass(frozen=True)
class StartUpFindingRecord:
    """A line that held the app's start."""

    location: LocationRecord
    stalled_s: float


@dataclass(frozen=True)
class DoctorFindingsRecord:
    """doctor.json: the doctor's findings for programs."""

    schema: int
    app: str
    users: int
    headline: str
    findings: tuple[FindingRecord, ...]
    endpoints: tuple[EndpointVerdictRecord, ...]
    skipped: tuple[SkippedRecord, ...]
    start_up: tuple[StartUpFindingRecord, ...]
    operations: int = 0
    """Operations that could be asked: all but those that the user excluded."""
    operations_asked: int = 0
    """Those that were asked and judged."""
    driven: tuple[StartUpFindingRecord, ...] = ()
    """Lines that held the app while the user's own command drove it."""
    suspected: tuple[SuspectedRecord, ...] = ()
    """Lines that a static check suspects, none of which is in a finding."""


# calibration.json


@dataclass(frozen=True)
class CalibrationPartRecord:
    """One part of the calibration. Its rows are in ``<part>.csv``."""

    measured_unix_s: float
    rounds: int
    seed: int
    bytes: int
    """Size of the csv file."""


@dataclass(frozen=True)
class CalibrationRecord:
    """calibration.json: which parts were measured, and where."""

    schema: int
    machine: MachineRecord
    null_server: str
    parts: Mapping[str, CalibrationPartRecord]
