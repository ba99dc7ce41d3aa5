"""Judges a trial and writes its trial.json."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.model import Status
from bench.results import files
from bench.results.schema import (
    SCHEMA,
    ClockRecord,
    CoresRecord,
    LoadRecord,
    PidsRecord,
    TimingsRecord,
    TrialFacts,
    TrialRecord,
)
from bench.running import probe_setup
from bench.running.group_servers import GroupServer, GroupSetup
from bench.running.log_tail import tail
from bench.running.redaction import Redactor
from bench.running.validity import Evidence, judge


@dataclass(frozen=True)
class LoadResult:
    """What the load generator did."""

    facts: Mapping[str, TrialFacts] = field(default_factory=dict)
    """By variant."""
    failure: str | None = None
    log: Path = Path()
    pid: int | None = None


@dataclass(frozen=True)
class GroupResult:
    """What happened to a group."""

    setup: GroupSetup
    servers: tuple[GroupServer, ...]
    load: LoadResult
    service_versions: Mapping[str, str]
    timings: TimingsRecord


def write_trial(result: GroupResult, server: GroupServer, redact: Redactor) -> TrialRecord:
    """Judge the trial of one server, and write its record without secrets."""
    name, group = server.variant.name, result.setup.group
    facts = result.load.facts.get(name)
    status, reasons = _verdict(result, server, facts)
    log = result.load.log if status == "failed" and server.failure is None else server.log
    cores = result.setup.cores
    trial = TrialRecord(
        schema=SCHEMA,
        scenario=result.setup.scenario.name,
        variant=name,
        round=group.round,
        load=LoadRecord(group.load.name, group.load.model, group.load.users, group.load.rate_rps),
        group=group.name,
        position=group.variants.index(name) + 1,
        attempt=group.attempt,
        status=status,
        reasons=tuple(map(redact, reasons)),
        log_tail=redact(tail(log)) if status != "ok" else "",
        clock=ClockRecord(time.perf_counter(), time.time()),
        timings=result.timings,
        pids=PidsRecord(server.process.pid if server.process else None, result.load.pid),
        cores=CoresRecord(cores.server, cores.generator) if cores else CoresRecord(),
        port=server.started.port if server.started else None,
        services=result.service_versions,
        facts=_redacted(facts, redact) if facts else None,
        files=files.file_sizes(server.folder),
    )
    files.write_record(server.folder / "trial.json", trial)
    return trial


def _redacted(facts: TrialFacts, redact: Redactor) -> TrialFacts:
    """The facts with redacted messages of errors: some contain what was sent."""
    endpoints = {
        name: replace(endpoint, errors=tuple(map(redact, endpoint.errors)))
        for name, endpoint in facts.endpoints.items()
    }
    return replace(facts, endpoints=endpoints)


def _verdict(result: GroupResult, server: GroupServer, facts: TrialFacts | None) -> tuple[Status, tuple[str, ...]]:
    if server.failure is not None:
        return "failed", (server.failure,)
    if result.load.failure is not None:
        return "failed", (result.load.failure,)
    if facts is None:
        return "failed", ("Locust reported nothing of this trial",)
    setup, variant = result.setup, server.variant
    holder = probe_setup.holder_of_the_loop(server.folder, facts.turns) if variant.probed else None
    evidence = Evidence(
        facts,
        setup.scenario.endpoint,
        setup.group.load,
        variant.bound,
        sum(turn.measure_s for turn in setup.group.turns if turn.variant == variant.name),
        setup.scenario.secondary_endpoints,
        setup.scenario.has_think_time,
        setup.scenario.has_long_requests,
        holder.words if holder else "",
    )
    reasons = judge(evidence)
    if variant.probed:
        missing = probe_setup.missing_telemetry(server.folder, facts.turns, variant.workers)
        reasons += (missing,) if missing else ()
    return ("invalid", reasons) if reasons else ("ok", ())
