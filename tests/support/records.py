"""Records of results files for tests: a trial with the given parts, and the rest made up."""

from __future__ import annotations

from bench.model import Load, Status
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


def trial_record(
    scenario: str, variant: str, number: int, load: Load, status: Status = "ok", facts: TrialFacts | None = None
) -> TrialRecord:
    """A trial without files."""
    return TrialRecord(
        schema=SCHEMA,
        scenario=scenario,
        variant=variant,
        round=number,
        load=LoadRecord(load.name, load.model, load.users, load.rate_rps),
        group="group-1",
        position=1,
        status=status,
        reasons=(),
        log_tail="",
        clock=ClockRecord(0.0, 0.0),
        timings=TimingsRecord(),
        pids=PidsRecord(),
        cores=CoresRecord(),
        port=8000,
        services={},
        facts=facts,
        files={},
    )
