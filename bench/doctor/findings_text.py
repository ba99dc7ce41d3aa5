"""The doctor's findings in sentences, for its page, its files and the terminal. Plain text without markup."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.numbers import duration, rate, share
from bench.analysis.summary import Figure
from bench.doctor.findings import (
    LOW_COVERAGE,
    NOT_COUNTED,
    AppLocation,
    DoctorReport,
    EndpointVerdict,
    Finding,
    ProbeLatencies,
    location_of,
)
from bench.report.text import formatting
from bench.results.schema import SkippedRecord

MAX_NAMES = 3
"""Endpoints named in a title."""

WITHOUT_PROBE = (
    "The server ran without the probe. Which line holds it, and what its event loop, threads and CPU did, is not known. "
    "All endpoints were measured on the same server: unfinished work of one may have disturbed the next."
)

HEALTHY = {
    "CPU-bound": "healthy, limited by CPU",
    "waiting on others": "healthy, waits on others",
    "idle": "healthy",
}
"""Categories in which nothing of the app holds anybody up."""

REMEDIES = {
    "write": (
        ("may change data", "may change data"),
        'Name those that may be sent many times, `--include "POST /search*"`, or give `--include-writes` where the data '
        "may be changed at will.",
    ),
    "value": (
        ("needs a value that is not known", "need a value that is not known"),
        "`--write-params FILE` writes a file to fill in, for `--params FILE`. Or give recorded requests with `--har`, "
        "`--access-log` or `--drive`, or have values made up with `--generate`.",
    ),
    "login": (
        ("wants a login", "want a login"),
        'Give `--login "POST /token" --login-data FILE`, or the header itself with `--header "Authorization: Bearer …"`.',
    ),
    "rate limit": (
        ("was refused by a rate limiter", "were refused by a rate limiter"),
        "Switch it off for the measurement, as with a variable in `--env-file`.",
    ),
    "once": (
        ("answers well only once", "answer well only once"),
        "A request that creates or deletes something may not be repeated. `--params FILE` may have one that can.",
    ),
    "rejected": (
        ("answered with an error", "answered with an error"),
        "Give values that the app accepts with `--params FILE`.",
    ),
    "unanswered": (("did not answer", "did not answer"), "The server's log may tell why."),
    "excluded": (("was excluded by you", "were excluded by you"), "Leave out `--exclude`."),
    "unsupported": (("cannot be measured", "cannot be measured"), "HEAD costs what GET costs."),
}
"""Groups of operations that were not asked: why (of one, of several), and what to do about it."""

MIN_OF_THE_APP = 3
"""Operations that a rate limiter refused, for it to be one for the whole app."""

READING_WORDS = ("search", "filter", "query", "count", "list", "lookup", "preview", "validate", "paginate", "history")
"""Last parts of a path under which apps offer a POST that changes nothing, since its parameters do not fit into a query."""

EFFECTS = {
    "loop blocked": "blocks the event loop",
    "GIL-bound": "keeps the interpreter lock from the event loop",
    "threadpool exhausted": "uses up the threadpool",
}


def headline(report: DoctorReport) -> str:
    """The result in one or two sentences. Low coverage comes first."""
    app = formatting.clean(report.app, 80)
    if not any(verdict.judged for verdict in report.verdicts):
        return f"{app}: no endpoint could be measured."
    if not report.watched:
        found = _headline_without_probe(report, app)
    elif report.findings:
        found = _headline_with_findings(report)
    else:
        found = f"{app}: {_nothing_found(report)}"
    return found if _is_enough(report) else f"Only {_of_operations(report)} asked. {found}"


def _is_enough(report: DoctorReport) -> bool:
    return report.coverage >= LOW_COVERAGE


def _of_operations(report: DoctorReport) -> str:
    """``2 of 19 operations were``."""
    return f"{report.asked} of {report.operations} operations {'was' if report.asked == 1 else 'were'}"


def _nothing_found(report: DoctorReport) -> str:
    asked, all_of_them = report.asked, report.asked == report.operations
    operations = f"the {asked} of {report.operations} operations that were asked"
    if all_of_them:
        operations = "the only operation" if asked == 1 else f"all {asked} operations"
    elif not _is_enough(report):
        operations = "it" if asked == 1 else "them"
    slow = [verdict for verdict in report.verdicts if verdict.is_slow]
    if not slow:
        return f"no blocking found in {operations}, with {report.users} users at each."
    worst = max(slow, key=lambda verdict: verdict.others_wait_ms)
    return (
        f"no blocking found in {operations}, but beside {formatting.clean(worst.endpoint, 60)} other requests take "
        f"{duration(worst.others_wait_ms)}."
    )


def _headline_with_findings(report: DoctorReport) -> str:
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
    """How long other requests take while the worst endpoint of the finding is under load, or after one request to it."""
    worst = finding.worst
    if worst.blocked_s is None:
        return _cost_of(report, worst)
    endpoint = formatting.clean(worst.endpoint, 60)
    seconds = f"{'at least ' if worst.at_least else ''}{worst.blocked_s:.0f} s"
    if worst.under_load:
        return f"While {endpoint} is under load, the server answers nobody, for {seconds}."
    return f"One request to {endpoint} keeps the server from answering anybody for {seconds}."


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
    if not verdict.judged:
        return "not measured"
    if verdict.is_slow:
        return f"slow: {duration(verdict.others_wait_ms)} for others"
    if not verdict.category:
        return "no probe"
    everywhere = {finding.location for finding in report.findings if finding.everywhere}
    if verdict.held and all(location in everywhere for location, _ in verdict.held):
        return f"held by {formatting.clean(verdict.held[0][0].where, 60)}"
    return HEALTHY.get(verdict.category, verdict.category)


def note(verdict: EndpointVerdict) -> str:
    """One line that explains a verdict: what holds it, or what it does."""
    parts = [held(verdict)]
    if not parts[0]:
        parts = [formatting.clean(verdict.evidence)]
        if verdict.category == "CPU-bound" and verdict.throughput and not verdict.is_slow:
            parts = [f"healthy, limited by CPU at {rate(verdict.throughput.value)} requests/s"]
        if verdict.is_slow and verdict.hottest:
            lines = ", ".join(formatting.clean(location.where, 60) for location in verdict.hottest[:MAX_NAMES])
            parts.append(f"most of its CPU time: {lines}")
    if verdict.is_long:
        began = f"began after {duration(1e3 * verdict.first_byte_s)}" if verdict.first_byte_s else "did not begin"
        parts.append(f"a long answer: it {began}, and was in flight while the others were measured")
    if verdict.cold_s:
        parts.append(f"its first request took {verdict.cold_s:.1f} s: a cold start, which is not in these figures")
    if verdict.source:
        parts.append(f"asked with {formatting.clean(verdict.source, 120)}")
    return "; ".join(part for part in parts if part)


@dataclass(frozen=True)
class SkippedGroup:
    """Operations that were not asked for the same reason, and what to do about it."""

    title: str
    remedy: str
    """Markdown."""
    operations: tuple[SkippedRecord, ...]


def skipped_groups(report: DoctorReport) -> tuple[SkippedGroup, ...]:
    """What was not asked, by reason; the reason of most operations first, and last what nobody can ask."""
    groups: dict[str, list[SkippedRecord]] = {}
    for each in report.skipped:
        groups.setdefault(each.group if each.group in REMEDIES else "rejected", []).append(each)
    ordered = sorted(
        groups.items(), key=lambda item: (item[0] in NOT_COUNTED, not _is_of_the_app(*item), -len(item[1]))
    )
    return tuple(_skipped_group(group, tuple(found)) for group, found in ordered)


def _is_of_the_app(group: str, found: list[SkippedRecord]) -> bool:
    """Whether it is a rate limiter for the whole app: there is no figure of anything before it is switched off."""
    return group == "rate limit" and len(found) >= MIN_OF_THE_APP


def _skipped_group(group: str, found: tuple[SkippedRecord, ...]) -> SkippedGroup:
    (of_one, of_several), remedy = REMEDIES[group]
    title = of_one if len(found) == 1 else of_several
    if group == "write" and (words := _reading_words(found)):
        options = " ".join(f'`--include "POST *{word}"`' for word in words)
        remedy = f"Some look as if they only read: {options}. {remedy}"
    return SkippedGroup(title, remedy, found)


def _reading_words(found: tuple[SkippedRecord, ...]) -> list[str]:
    """The ends of paths by which POST operations look as if they only read."""
    ends = {each.name.rpartition("/")[2] for each in found if each.name.startswith("POST ")}
    return [f"/{word}" for word in READING_WORDS if word in ends]


def next_step(report: DoctorReport) -> str:
    """What raises the coverage most, in Markdown; empty where everything was asked."""
    groups = [each for each in skipped_groups(report) if each.operations[0].group not in NOT_COUNTED]
    if not groups:
        return ""
    first = groups[0]
    step = f"{len(first.operations)} of the others {first.title}. {first.remedy}"
    return f"{_of_operations(report)} asked. {step}" if _is_enough(report) else step


def problem(reason: str) -> str:
    """Why an endpoint could not be measured, with what helps where that is known."""
    if "status 429" in reason:
        return (
            f"{reason}. Its rate limiter refused: switch it off for the measurement, as with a variable in --env-file"
        )
    return reason


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
    return tuple(lines)
