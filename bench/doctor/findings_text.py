"""The doctor's findings in sentences, for its page, its files and the terminal. Plain text without markup."""

from __future__ import annotations

from bench.analysis.numbers import duration, rate, share
from bench.analysis.summary import Figure
from bench.doctor.findings import AppLocation, DoctorReport, EndpointVerdict, Finding, ProbeLatencies, location_of
from bench.report.text import formatting

MAX_NAMES = 3
"""Endpoints named in a title."""

WITHOUT_PROBE = (
    "The server ran without the probe. Which line holds it, and what its event loop, threads and CPU did, is not known. "
    "All endpoints were measured on the same server: unfinished work of one may have disturbed the next."
)

EFFECTS = {
    "loop blocked": "blocks the event loop",
    "GIL-bound": "keeps the interpreter lock from the event loop",
    "threadpool exhausted": "uses up the threadpool",
}


def headline(report: DoctorReport) -> str:
    """The result in one or two sentences."""
    app = formatting.clean(report.app, 80)
    if not any(verdict.measured for verdict in report.verdicts):
        return f"{app}: no endpoint could be measured."
    if not report.watched:
        return _headline_without_probe(report, app)
    if not report.findings:
        return f"{app}: no blocking found with {report.users} users at each endpoint."
    worst = report.findings[0]
    rest = f", and {len(report.findings) - 1} more" if len(report.findings) > 1 else ""
    return f"{title(worst)}{rest}. {cost(report, worst)}"


def _headline_without_probe(report: DoctorReport, app: str) -> str:
    worst = report.costliest
    if worst is None:
        return f"{app}: measured, but not long enough to tell what the endpoints cost each other."
    return f"{app}: {_cost_of(report, worst)} The cause is not known without the probe."


def title(finding: Finding) -> str:
    """``shop/db.py:12 blocks the event loop in every endpoint``."""
    return f"{formatting.clean(location_of(finding), 120)} {EFFECTS[finding.category]}{_endpoints_of(finding)}"


def _endpoints_of(finding: Finding) -> str:
    if finding.everywhere:
        return " in every endpoint"
    return f" in {names(finding.endpoints)}" if finding.location else ""


def names(endpoints: tuple[str, ...]) -> str:
    """The first few endpoints, and how many more there are."""
    shown = [formatting.clean(name, 60) for name in endpoints[:MAX_NAMES]]
    more = len(endpoints) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def describe(location: AppLocation) -> str:
    """``dependency current_user, in requests.api.get``."""
    callee = f", in {formatting.clean(location.callee, 80)}" if location.callee else ""
    return f"{location.role or 'function'} {formatting.clean(location.function, 80)}{callee}"


def cost(report: DoctorReport, finding: Finding) -> str:
    """How long other requests take while the worst endpoint of the finding is under load."""
    return _cost_of(report, finding.worst)


def _cost_of(report: DoctorReport, verdict: EndpointVerdict) -> str:
    latency, idle = verdict.health.p50 or verdict.health.max, report.idle.p50
    if latency is None:
        return ""
    unloaded = f" (idle: {duration(idle.value)})" if idle else ""
    which = "the median request" if verdict.health.p50 else "the longest request"
    probed = formatting.clean(report.record.health_probe, 60)
    endpoint = formatting.clean(verdict.endpoint, 60)
    return f"While {endpoint} is under load, {which} to {probed} takes {formatting.latency_words(latency)}{unloaded}."


def gain(finding: Finding) -> str:
    """What a fix can bring at most; empty when no bound is known."""
    now, possible = finding.worst.throughput, finding.gain
    if now is None or possible is None:
        return ""
    why = "as many as the fastest endpoint of this app" if possible.capped else possible.formula
    return (
        f"{formatting.clean(finding.worst.endpoint, 60)}: {rate(now.value)} requests/s now, at most "
        f"{rate(possible.max_rps)} with the fix ({why})."
    )


def state(report: DoctorReport, verdict: EndpointVerdict) -> str:
    """A verdict in a few words, for a table."""
    if not verdict.measured:
        return "not measured"
    if not verdict.category:
        return "no probe"
    everywhere = {finding.location for finding in report.findings if finding.everywhere}
    if verdict.held and all(location in everywhere for location, _ in verdict.held):
        return f"held by {formatting.clean(verdict.held[0][0].where, 60)}"
    return verdict.category


def is_blamed(report: DoctorReport, verdict: EndpointVerdict) -> bool:
    """Whether the endpoint itself is blamed. A line that holds every endpoint is not its own."""
    return any(verdict.endpoint in finding.endpoints and not finding.everywhere for finding in report.findings)


def held(verdict: EndpointVerdict) -> str:
    """The lines that hold the endpoint: ``shop/db.py:12 (97 %)``."""
    return ", ".join(f"{formatting.clean(location.where, 80)} ({share(of)})" for location, of in verdict.held)


def figure(value: Figure | None) -> str:
    """A time, or a dash."""
    return formatting.latency(value) if value is not None else formatting.DASH


def latencies(health: ProbeLatencies) -> tuple[str, str, str]:
    """The health probe's median, 90th percentile and maximum."""
    return figure(health.p50), figure(health.p90), figure(health.max)


def limits(report: DoctorReport) -> tuple[str, ...]:
    """What the measurement cannot tell."""
    lines = [] if report.watched else [WITHOUT_PROBE]
    lines += [
        f"Each endpoint was measured with one request and {report.users} users. Other parameters, other data and more "
        "users may show more.",
        "There is one round, so there is no interval. A figure may be off by a tenth; the cause does not depend on that.",
    ]
    if report.skipped:
        lines.append(f"{len(report.skipped)} operation(s) were not measured. The list below gives the reasons.")
    return tuple(lines)
