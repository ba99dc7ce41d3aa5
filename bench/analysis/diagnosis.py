"""What a variant's server was doing, over all rounds: the probe's rows added up for bench.server.diagnosis to judge."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import pandas as pd

from bench.analysis.server_state import Diagnosis, Sums, diagnose
from bench.analysis.summary import Summary
from bench.analysis.tables import ScenarioTables


def diagnosis(tables: ScenarioTables, summary: Summary, variant: str) -> Diagnosis | None:
    """A category with one sentence of evidence; None where no round of ``variant`` was watched."""
    if not tables.watched_rounds(variant):
        return None
    return diagnose(sums_of(tables, summary, variant))


def sums_of(tables: ScenarioTables, summary: Summary, variant: str) -> Sums:
    """Over the measured parts of every watched round; the figures are the summary's own wherever it has them."""
    trials = tables.trials[(tables.trials["variant"] == variant) & tables.trials["workers"].notna()]
    rows = tables.server[(tables.server["variant"] == variant) & tables.server["measured"]]
    workers, cores = int(trials["workers"].max()), trials["cores"].max()
    worker_s = float((trials["measured_s"] * trials["workers"]).sum())
    stalls = tables.stalls[tables.stalls["variant"] == variant]
    return replace(
        added_up(rows, stalls, worker_s),
        workers=workers,
        cores=workers if math.isnan(cores) else int(cores),
        lag_p50_ms=summary.value(variant, "", "loop_lag_p50_ms"),
        lag_p99_ms=summary.value(variant, "", "loop_lag_p99_ms"),
        lag_max_ms=summary.value(variant, "", "loop_lag_max_ms"),
        tokens_total=summary.value(variant, "", "threads_total"),
        cpu_cores=_mean_known(trials["worker_cpu_cores"]),
        loop_cpu_cores=_mean_known(trials["loop_cpu_cores"]),
    )


def _mean_known(values: pd.Series[float]) -> float | None:
    known = [float(value) for value in values if not math.isnan(value)]
    return fmean(known) if known else None


def added_up(rows: pd.DataFrame, stalls: pd.DataFrame, worker_s: float) -> Sums:
    """What rows and stalls say by themselves: stalled shares and means, without what needs to know the turns.

    ``rows``: measured moments, workers merged (SERVER_COLUMNS); ``stalls``: STALL_COLUMNS with ``measured_ms``; ``worker_s``:
    seconds measured, times workers.
    """
    own = stalls[stalls["file"] != ""]
    loop_stalled = _share(stalls, "loop", worker_s)
    return Sums(
        rows=len(rows),
        loop_stalled=loop_stalled,
        gil_stalled=_share(stalls, "gil", worker_s),
        exhausted=_share(stalls, "threadpool", worker_s),
        own=_share(own, "loop", worker_s) / loop_stalled if loop_stalled else 0.0,
        tokens_borrowed=_mean(rows["tokens_borrowed"]),
        tokens_waiting=_mean(rows["tokens_waiting"]),
        in_flight=_mean(rows["in_flight"]),
    )


def _share(stalls: pd.DataFrame, kind: str, worker_s: float) -> float:
    return min(1.0, float(stalls.loc[stalls["kind"] == kind, "measured_ms"].sum()) / 1e3 / worker_s)


def _mean(column: pd.Series[float]) -> float | None:
    known = column.dropna()
    return float(known.mean()) if len(known) else None
