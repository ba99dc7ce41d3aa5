"""What the doctor found, in sentences; used by its page, its files and the terminal alike. Plain text, harmless."""

from __future__ import annotations

from bench.analysis.numbers import duration, rate, share
from bench.analysis.summary import Figure
from bench.doctor.findings import DoctorReport, Finding, Place, Verdict, Waits, said_where
from bench.report.text import formatting

NAMES_SHOWN = 3

NO_PROBE = (
    "There was no probe in this server: which line holds it up, and what its loop, its threads and its CPU did, is not "
    "known. It was the same server for all endpoints: the leftovers of one may have disturbed the next."
)

STATES = {
    "loop blocked": "blocks the loop",
    "GIL-bound": "keeps the interpreter from the loop",
    "threadpool exhausted": "uses up the threadpool",
}


def headline(checkup: DoctorReport) -> str:
    """The finding of the whole visit."""
    findings = checkup.findings
    app = formatting.clean(checkup.app, 80)
    if not any(verdict.measured for verdict in checkup.verdicts):
        return f"{app}: no endpoint could be measured."
    if not checkup.watched:
        return _unwatched(checkup, app)
    if not findings:
        return f"{app}: nothing blocks it at {checkup.users} users an endpoint."
    worst = findings[0]
    rest = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
    return f"{title(worst)}{rest}. {cost(checkup, worst)}"


def _unwatched(checkup: DoctorReport, app: str) -> str:
    worst = checkup.costliest
    if worst is None:
        return f"{app}: measured, but too shortly to tell what its endpoints cost each other."
    return f"{app}: {_wait_beside(checkup, worst)} Why is not known without the probe."


def title(finding: Finding) -> str:
    """``shop/db.py:12 blocks the loop of every endpoint``."""
    return f"{formatting.clean(said_where(finding), 120)} {STATES[finding.category]}{_of_whom(finding)}"


def _of_whom(finding: Finding) -> str:
    if finding.everywhere:
        return " in every endpoint"
    if finding.place is None:
        return ""
    return f" in {names(finding.endpoints)}"


def names(endpoints: tuple[str, ...]) -> str:
    """The first few, and how many more."""
    shown = [formatting.clean(name, 60) for name in endpoints[:NAMES_SHOWN]]
    more = len(endpoints) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def who(place: Place) -> str:
    """``dependency current_user, in requests.api.get``."""
    role = {"": "function"}.get(place.role, place.role)
    callee = f", in {formatting.clean(place.callee, 80)}" if place.callee else ""
    return f"{role} {formatting.clean(place.function, 80)}{callee}"


def cost(checkup: DoctorReport, finding: Finding) -> str:
    """What everybody else waits meanwhile, beside what they wait when nobody asks."""
    return _wait_beside(checkup, finding.worst)


def _wait_beside(checkup: DoctorReport, verdict: Verdict) -> str:
    waited, idle = verdict.prober.p50 or verdict.prober.longest, checkup.idle.p50
    if waited is None:
        return ""
    usual = f", {duration(idle.value)} when nobody asks" if idle else ""
    half = "half of the requests to the cheapest endpoint wait"
    if not verdict.prober.p50:
        half = "a request to the cheapest endpoint waits"
    return f"Beside {formatting.clean(verdict.endpoint, 60)}, {half} {formatting.latency_words(waited)}{usual}."


def gain(checkup: DoctorReport, finding: Finding) -> str:
    """What a fix can bring; empty where no law tells."""
    now, most = finding.worst.throughput, finding.gain
    if now is None or most is None:
        return ""
    why = "as many as the fastest endpoint here answers" if most.capped else f"{most.formula}"
    return (
        f"{formatting.clean(finding.worst.endpoint, 60)}: {rate(now.value)} requests/s now, at most "
        f"{rate(most.ceiling_rps)} with the fix ({why})."
    )


def state(checkup: DoctorReport, verdict: Verdict) -> str:
    """A verdict in a few words, for a table."""
    if not verdict.measured:
        return "not measured"
    if not verdict.category:
        return "not watched"
    everywhere = {finding.place for finding in checkup.findings if finding.everywhere}
    if verdict.held and all(place in everywhere for place, _ in verdict.held):
        return f"held up by {formatting.clean(verdict.held[0][0].where, 60)}"
    return verdict.category


def is_ill(checkup: DoctorReport, verdict: Verdict) -> bool:
    """Whether the endpoint itself is accused: a line that holds up every endpoint is not its own."""
    return any(verdict.endpoint in finding.endpoints and not finding.everywhere for finding in checkup.findings)


def held(verdict: Verdict) -> str:
    """Whose line it is: ``shop/db.py:12 (97 %)``."""
    return ", ".join(f"{formatting.clean(place.where, 80)} ({share(of)})" for place, of in verdict.held)


def figure(known: Figure | None) -> str:
    """A time, or a dash."""
    return formatting.latency(known) if known is not None else formatting.DASH


def waits(prober: Waits) -> tuple[str, str, str]:
    """The prober's median, 90th percentile and maximum."""
    return figure(prober.p50), figure(prober.p90), figure(prober.longest)


def unknowns(checkup: DoctorReport) -> tuple[str, ...]:
    """What the visit cannot tell, said openly."""
    said = [] if checkup.watched else [NO_PROBE]
    said += [
        f"Each endpoint was asked one way only, by {checkup.users} users: what other parameters, other data or more "
        "users bring to light is not known.",
        "One round, no interval: a figure may be off by a tenth; a cause by name is not a matter of tenths.",
    ]
    if checkup.left_out:
        said.append(
            f"{len(checkup.left_out)} operation(s) were not asked at all; they are listed below with the reason."
        )
    return tuple(said)
