"""What the doctor's run says of an app: a verdict for every endpoint, and a finding for every line that holds it up.

    checkup = examine(read_run(folder))
    checkup.verdicts      # one an endpoint, in the document's order
    checkup.findings      # one a line (or an endpoint, where no line of the app's own is to blame), the worst first

A line is blamed once, however many endpoints it holds up: one in a middleware that blocks is in all of them, and they
are not accused of it. Pure functions over the run's files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.diagnosis import diagnosis, sums_of
from bench.analysis.server_state import EXHAUSTED_LEAST, STALLED_LEAST
from bench.analysis.summary import Figure, Summary, summarise
from bench.analysis.tables import Run, ScenarioTables, read_scenario
from bench.analysis.telemetry import LOOP_KINDS, Blame, blame
from bench.doctor.remedies import remedies, stand_in
from bench.model import bounds
from bench.results import files

VARIANT, ALONE, PROBER = "app", "alone", "GET prober"
"""As bench/doctor/plan.py names them."""

ILL = {"loop blocked": ("loop",), "GIL-bound": ("gil",), "threadpool exhausted": ("threadpool",)}
"""Categories that are somebody's fault, and the kinds of stall that show whose."""

EVERYWHERE_SHARE, EVERYWHERE_LEAST = 0.8, 3
"""A line that holds up so many of the endpoints belongs to none of them."""

COMPUTES_SHARE = 0.5
"""A loop that used CPU for more than half of the time that it was held was computing; else it waited in a call."""

ONE_REQUEST_MS = 25.0
"""The probe's threshold of a stall. A request that computes for less holds nobody up for that long; many at once, each
in its turn, do: such a server is busy, not blocked."""

START_UP_LEAST_S = 0.5
"""A start that is held up for less is nobody's concern."""


@dataclass(frozen=True)
class Place:
    """A function of the app's own code, and the line in it that was held most."""

    file: str
    line: int
    function: str
    callee: str
    """The call that the line is in, such as ``time.sleep``; empty where it computes by itself."""
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
class Waits:
    """What the prober waited; None where it cannot be told."""

    p50: Figure | None
    p90: Figure | None
    longest: Figure | None


@dataclass(frozen=True)
class Verdict:
    """One endpoint."""

    endpoint: str
    path: str
    category: str
    """One of schema.CATEGORIES; empty where it could not be measured, or nothing watched the server."""
    evidence: str
    troubles: tuple[str, ...]
    """Why it could not be measured."""
    alone_ms: float | None
    throughput: Figure | None
    latency: Figure | None
    prober: Waits
    held: tuple[tuple[Place, float], ...] = ()
    """Who holds it up, with the share of the time."""
    top: str = ""
    """Where its loop was held most, if in nobody's code: ``fastapi.encoders.jsonable_encoder``."""
    computes: bool = False

    @property
    def measured(self) -> bool:
        """Whether there are figures."""
        return self.throughput is not None


@dataclass(frozen=True)
class Gain:
    """What a fix can bring at most."""

    formula: str
    ceiling_rps: float
    capped: bool
    """The law allows more, but no endpoint of this app was faster here."""


@dataclass(frozen=True)
class Finding:
    """One cause, with what it costs."""

    category: str
    place: Place | None
    endpoints: tuple[str, ...]
    """Where it was seen, the worst first."""
    everywhere: bool
    share: float
    """Of the time, in the worst."""
    worst: Verdict
    gain: Gain | None
    remedies: tuple[str, ...]


@dataclass(frozen=True)
class DoctorReport:
    """All that is known of the app."""

    app: str
    users: int
    declared: dict[str, Any]
    """The doctor's part of run.json."""
    idle: Waits
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[tuple[str, str], ...]
    """Operations that were not asked, with the reason."""
    start_up: tuple[tuple[Place, float], ...]
    """Who held up the start, with the seconds."""

    @property
    def watched(self) -> bool:
        """Whether the probe was in its servers."""
        return bool(self.declared.get("watched", True))

    @property
    def costliest(self) -> Verdict | None:
        """The endpoint beside which the prober waits longest at the median; None where no median is known."""
        known = [verdict for verdict in self.verdicts if verdict.prober.p50]
        return max(known, key=lambda verdict: verdict.prober.p50.value if verdict.prober.p50 else 0.0, default=None)

    def failing(self, categories: Iterable[str]) -> tuple[str, ...]:
        """A line for each finding, and for each endpoint, of one of the ``categories`` (named with hyphens)."""
        wanted = set(categories)
        found = [f"{f.category}: {said_where(f)}" for f in self.findings if hyphened(f.category) in wanted]
        blamed = {name for finding in self.findings for name in finding.endpoints}
        others = [v for v in self.verdicts if hyphened(v.category) in wanted and v.endpoint not in blamed]
        return (*found, *(f"{verdict.category}: {verdict.endpoint}" for verdict in others))


def hyphened(category: str) -> str:
    """A category as the command line has it: ``loop-blocked``."""
    return category.lower().replace(" ", "-")


def said_where(finding: Finding) -> str:
    """``shop/db.py:12``, or the endpoint where no line of the app's own is to blame."""
    return finding.place.where if finding.place else finding.worst.endpoint


def examine(run: Run) -> DoctorReport:
    """Read and judge the doctor's run. BrokenFile where run.json lacks what it must say."""
    declared = _declared(run)
    if declared is None:
        raise files.BrokenFile(f"{run.folder / 'run.json'}: it is not a run of the doctor's")
    places = _Places(declared)
    scenarios = {scenario.name: scenario for scenario in run.scenarios}
    alone = _read(run, scenarios[ALONE])
    endpoints = [(each, scenarios[each["scenario"]]) for each in declared["endpoints"]]
    verdicts = tuple(_verdict(each, *_read(run, scenario), alone[1], places) for each, scenario in endpoints)
    return DoctorReport(
        app=str(declared["app"]),
        users=int(declared["users"]),
        declared=declared,
        idle=_waits(alone[1]),
        verdicts=verdicts,
        findings=tuple(_findings(verdicts, int(declared["users"]), _cores(run))),
        left_out=tuple((str(each["name"]), str(each["reason"])) for each in declared["left_out"]),
        start_up=tuple(_start_up(declared, places)),
    )


def _declared(run: Run) -> dict[str, Any] | None:
    declared = files.read_json(run.folder / "run.json").get("doctor")
    return declared if isinstance(declared, dict) else None


def _read(run: Run, scenario: Any) -> tuple[ScenarioTables, Summary]:
    frames = read_scenario(run, scenario)
    return frames, summarise(frames)


def _cores(run: Run) -> int:
    cores = (run.machine.get("cpu") or {}).get("cores_usable")
    return int(cores) if cores else 1


class _Places:
    """What is known of the app's functions: their roles, and the lines around those that were held."""

    def __init__(self, declared: dict[str, Any]) -> None:
        self._functions = declared.get("places") or []
        self._excerpts = {(each["file"], int(each["line"])): each for each in declared.get("excerpts") or []}

    def named(self, file: str, line: int, function: str, callee: str) -> Place:
        known = next((f for f in self._functions if f["file"] == file and f["first"] <= line <= f["last"]), None)
        excerpt = self._excerpts.get((file, line), {"first": 0, "text": ()})
        return Place(
            file,
            line,
            function,
            callee,
            role=str(known["role"]) if known else "",
            awaits=bool(known["awaits"]) if known else None,
            first=int(excerpt["first"]),
            excerpt=tuple(map(str, excerpt["text"])),
        )


def _verdict(
    declared: dict[str, Any], frames: ScenarioTables, summary: Summary, alone: Summary, places: _Places
) -> Verdict:
    name = str(declared["endpoint"])
    found = diagnosis(frames, summary, VARIANT)
    alone_ms = alone.value(VARIANT, name, "latency_p50_ms") or 1e3 * float(declared["alone_s"])
    troubles = tuple(reason for trouble in frames.troubles for reason in trouble.reasons)
    category = found.category if found else ""
    if category == "CPU-bound" and _is_long(summary, name) and _loop_stalled(frames, summary) >= STALLED_LEAST:
        category = "loop blocked"  # by what the framework computes for one request, such as a large answer
    charged = [place for place in blame(frames.stalls) if place.kind in ILL.get(category, ())]
    strangers = [place for place in charged if not place.file]
    held = tuple(_held(frames, charged, places))
    computes = found is not None and _computes(frames, summary)
    waits_there = any(stand_in(place.callee) for place, _ in held)
    if category == "GIL-bound" or (category == "loop blocked" and computes and not waits_there):
        category, held = (category, held) if _is_long(summary, name) else ("CPU-bound", ())
    return Verdict(
        endpoint=name,
        path=str(declared["path"]),
        category=category,
        evidence=found.evidence if found else "",
        troubles=troubles,
        alone_ms=alone_ms,
        throughput=summary.get(VARIANT, name, "throughput_rps"),
        latency=summary.get(VARIANT, name, "latency_p50_ms"),
        prober=_waits(summary),
        held=held,
        top=strangers[0].callee if strangers else "",
        computes=computes,
    )


def _held(frames: ScenarioTables, charged: Sequence[Blame], places: _Places) -> Iterator[tuple[Place, float]]:
    """The app's own functions that were charged with enough of the time, the worst first.

    By function, since what computes does so on several lines; the worst of them, and the call it is in, stand for it.
    """
    measured_ms = 1e3 * float((frames.trials["measured_s"] * frames.trials["workers"]).sum())
    functions: dict[tuple[str, str], list[Blame]] = {}
    for place in charged:
        if place.file and place.line is not None:
            functions.setdefault((place.file, place.function), []).append(place)
    shares = [(sum(each.stalled_ms for each in lines) / measured_ms, lines) for lines in functions.values()]
    for share, lines in sorted(shares, key=lambda item: -item[0]):
        least = STALLED_LEAST if lines[0].kind in LOOP_KINDS else EXHAUSTED_LEAST
        if share >= least:
            worst = max(lines, key=lambda each: each.stalled_ms)
            yield places.named(worst.file, worst.line or 0, worst.function, worst.callee), min(1.0, share)


def _loop_stalled(frames: ScenarioTables, summary: Summary) -> float:
    return sums_of(frames, summary, VARIANT).loop_stalled


def _computes(frames: ScenarioTables, summary: Summary) -> bool:
    sums = sums_of(frames, summary, VARIANT)
    return bool(sums.loop_stalled and (sums.loop_cpu_cores or 0.0) > COMPUTES_SHARE * sums.loop_stalled)


def _is_long(summary: Summary, endpoint: str) -> bool:
    """Whether one request computes for so long that it holds everybody up by itself."""
    rps, cores = summary.value(VARIANT, endpoint, "throughput_rps"), summary.value(VARIANT, "", "server_cpu_cores")
    return not rps or cores is None or 1e3 * cores / rps >= ONE_REQUEST_MS


def _waits(summary: Summary) -> Waits:
    p50, p90, longest = (summary.get(VARIANT, PROBER, f"latency_{name}_ms") for name in ("p50", "p90", "max"))
    return Waits(p50, p90, longest)


# Findings


def _findings(verdicts: Sequence[Verdict], users: int, cores: int) -> Iterator[Finding]:
    measured = [verdict for verdict in verdicts if verdict.category]
    held: dict[tuple[str, str, int], list[tuple[float, Place, Verdict]]] = {}
    for verdict in measured:
        for place, share in verdict.held:
            held.setdefault((verdict.category, place.file, place.line), []).append((share, place, verdict))
    fastest = max((v.throughput.value for v in measured if v.throughput), default=0.0)
    found = [_of_line(category, seen, len(measured)) for (category, _, _), seen in held.items()]
    found += [
        Finding(verdict.category, None, (verdict.endpoint,), False, 0.0, verdict, None, ())
        for verdict in measured
        if verdict.category in ILL and not verdict.held
    ]
    for finding in sorted(found, key=lambda each: (not each.everywhere, -each.share)):
        yield _with_fix(finding, users, cores, fastest)


def _of_line(category: str, seen: list[tuple[float, Place, Verdict]], measured: int) -> Finding:
    seen = sorted(seen, key=lambda item: -item[0])
    share, place, worst = seen[0]
    many = len(seen) >= max(EVERYWHERE_LEAST, EVERYWHERE_SHARE * measured)
    endpoints = tuple(verdict.endpoint for _, _, verdict in seen)
    return Finding(category, place, endpoints, many, share, worst, None, ())


def _with_fix(finding: Finding, users: int, cores: int, fastest_rps: float) -> Finding:
    place, worst = finding.place, finding.worst
    callee = place.callee if place else worst.top
    fixes = remedies(
        finding.category,
        callee=callee,
        role=place.role if place else "",
        function=place.function if place else worst.endpoint,
        awaits=place.awaits if place else None,
        computes=worst.computes,
    )
    law = _law(finding.category, worst, users, cores)
    gain = None
    if law is not None and worst.throughput is not None:
        ceiling = law.max_rps(users)
        gain = Gain(law.formula, min(ceiling, fastest_rps), ceiling > fastest_rps)
        if gain.ceiling_rps <= worst.throughput.value:
            gain = None
    return Finding(**{**vars(finding), "gain": gain, "remedies": fixes})


def _law(category: str, verdict: Verdict, users: int, cores: int) -> bounds.UpperBound | None:
    """What the endpoint could reach with the fix, S being what it takes alone."""
    if not verdict.alone_ms:
        return None
    alone_s = verdict.alone_ms / 1e3
    if category == "GIL-bound" or verdict.computes:
        return bounds.process_pool(alone_s, cores, cores)
    if category == "threadpool exhausted":
        return bounds.awaited(alone_s)
    return bounds.threadpool(alone_s)


def _start_up(declared: dict[str, Any], places: _Places) -> Iterator[tuple[Place, float]]:
    for stall in declared["start_up"]["stalls"]:
        if stall["stalled_s"] >= START_UP_LEAST_S:
            place = places.named(stall["file"], int(stall["line"]), stall["function"], stall["callee"])
            yield place, float(stall["stalled_s"])
