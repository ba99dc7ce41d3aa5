"""What the numbers say, in words: answers, chart titles and the table's cells. Pure functions over figures.

Every sentence is computed; where a number cannot be had the sentence says so or is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.analysis import telemetry
from bench.analysis.diagnosis import diagnosis
from bench.analysis.summary import ABOVE_TIMEOUT, PERCENTILES, Figure, Summary
from bench.analysis.survival import samples_needed
from bench.analysis.tables import HEALTH_ENDPOINT, ScenarioTables, VariantInfo
from bench.report.text import formatting

ONE_ROUND = "one round, no interval"

MATTERS = 0.95
"""A trap above this share of the best fix is within the margin of 5 %: "instead of" would mislead."""


MIN_STARVED = 0.5
"""Mean number of starved users, over turns and rounds, from which on it is printed."""
MIN_LATE_SHARE = 0.01
"""Share of health checks above 1 s from which on it is the headline."""


@dataclass(frozen=True)
class Cell:
    """A value in the table, and why it is a dash, or what else to know about it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class TableRow:
    """One variant's row."""

    variant: str
    summary: str
    role: str
    cells: tuple[Cell, ...]


COLUMNS = (
    "req/s",
    "ceiling",
    "% of ceiling",
    "p50",
    "p99",
    "starved",
    "health p50",
    "health p90",
    "health > 1 s",
    "failures",
    "never answered",
)


SERVER_COLUMNS = (
    "diagnosis",
    "loop lag p90",
    "loop lag max",
    "threads borrowed",
    "CPU cores",
    "CPU a request",
    "memory",
)
"""Of the second table: what the probe saw in the servers."""

NO_TELEMETRY = "no telemetry"

LATE_MS = 25.0
"""A loop that is late by less has not stalled: the probe's own threshold."""

ALIKE = 1.05
"""Factor between the dearest and the cheapest request below which they cost the same: the margin of 5 %."""


@dataclass(frozen=True)
class Roles:
    """Who plays which part: the worst trap and all fixes that have a throughput."""

    trap: VariantInfo | None
    fixes: tuple[VariantInfo, ...]
    others: tuple[VariantInfo, ...]


def roles_of(tables: ScenarioTables, summary: Summary) -> Roles:
    """The trap with the lowest throughput, the fixes from the slowest to the fastest, and everyone else."""

    def speed(variant: VariantInfo) -> float:
        return summary.value(variant.name, tables.scenario.endpoint, "throughput_rps") or 0.0

    ranked = sorted(tables.variants, key=speed)
    traps = [variant for variant in ranked if variant.role == "trap"]
    fixes = tuple(variant for variant in ranked if variant.role == "fix")
    return Roles(traps[0] if traps else None, fixes, tuple(v for v in ranked if v.role not in ("trap", "fix")))


def table(tables: ScenarioTables, summary: Summary) -> tuple[TableRow, ...]:
    """One row a variant of the scenario, those without evidence too, in the catalogue's order."""
    seen = {variant.name for variant in tables.variants}
    return tuple(
        TableRow(
            formatting.name_of(variant),
            formatting.summary_of(variant),
            variant.role,
            _cells(tables, summary, variant) if variant.name in seen else _no_evidence(tables, variant),
        )
        for variant in tables.scenario.variants
    )


def headline(tables: ScenarioTables, summary: Summary) -> str:
    """The scenario's finding in one sentence with the numbers that shock."""
    roles = roles_of(tables, summary)
    if roles.trap is None or not roles.fixes:
        return throughput_title(tables, summary)
    trap, best = (_rps(tables, summary, variant) for variant in (roles.trap, roles.fixes[-1]))
    if trap is None or best is None or trap.value > MATTERS * best.value:
        return throughput_title(tables, summary)
    sentence = f"One {_what(roles.trap)}: {_requests(trap)} instead of {formatting.rate(best.value)}"
    late = summary.value(roles.trap.name, HEALTH_ENDPOINT, ABOVE_TIMEOUT)
    if late is not None and late >= MIN_LATE_SHARE and not _nothing_answered(tables, roles.trap):
        return f"{sentence}, and {formatting.share(late)} of the health checks take longer than 1 s{_in_a_row(summary, roles.trap)}."
    waits = _health_waits(tables, summary, roles.trap)
    return f"{sentence}, and a health check that {waits}." if waits else f"{sentence}."


def answer(tables: ScenarioTables, summary: Summary) -> str:
    """Two or three plain sentences under the scenario's question."""
    if not tables.variants:
        return "No trial gave evidence, so there is no answer yet."
    parts = [
        throughput_title(tables, summary),
        latency_title(tables, summary),
        starving(tables, summary),
        health_title(tables, summary),
    ]
    return " ".join(f"{part}." for part in parts if part)


def starving(tables: ScenarioTables, summary: Summary) -> str:
    """For example: With ..., 14 of 32 users got no answer, the oldest for 8.7 s; the others had a median of 762 ms.

    The percentiles cannot show them: a user without an answer sends no second request. Empty where no user starved.
    """
    trap = roles_of(tables, summary).trap
    if trap is None:
        return ""
    endpoint = tables.scenario.endpoint
    words = starved_words(tables, summary, trap.name, endpoint)
    longest, median = (summary.get(trap.name, endpoint, f"latency_{name}_ms") for name in ("max", "p50"))
    if not words or longest is None:
        return ""
    others = f"; the others had a median of {formatting.duration(median.value)}" if median else ""
    return f"With {_what(trap)}, {words}, the oldest for {formatting.duration(longest.value)}{others}"


def starved_words(tables: ScenarioTables, summary: Summary, variant: str, endpoint: str) -> str:
    """``14 of 32 users got no answer``, or ``21 requests got no answer`` of a schedule; empty where none starved."""
    starved = summary.value(variant, endpoint, "starved_users") or 0.0
    if starved < MIN_STARVED:
        return ""
    users = tables.scenario.users
    if users is not None and endpoint == tables.scenario.endpoint:
        return f"{starved:.0f} of {users} users got no answer"
    return f"{starved:.0f} {formatting.plural(round(starved), 'request')} got no answer"


def throughput_title(tables: ScenarioTables, summary: Summary) -> str:
    """For example: time.sleep in async def: 19.9 requests/s, the fixes 550 to 586."""
    roles = roles_of(tables, summary)
    figures = {v.name: f for v in tables.variants if (f := _rps(tables, summary, v)) is not None}
    if roles.trap is not None and roles.trap.name in figures:
        trap = f"{_what(roles.trap)}: {_requests(figures[roles.trap.name])}"
        if roles.fixes:
            low, high = figures[roles.fixes[0].name], figures[roles.fixes[-1].name]
            return f"{trap}, {_the_fixes(roles)} {formatting.span(formatting.rate(low.value), formatting.rate(high.value))}"
        return trap + _of_possible(tables, summary, roles.trap)
    ranked = sorted(tables.variants, key=lambda variant: figures[variant.name].value)
    if not ranked:
        return "No trial gave evidence"
    if len(ranked) == 1:
        return f"{_what(ranked[0])}: {_requests(figures[ranked[0].name])}{_of_possible(tables, summary, ranked[0])}"
    fast, slow = figures[ranked[-1].name], figures[ranked[0].name]
    return f"{_what(ranked[-1])}: {_requests(fast)}; {_what(ranked[0])}: {formatting.rate(slow.value)}"


def latency_title(tables: ScenarioTables, summary: Summary) -> str:
    """For example: Half of the requests take at least 1.6 s with ..., 53 to 56 ms with the fixes."""
    words = _compared(tables, summary, tables.scenario.endpoint, "latency_p50_ms", "with")
    return f"Half of the requests take longer than {words}" if words else ""


def health_title(tables: ScenarioTables, summary: Summary) -> str:
    """For example: Half of the health checks take longer than 4.4 s beside ..., 5.5 to 9.8 ms beside the fixes."""
    unanswered = [v for v in tables.variants if v.role == "trap" and _nothing_answered(tables, v)]
    if unanswered:
        return f"Beside {_what(unanswered[0])}, not one health check was answered: {_tried(tables, unanswered[0])}"
    if late := _late_health_checks(tables, summary):
        roles = roles_of(tables, summary)
        medians = [summary.get(fix.name, HEALTH_ENDPOINT, "latency_p50_ms") for fix in roles.fixes]
        known = [median for median in medians if median is not None]
        return f"{late}; beside {_the_fixes(roles)} the median is {_range(known)}" if known else late
    words = _compared(tables, summary, HEALTH_ENDPOINT, "latency_p50_ms", "beside")
    return f"Half of the health checks take longer than {words}" if words else ""


def loop_title(tables: ScenarioTables, summary: Summary) -> str:
    """For example: time.sleep in async def holds the loop for up to 1.6 s at a time, all of the time; ...

    Empty where no server was watched.
    """
    lags = {v.name: lag for v in tables.variants if (lag := summary.value(v.name, "", "loop_lag_max_ms")) is not None}
    if not lags:
        return ""
    ranked = sorted((v for v in tables.variants if v.name in lags), key=lambda variant: -lags[variant.name])
    worst, longest = ranked[0], formatting.duration(lags[ranked[0].name])
    if lags[worst.name] < LATE_MS:
        queue = _queue(tables, summary)
        return f"{queue}{'no' if queue else 'No'} loop is ever late by more than {longest}"
    held, kept = (stalled_share(tables, worst.name, kinds) for kinds in (("loop",), ("gil",)))
    verb = "keeps the loop waiting" if kept > held else "holds the loop"
    often = f", {_of_the_time(held + kept)}" if held + kept else ""
    title = f"{_what(worst)} {verb} for up to {longest} at a time{often}"
    if len(ranked) == 1:
        return title
    others = "the other" if len(ranked) == 2 else "the others"
    return f"{title}; {others} for {formatting.duration(lags[ranked[1].name])} at most"


def cpu_title(tables: ScenarioTables, summary: Summary) -> str:
    """For example: A request costs the server 0.28 ms of CPU with ..., 0.62 ms with ...

    Process pools are included. What the worker of a queue spends is not.
    """
    metric = "server_cpu_per_request_ms"
    costs = {v.name: cost for v in tables.variants if (cost := summary.value(v.name, "", metric)) is not None}
    ranked = sorted((v for v in tables.variants if v.name in costs), key=lambda variant: costs[variant.name])
    if not ranked:
        return "CPU a request"
    low, high = (formatting.duration(costs[variant.name]) for variant in (ranked[0], ranked[-1]))
    if len(ranked) == 1:
        return f"{_what(ranked[0])}: a request costs the server {low} of CPU"
    if costs[ranked[-1].name] < ALIKE * costs[ranked[0].name]:
        return f"A request costs the server the same CPU with all of them: {formatting.span(low, high)}"
    return f"A request costs the server {low} of CPU with {_what(ranked[0])}, {high} with {_what(ranked[-1])}"


def stalled_share(tables: ScenarioTables, variant: str, kinds: tuple[str, ...] = telemetry.LOOP_KINDS) -> float:
    """The share of the measured time, of an average worker, for which stalls of ``kinds`` lasted."""
    trials = tables.trials[(tables.trials["variant"] == variant) & tables.trials["workers"].notna()]
    watched_s = float((trials["measured_s"] * trials["workers"]).sum())
    rows = tables.stalls[(tables.stalls["variant"] == variant) & tables.stalls["kind"].isin(kinds)]
    return min(1.0, float(rows["measured_ms"].sum()) / 1e3 / watched_s) if watched_s else 0.0


def server_table(tables: ScenarioTables, summary: Summary) -> tuple[TableRow, ...]:
    """What the probe saw, one row a variant that has evidence; empty where it saw none of them."""
    if not any(tables.watched_rounds(variant.name) for variant in tables.variants):
        return ()
    return tuple(
        TableRow(formatting.name_of(v), formatting.summary_of(v), v.role, _server_cells(tables, summary, v))
        for v in tables.variants
    )


def answered(tables: ScenarioTables, variant: str, endpoint: str) -> str:
    """``0 of 64 answered in 6.4 s`` where nothing was; empty where something was, or nothing was requested."""
    observed = tables.pooled_latencies(variant, endpoint)
    if observed.finished or not observed.total:
        return ""
    longest_ms = float(observed.censored_us[-1]) / 1e3
    return f"0 of {formatting.count(observed.total)} answered in {formatting.duration(longest_ms)}"


def _cells(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> tuple[Cell, ...]:
    endpoint = tables.scenario.endpoint
    return (
        _throughput_cell(tables, summary, variant),
        *_ceiling_cells(tables, summary, variant),
        _latency_cell(tables, summary, variant, endpoint, "p50"),
        _latency_cell(tables, summary, variant, endpoint, "p99"),
        _starved_cell(tables, summary, variant),
        _latency_cell(tables, summary, variant, HEALTH_ENDPOINT, "p50"),
        _latency_cell(tables, summary, variant, HEALTH_ENDPOINT, "p90"),
        _late_cell(tables, summary, variant),
        _count_cell(tables, summary, variant, "failures"),
        _count_cell(tables, summary, variant, "unfinished"),
    )


def _server_cells(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> tuple[Cell, ...]:
    found = diagnosis(tables, summary, variant.name)
    if found is None:
        return tuple(Cell(formatting.DASH, NO_TELEMETRY) for _ in SERVER_COLUMNS)
    return (
        Cell(found.category),
        _lag_cell(tables, summary, variant),
        _server_cell(summary, variant, "loop_lag_max_ms", formatting.latency),
        _threads_cell(summary, variant),
        _server_cell(summary, variant, "server_cpu_cores", lambda f: f"{f.value:.2f}"),
        _server_cell(summary, variant, "server_cpu_per_request_ms", lambda f: f"{formatting.with_half_width(f)} ms"),
        _server_cell(summary, variant, "server_rss_max_mb", lambda f: f"{formatting.count(f.value)} MB"),
    )


def _server_cell(summary: Summary, variant: VariantInfo, metric: str, in_words: Callable[[Figure], str]) -> Cell:
    figure = summary.get(variant.name, "", metric)
    return Cell(formatting.DASH, "too few samples") if figure is None else Cell(in_words(figure))


def _lag_cell(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> Cell:
    figure = summary.get(variant.name, "", "loop_lag_p90_ms")
    if figure is not None:
        return Cell(formatting.latency(figure))
    rows = tables.server[(tables.server["variant"] == variant.name) & tables.server["measured"]]
    needed = samples_needed(PERCENTILES["p90"])
    return Cell(formatting.DASH, f"needs {formatting.count(needed)} samples, has {formatting.count(len(rows))}")


def _threads_cell(summary: Summary, variant: VariantInfo) -> Cell:
    borrowed, total, waiting = (
        summary.value(variant.name, "", f"threads_{name}") for name in ("borrowed_max", "total", "waiting_max")
    )
    if borrowed is None:
        return Cell(formatting.DASH, "no threadpool in use")
    note = f"{formatting.count(waiting)} waiting" if waiting else ""
    return Cell(formatting.count(borrowed) + (f" of {formatting.count(total)}" if total else ""), note)


def _no_evidence(tables: ScenarioTables, variant: VariantInfo) -> tuple[Cell, ...]:
    statuses = sorted({trouble.status for trouble in tables.excluded if trouble.variant == variant.name})
    note = f"every trial {' or '.join(statuses)}" if statuses else "no complete round"
    return tuple(Cell(formatting.DASH, note) for _ in COLUMNS)


def _throughput_cell(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> Cell:
    figure = _rps(tables, summary, variant)
    if figure is None:
        return Cell(formatting.DASH, "not measured")
    return Cell(formatting.with_half_width(figure), ONE_ROUND if figure.ci_low is None else "")


def _ceiling_cells(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> tuple[Cell, Cell]:
    ceiling = summary.get(variant.name, tables.scenario.endpoint, "ceiling_rps")
    figure = _rps(tables, summary, variant)
    if ceiling is None or figure is None:
        return Cell(formatting.DASH, "no law for this pattern"), Cell(formatting.DASH, "no law for this pattern")
    reached = formatting.of_ceiling(figure.value, ceiling.value)
    return Cell(formatting.rate(ceiling.value), formatting.clean(variant.formula, 60)), Cell(reached)


def _latency_cell(tables: ScenarioTables, summary: Summary, variant: VariantInfo, endpoint: str, name: str) -> Cell:
    figure = summary.get(variant.name, endpoint, f"latency_{name}_ms")
    silence = answered(tables, variant.name, endpoint)
    if figure is not None:
        return Cell(formatting.latency(figure), silence)
    if silence:
        return Cell(formatting.DASH, silence)
    return Cell(formatting.DASH, _too_few(tables, variant, endpoint, PERCENTILES[name]))


def _starved_cell(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> Cell:
    """Starved users of the scenario's endpoint, with starved requests of the others in the note."""
    endpoint, users = tables.scenario.endpoint, tables.scenario.users
    starved = summary.value(variant.name, endpoint, "starved_users")
    if starved is None:
        return Cell(formatting.DASH, "not measured")
    others = [f"{e}: {words}" for e in tables.endpoints() if (words := starved_words(tables, summary, variant.name, e))]
    some = starved >= MIN_STARVED
    return Cell(f"{starved:.0f} of {users}" if some and users is not None else f"{starved:.0f}", ", ".join(others))


def _late_cell(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> Cell:
    figure = summary.get(variant.name, HEALTH_ENDPOINT, ABOVE_TIMEOUT)
    if figure is not None:
        return Cell(formatting.share(figure.value), _in_a_row(summary, variant).removeprefix(", "))
    total = tables.pooled_latencies(variant.name, HEALTH_ENDPOINT).total
    return Cell(formatting.DASH, "no probe was watched for 1 s" if total else "no probes")


def _count_cell(tables: ScenarioTables, summary: Summary, variant: VariantInfo, metric: str) -> Cell:
    """Of the scenario's endpoint and the health check together, with both in the note where they are not 0."""
    values = {e: summary.value(variant.name, e, metric) or 0.0 for e in tables.endpoints()}
    parts = [f"{formatting.count(value)} {formatting.clean(e, 60)}" for e, value in values.items() if value]
    return Cell(formatting.count(sum(values.values())), ", ".join(parts))


def _too_few(tables: ScenarioTables, variant: VariantInfo, endpoint: str, share: float) -> str:
    total = tables.pooled_latencies(variant.name, endpoint).total
    return f"needs {formatting.count(samples_needed(share))} requests, has {formatting.count(total)}"


def _queue(tables: ScenarioTables, summary: Summary) -> str:
    """``Up to 60 requests wait for a thread with ...; ``; empty where none does."""
    waiting = {v.name: summary.value(v.name, "", "threads_waiting_max") or 0.0 for v in tables.variants}
    most = max(tables.variants, key=lambda variant: waiting[variant.name])
    count = waiting[most.name]
    return f"With {_what(most)}, up to {formatting.count(count)} requests wait for a thread; " if count else ""


def _of_the_time(share: float) -> str:
    return "all of the time" if share >= 0.995 else f"{formatting.share(share)} of the time"


def _rps(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> Figure | None:
    return summary.get(variant.name, tables.scenario.endpoint, "throughput_rps")


def _requests(figure: Figure) -> str:
    return f"{formatting.rate(figure.value)} requests/s"


def _what(variant: VariantInfo) -> str:
    return formatting.summary_of(variant)


def _the_fixes(roles: Roles) -> str:
    return "the fixes" if len(roles.fixes) > 1 else _what(roles.fixes[0])


def _of_possible(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> str:
    ceiling = summary.get(variant.name, tables.scenario.endpoint, "ceiling_rps")
    return f" of {formatting.rate(ceiling.value)} possible" if ceiling else ""


def _compared(tables: ScenarioTables, summary: Summary, endpoint: str, metric: str, link: str) -> str:
    """``1.6 s with time.sleep in async def, 53 to 56 ms with the fixes``; empty where there is no figure."""
    roles = roles_of(tables, summary)
    trap = summary.get(roles.trap.name, endpoint, metric) if roles.trap else None
    fixes = [figure for variant in roles.fixes if (figure := summary.get(variant.name, endpoint, metric))]
    parts = []
    if roles.trap and trap:
        starved = starved_words(tables, summary, roles.trap.name, endpoint)
        note = f" ({starved})" if starved else ""
        parts.append(f"{formatting.duration(trap.value)} {link} {_what(roles.trap)}{note}")
    if fixes:
        words = "the fixes" if len(fixes) > 1 else _the_fixes(roles)
        parts.append(f"{_range(fixes)} {link} {words}")
    if parts:
        return ", ".join(parts)
    others = {v.name: f for v in roles.others if (f := summary.get(v.name, endpoint, metric))}
    shown = [variant for variant in roles.others if variant.name in others]
    return ", ".join(f"{formatting.duration(others[v.name].value)} {link} {_what(v)}" for v in shown[:2])


def _range(figures: list[Figure]) -> str:
    low, high = (pick(figures, key=lambda figure: figure.value) for pick in (min, max))
    return formatting.span(formatting.duration(low.value), formatting.duration(high.value))


def _health_waits(tables: ScenarioTables, summary: Summary, variant: VariantInfo) -> str:
    if _nothing_answered(tables, variant):
        return f"is never answered ({_tried(tables, variant)})"
    figure = summary.get(variant.name, HEALTH_ENDPOINT, "latency_p50_ms")
    if figure is None:
        return ""
    return f"waits {formatting.latency_words(figure)}"


def _late_health_checks(tables: ScenarioTables, summary: Summary) -> str:
    """``98 % of the health checks take longer than 1 s beside ...``; empty where hardly one does."""
    trap = roles_of(tables, summary).trap
    late = summary.value(trap.name, HEALTH_ENDPOINT, ABOVE_TIMEOUT) if trap else None
    if trap is None or late is None or late < MIN_LATE_SHARE:
        return ""
    return f"{formatting.share(late)} of the health checks take longer than 1 s beside {_what(trap)}"


def _in_a_row(summary: Summary, variant: VariantInfo) -> str:
    """``, up to 64 in a row``; empty for fewer than two, and where it is not known."""
    late = summary.value(variant.name, HEALTH_ENDPOINT, "late_in_a_row") or 0.0
    return f", up to {late:.0f} in a row" if late >= 2 else ""


def _nothing_answered(tables: ScenarioTables, variant: VariantInfo) -> bool:
    return bool(answered(tables, variant.name, HEALTH_ENDPOINT))


def _tried(tables: ScenarioTables, variant: VariantInfo) -> str:
    return answered(tables, variant.name, HEALTH_ENDPOINT)
