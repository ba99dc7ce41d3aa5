"""What a variant's server was doing, over all rounds: the probe's rows added up for bench.server.diagnosis to judge."""

from __future__ import annotations

import math
from statistics import fmean

import pandas as pd

from bench.analysis.frames import Frames
from bench.analysis.summary import Summary
from bench.server.diagnosis import Diagnosis, Sums, diagnose


def diagnosis(frames: Frames, summary: Summary, variant: str) -> Diagnosis | None:
    """A category with one sentence of evidence; None where no round of ``variant`` was watched."""
    if not frames.watched_rounds(variant):
        return None
    return diagnose(sums_of(frames, summary, variant))


def sums_of(frames: Frames, summary: Summary, variant: str) -> Sums:
    """Over the measured parts of every watched round; the figures are the summary's own wherever it has them."""
    trials = frames.trials[(frames.trials["variant"] == variant) & frames.trials["workers"].notna()]
    rows = frames.server[(frames.server["variant"] == variant) & frames.server["measured"]]
    workers, cores = int(trials["workers"].max()), trials["cores"].max()
    worker_s = float((trials["measured_s"] * trials["workers"]).sum())
    stalls = frames.stalls[frames.stalls["variant"] == variant]
    stalled_s = {
        str(kind): float(ms) / 1e3
        for kind, ms in stalls.groupby(stalls["kind"].astype(str))["measured_ms"].sum().items()
    }
    loop_s = stalled_s.get("loop", 0.0)
    own_s = float(stalls.loc[(stalls["kind"] == "loop") & (stalls["file"] != ""), "measured_ms"].sum()) / 1e3
    known = [float(used) for used in trials["loop_cpu_cores"] if not math.isnan(used)]
    return Sums(
        rows=len(rows),
        workers=workers,
        cores=workers if math.isnan(cores) else int(cores),
        loop_stalled=min(1.0, loop_s / worker_s),
        gil_stalled=min(1.0, stalled_s.get("gil", 0.0) / worker_s),
        exhausted=min(1.0, stalled_s.get("threadpool", 0.0) / worker_s),
        own=own_s / loop_s if loop_s else 0.0,
        lag_p50_ms=summary.value(variant, "", "loop_lag_p50_ms"),
        lag_p99_ms=summary.value(variant, "", "loop_lag_p99_ms"),
        lag_max_ms=summary.value(variant, "", "loop_lag_max_ms"),
        tokens_borrowed=_mean(rows["tokens_borrowed"]),
        tokens_total=summary.value(variant, "", "threads_total"),
        tokens_waiting=_mean(rows["tokens_waiting"]),
        cpu_cores=summary.value(variant, "", "server_cpu_cores"),
        loop_cpu_cores=fmean(known) if known else None,
        in_flight=_mean(rows["in_flight"]),
    )


def _mean(column: pd.Series[float]) -> float | None:
    known = column.dropna()
    return float(known.mean()) if len(known) else None
