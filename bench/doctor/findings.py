"""The doctor's run judged: a verdict for each endpoint, and a finding for each line that holds the app.

    report = doctor_report(read_run(folder))
    report.verdicts      # one for each endpoint: first those that blocked the server at once, else in the document's order
    report.findings      # one for each line (or endpoint, where no line of the app is to blame), what costs others most first

A line is blamed once, however many endpoints it holds. A line of a middleware that blocks is in all of them, and the
endpoints are not blamed for it. Pure functions over the run's files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench.analysis.diagnosis import diagnosis, sums_of
from bench.analysis.run_reader import read_scenario
from bench.analysis.server_state import MIN_EXHAUSTED_SHARE, MIN_STALLED_SHARE
from bench.analysis.summary import Figure, Summary, summarise
from bench.analysis.tables import Run, ScenarioInfo, ScenarioTables
from bench.analysis.telemetry import LOOP_KINDS, Blame, blame
from bench.doctor.remedies import Cause, async_replacement, remedies
from bench.doctor.scenarios import ALONE, HEALTH_PROBE, VARIANT
from bench.model import bounds
from bench.results.files import BrokenFile
from bench.results.schema import (
    BlockedRecord,
    DoctorRecord,
    EndpointRecord,
    HeldLineRecord,
    SkippedRecord,
    SuspectedRecord,
)

BLAMED_KINDS = {"loop blocked": ("loop",), "GIL-bound": ("gil",), "threadpool exhausted": ("threadpool",)}
"""Categories that somebody causes, and the kinds of stall that show who."""

EVERYWHERE_SHARE, MIN_EVERYWHERE = 0.8, 3
"""A line that holds this share of the endpoints, and at least this many, belongs to none of them."""

MIN_COMPUTING_SHARE = 0.5
"""A loop that used CPU for more than half of the time that it was held was computing; else it waited in a call."""

ONE_REQUEST_MS = 25.0
"""The probe's threshold of a stall. A request that computes for less delays no request for that long. Many of them at once
do, each in its turn: such a server is busy, not blocked."""

SLOW_MS = 100.0
"""An endpoint beside which others wait for longer is not healthy, whatever the reason. A user notices a delay of 0.1 s
(Nielsen, Usability Engineering, 1993, section 5.5)."""

LOW_COVERAGE = 0.6
"""Where fewer of the operations were asked, that is said first: what was not asked may block as well."""

NOT_COUNTED = frozenset({"excluded", "unsupported"})
"""Reasons why an operation was not asked that no option can change, or that the user gave."""

MIN_COLD_S, COLD_RATIO = 1.0, 5.0
"""A first request that takes this long, and so many times as long as later ones, is a cold start: imports, connections."""

MIN_START_UP_S = 0.5
"""Shorter stalls at start-up are not worth a line."""


@dataclass(frozen=True)
class AppLocation:
    """A function of the app's own code, and the line in it that was held longest."""

    file: str
    line: int
    function: str
    callee: str
    """The call that the line is in, such as ``time.sleep``; empty where the line computes."""
    role: str
    """endpoint, dependency, middleware or start-up; empty for a function that one of them calls."""
    awaits: bool | None
    first: int = 0
    excerpt: tuple[str, ...] = ()
    """Lines of its source as it was measured, from line ``first`` on."""

    @property
    def where(self) -> str:
        """``shop/db.py:12``."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class ProbeLatencies:
    """Response times of the health probe, in ms; None where one is not known."""

    p50: Figure | None
    p90: Figure | None
    max: Figure | None


@dataclass(frozen=True)
class EndpointVerdict:
    """One endpoint."""

    endpoint: str
    path: str
    category: str
    """One of schema.CATEGORIES; empty where the endpoint could not be measured or the server had no probe."""
    evidence: str
    problems: tuple[str, ...]
    """Why it could not be measured."""
    alone_ms: float | None
    throughput: Figure | None
    latency: Figure | None
    health: ProbeLatencies
    held: tuple[tuple[AppLocation, float], ...] = ()
    """The functions that hold it, each with its share of the time."""
    top_callee: str = ""
    """Where the loop was held longest, outside the app's code: ``fastapi.encoders.jsonable_encoder``."""
    computes: bool = False
    hottest: tuple[AppLocation, ...] = ()
    """The functions that took most of its CPU time, where that delays nobody by itself."""
    source: str = ""
    """Where the values of its request come from; empty: from the user or the document."""
    is_long: bool = False
    """Whether one answer takes so long that few or none ended: a stream, a long poll."""
    first_byte_s: float | None = None
    """Of a long one: seconds until its answer began, without other requests."""
    cold_s: float = 0.0
    """How long its first request took, where that was far longer than the later ones."""
    blocked_s: float | None = None
    """How long one request blocked the server before the measurement; it was not measured under load then."""
    at_least: bool = False
    """Whether the server was still blocked when it was stopped."""
    under_load: bool = False
    """Whether it took several requests at once to block it."""

    @property
    def measured(self) -> bool:
        """Whether there are figures."""
        return self.throughput is not None or (self.is_long and not self.problems)

    @property
    def judged(self) -> bool:
        """Whether something is known of it."""
        return self.measured or self.blocked_s is not None

    @property
    def others_wait_ms(self) -> float:
        """What it costs other requests: their median response time, or how long one request blocked them."""
        if self.blocked_s is not None:
            return 1e3 * self.blocked_s
        known = self.health.p50 or self.health.max
        return known.value if known else 0.0

    @property
    def is_slow(self) -> bool:
        """Whether others wait noticeably, though nothing of the app is to blame by the categories."""
        known = self.health.p50
        return self.category not in BLAMED_KINDS and known is not None and known.value > SLOW_MS


@dataclass(frozen=True)
class PossibleGain:
    """What a fix can bring at most."""

    formula: str
    max_rps: float
    capped: bool
    """The bound allows more, but no endpoint of this app was faster on this machine."""


@dataclass(frozen=True)
class Finding:
    """One cause, and what it costs."""

    category: str
    location: AppLocation | None
    endpoints: tuple[str, ...]
    """Where it was found, the worst first."""
    everywhere: bool
    share: float
    """Share of the time, in the worst endpoint."""
    worst: EndpointVerdict
    gain: PossibleGain | None = None
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True)
class DoctorReport:
    """All that is known of the app."""

    record: DoctorRecord
    idle: ProbeLatencies
    """The health probe while no endpoint is under load."""
    verdicts: tuple[EndpointVerdict, ...]
    findings: tuple[Finding, ...]
    start_up: tuple[tuple[AppLocation, float], ...]
    """The lines that held the start, with the seconds."""
    driven: tuple[tuple[AppLocation, float], ...] = ()
    """The lines that held the app while the user's own command drove it, with the seconds."""

    @property
    def app(self) -> str:
        """The app as the user named it."""
        return self.record.app

    @property
    def users(self) -> int:
        """Users at each endpoint."""
        return self.record.users

    @property
    def watched(self) -> bool:
        """Whether the probe was in the servers."""
        return self.record.watched

    @property
    def skipped(self) -> tuple[SkippedRecord, ...]:
        """Operations that were not measured."""
        return self.record.skipped

    @property
    def suspected(self) -> tuple[SuspectedRecord, ...]:
        """Lines that a static check suspects, but those in functions that were found to block."""
        found = {(each.location.file, each.location.function) for each in self.findings if each.location}
        lines = {(each.location.file, each.location.line) for each in self.findings if each.location}
        return tuple(
            each
            for each in self.record.suspected
            if (each.file, each.line) not in lines
            and not any(
                f.file == each.file and f.first <= each.line <= f.last and (f.file, f.name) in found
                for f in self.record.functions
            )
        )

    @property
    def operations(self) -> int:
        """Operations that could be asked: all but those that the user excluded."""
        return len(self.verdicts) + sum(each.group not in NOT_COUNTED for each in self.skipped)

    @property
    def coverage(self) -> float:
        """The share of the operations that was asked and judged."""
        return self.asked / self.operations if self.operations else 1.0

    @property
    def asked(self) -> int:
        """Operations that were asked and judged."""
        return sum(verdict.judged for verdict in self.verdicts)

    @property
    def costliest(self) -> EndpointVerdict | None:
        """The endpoint that costs the health probe most at the median; None where no median is known."""
        known = [verdict for verdict in self.verdicts if verdict.health.p50 and verdict.blocked_s is None]
        return max(known, key=lambda verdict: verdict.health.p50.value if verdict.health.p50 else 0.0, default=None)

    def failing(self, categories: Iterable[str]) -> tuple[str, ...]:
        """A line for each finding and each endpoint of one of the ``categories`` (named with hyphens)."""
        wanted = set(categories)
        found = [f"{each.category}: {location_of(each)}" for each in self.findings if hyphened(each.category) in wanted]
        blamed = {name for finding in self.findings for name in finding.endpoints}
        others = [v for v in self.verdicts if hyphened(v.category) in wanted and v.endpoint not in blamed]
        return (*found, *(f"{verdict.category}: {verdict.endpoint}" for verdict in others))


def hyphened(category: str) -> str:
    """A category as the command line names it: ``loop-blocked``."""
    return category.lower().replace(" ", "-")


def location_of(finding: Finding) -> str:
    """``shop/db.py:12``, or the endpoint where no line of the app is to blame."""
    return finding.location.where if finding.location else finding.worst.endpoint


def doctor_report(run: Run) -> DoctorReport:
    """Read and judge the doctor's run. BrokenFile when it is not one."""
    record = run.doctor
    if record is None:
        raise BrokenFile(f"{run.folder / 'run.json'}: this is not a run of the doctor")
    functions = _Functions(record)
    scenarios = {scenario.name: scenario for scenario in run.scenarios}
    alone = _read(run, scenarios[ALONE])[1]
    verdicts = (
        *(_blocked_verdict(each, functions) for each in record.blocked),
        *(
            _verdict(each, *_read(run, scenarios[each.scenario]), alone, functions)
            for each in record.endpoints
            if each.endpoint not in {blocked.endpoint for blocked in record.blocked}
        ),
    )
    return DoctorReport(
        record=record,
        idle=_health_latencies(alone),
        verdicts=verdicts,
        findings=tuple(_findings(verdicts, record.users, run.machine.cpu.cores_usable or 1)),
        start_up=tuple(_held_outside(record.start_up.stalls, functions)),
        driven=tuple(_held_outside(record.driven, functions)),
    )


def _read(run: Run, scenario: ScenarioInfo) -> tuple[ScenarioTables, Summary]:
    tables = read_scenario(run, scenario)
    return tables, summarise(tables)


class _Functions:
    """What is known of the app's functions: their roles, and the lines around those that were held."""

    def __init__(self, record: DoctorRecord) -> None:
        self._functions = record.functions
        self._excerpts = {(each.file, each.line): each for each in record.excerpts}

    def locate(self, file: str, line: int, function: str, callee: str) -> AppLocation:
        known = next((f for f in self._functions if f.file == file and f.first <= line <= f.last), None)
        location = AppLocation(
            file, line, function, callee, role=known.role if known else "", awaits=known.awaits if known else None
        )
        excerpt = self._excerpts.get((file, line))
        return replace(location, first=excerpt.first, excerpt=excerpt.text) if excerpt else location


def _verdict(
    record: EndpointRecord, tables: ScenarioTables, summary: Summary, alone: Summary, functions: _Functions
) -> EndpointVerdict:
    name = record.endpoint
    found = diagnosis(tables, summary, VARIANT)
    category = found.category if found else ""
    if (
        category == "CPU-bound"
        and _is_long(tables, summary, name)
        and _loop_stalled(tables, summary) >= MIN_STALLED_SHARE
    ):
        category = "loop blocked"  # by what the framework computes for one request, such as a large answer
    charged = [each for each in blame(tables.stalls) if each.kind in BLAMED_KINDS.get(category, ())]
    outside = [each for each in charged if not each.file]
    held = tuple(_held(tables, charged, functions))
    hottest = tuple(location for location, _ in held)
    computes = found is not None and _computes(tables, summary)
    waits = any(async_replacement(location.callee) for location, _ in held)
    if (category == "GIL-bound" or (category == "loop blocked" and computes and not waits)) and not _is_long(
        tables, summary, name
    ):
        category, held = "CPU-bound", ()
    return EndpointVerdict(
        endpoint=name,
        path=record.path,
        category=category,
        evidence=found.evidence if found else "",
        problems=tuple(reason for trial in tables.excluded for reason in trial.reasons),
        alone_ms=alone.value(VARIANT, name, "latency_p50_ms") or 1e3 * record.alone_s,
        throughput=summary.get(VARIANT, name, "throughput_rps"),
        latency=summary.get(VARIANT, name, "latency_p50_ms"),
        health=_health_latencies(summary),
        held=held,
        top_callee=outside[0].callee if outside else "",
        computes=computes,
        hottest=() if held else hottest,
        source=record.source,
        is_long=record.is_long,
        first_byte_s=record.first_byte_s,
        cold_s=record.first_s if record.first_s > max(MIN_COLD_S, COLD_RATIO * record.alone_s) else 0.0,
    )


def _blocked_verdict(record: BlockedRecord, functions: _Functions) -> EndpointVerdict:
    """An endpoint that blocked the server when it was asked once."""
    by = record.by
    location = functions.locate(by.file, by.line, by.function, by.callee) if by else None
    what = "under its load the server answered nobody"
    if not record.under_load:
        what = "one request kept the server from answering anybody"
    return EndpointVerdict(
        endpoint=record.endpoint,
        path=record.path,
        category="loop blocked",
        evidence=f"{what} for {'at least ' if record.at_least else ''}{record.blocked_s:.0f} s",
        problems=(),
        alone_ms=None,
        throughput=None,
        latency=None,
        health=ProbeLatencies(None, None, None),
        held=((location, 1.0),) if location else (),
        computes=location is not None and not location.callee,
        source=record.source,
        blocked_s=record.blocked_s,
        at_least=record.at_least,
        under_load=record.under_load,
    )


def _held(
    tables: ScenarioTables, charged: Sequence[Blame], functions: _Functions
) -> Iterator[tuple[AppLocation, float]]:
    """The app's own functions that are charged with enough of the time, the worst first.

    Lines are added up by function, since a function that computes does so on several lines. The worst line stands for
    the function.
    """
    measured_ms = 1e3 * float((tables.trials["measured_s"] * tables.trials["workers"]).sum())
    by_function: dict[tuple[str, str], list[Blame]] = {}
    for each in charged:
        if each.file and each.line is not None:
            by_function.setdefault((each.file, each.function), []).append(each)
    shares = [(sum(each.stalled_ms for each in lines) / measured_ms, lines) for lines in by_function.values()]
    for share, lines in sorted(shares, key=lambda item: -item[0]):
        if share >= (MIN_STALLED_SHARE if lines[0].kind in LOOP_KINDS else MIN_EXHAUSTED_SHARE):
            worst = max(lines, key=lambda each: each.stalled_ms)
            yield functions.locate(worst.file, worst.line or 0, worst.function, worst.callee), min(1.0, share)


def _loop_stalled(tables: ScenarioTables, summary: Summary) -> float:
    return sums_of(tables, summary, VARIANT).loop_stalled


def _computes(tables: ScenarioTables, summary: Summary) -> bool:
    sums = sums_of(tables, summary, VARIANT)
    return bool(sums.loop_stalled and (sums.loop_cpu_cores or 0.0) > MIN_COMPUTING_SHARE * sums.loop_stalled)


def _is_long(tables: ScenarioTables, summary: Summary, endpoint: str) -> bool:
    """Whether one request computes long enough to stall the loop by itself."""
    rps, cores = summary.value(VARIANT, endpoint, "throughput_rps"), sums_of(tables, summary, VARIANT).cpu_cores
    return not rps or cores is None or 1e3 * cores / rps >= ONE_REQUEST_MS


def _health_latencies(summary: Summary) -> ProbeLatencies:
    return ProbeLatencies(*(summary.get(VARIANT, HEALTH_PROBE, f"latency_{name}_ms") for name in ("p50", "p90", "max")))


# Findings


def _findings(verdicts: Sequence[EndpointVerdict], users: int, cores: int) -> Iterator[Finding]:
    measured = [verdict for verdict in verdicts if verdict.category]
    held: dict[tuple[str, str, int], list[tuple[float, AppLocation, EndpointVerdict]]] = {}
    for verdict in measured:
        for location, share in verdict.held:
            held.setdefault((verdict.category, location.file, location.line), []).append((share, location, verdict))
    fastest_rps = max((v.throughput.value for v in measured if v.throughput), default=0.0)
    found = [_of_line(category, seen, len(measured)) for (category, _, _), seen in held.items()]
    found += [
        Finding(verdict.category, None, (verdict.endpoint,), False, 0.0, verdict)
        for verdict in measured
        if verdict.category in BLAMED_KINDS and not verdict.held
    ]
    for finding in sorted(found, key=lambda each: (not each.everywhere, -each.worst.others_wait_ms, -each.share)):
        yield replace(finding, gain=_gain(finding, users, cores, fastest_rps), remedies=remedies(_cause(finding)))


def _of_line(category: str, seen: list[tuple[float, AppLocation, EndpointVerdict]], measured: int) -> Finding:
    seen = sorted(seen, key=lambda item: -item[0])
    share, location, worst = seen[0]
    everywhere = len(seen) >= max(MIN_EVERYWHERE, EVERYWHERE_SHARE * measured)
    endpoints = tuple(verdict.endpoint for _, _, verdict in seen)
    return Finding(category, location, endpoints, everywhere, share, worst)


def _cause(finding: Finding) -> Cause:
    location, worst = finding.location, finding.worst
    if location is None:
        return Cause(finding.category, worst.top_callee, function=worst.endpoint, computes=worst.computes)
    return Cause(
        finding.category, location.callee, location.role, location.function, location.awaits, computes=worst.computes
    )


def _gain(finding: Finding, users: int, cores: int, fastest_rps: float) -> PossibleGain | None:
    """What the fix can bring at most; None where no bound is known or the endpoint is there already."""
    bound, throughput = _bound(finding.category, finding.worst, users, cores), finding.worst.throughput
    if bound is None or throughput is None:
        return None
    max_rps = bound.max_rps(users)
    gain = PossibleGain(bound.formula, min(max_rps, fastest_rps), max_rps > fastest_rps)
    return gain if gain.max_rps > throughput.value else None


def _bound(category: str, verdict: EndpointVerdict, users: int, cores: int) -> bounds.UpperBound | None:
    """The endpoint's bound with the fix, where S is its answer time alone."""
    if not verdict.alone_ms:
        return None
    alone_s = verdict.alone_ms / 1e3
    if category == "GIL-bound" or verdict.computes:
        return bounds.process_pool(alone_s, cores, cores)
    if category == "threadpool exhausted":
        return bounds.awaited(alone_s)
    return bounds.threadpool(alone_s)


def _held_outside(stalls: Iterable[HeldLineRecord], functions: _Functions) -> Iterator[tuple[AppLocation, float]]:
    """The lines that held the app outside the measurement, with the seconds."""
    for stall in stalls:
        if stall.stalled_s >= MIN_START_UP_S:
            yield functions.locate(stall.file, stall.line, stall.function, stall.callee), stall.stalled_s
