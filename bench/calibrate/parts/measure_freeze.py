"""Percentiles of a server that freezes for 1 s in every 5 s, as the open and the closed model measure them."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from bench.calibrate import null_server
from bench.calibrate.hub_load import HubLoad, run_hub_load
from bench.calibrate.rows import FreezeRow
from bench.calibrate.setup import USERS, CalibrationSetup, check_ready
from bench.results import schema
from bench.running.ports import free_port

FREEZE_S, EVERY_S, PERIODS, RATE_RPS = 1.0, 5.0, 3, 200
PERCENTILES = (50, 75, 82, 85, 90, 95, 98, 99)
KINDS = ("service", "response")


def measure_freeze(setup: CalibrationSetup) -> Iterator[FreezeRow]:
    """One row for each model, kind of latency, percentile and round."""
    for number in range(1, setup.rounds + 1):
        for model in setup.shuffled(("open", "closed"), number):
            setup.report(f"freeze: round {number}/{setup.rounds}, {model}")
            for (kind, percentile), value_ms in percentiles_ms(setup, model == "open").items():
                yield FreezeRow(number, model, kind, percentile, value_ms, FREEZE_S, EVERY_S, RATE_RPS)


def percentiles_ms(setup: CalibrationSetup, is_open: bool) -> dict[tuple[str, float], float]:
    """Each percentile by kind of latency, over one load."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with setup.start(null_server.freezing_command(port, FREEZE_S, EVERY_S), "freezing", generator=False) as server:
        check_ready(server, f"{url}/count")
        # Until half a period after the first freeze. Then the connections are open, and no turn ends in a freeze.
        warmup_s, measure_s = 1.5 * EVERY_S + FREEZE_S / 2, PERIODS * EVERY_S
        if is_open:
            load = HubLoad(warmup_s, measure_s, rate_rps=RATE_RPS)
        else:
            load = HubLoad(warmup_s, measure_s, users=USERS, think_time_s=USERS / RATE_RPS)
        run_hub_load(setup, url, load)
    return {(kind, at): value_ms for kind in KINDS for at, value_ms in _recorded_ms(setup, kind).items()}


def _recorded_ms(setup: CalibrationSetup, kind: str) -> dict[float, float]:
    from hdrh.histogram import HdrHistogram

    total = HdrHistogram(schema.HISTOGRAM_MIN_US, schema.HISTOGRAM_MAX_US, schema.HISTOGRAM_DIGITS)
    folder = setup.logs / "hub"
    with (folder / "counts.csv").open(encoding="utf-8", newline="") as file:
        measured = {row["start_s"] for row in csv.DictReader(file) if row["measured"] == "1"}
    for line in (folder / "requests.hlog").read_text(encoding="ascii").splitlines():
        if not line.startswith("Tag="):
            continue
        tag, start_s, _, _, payload = line.split(",")
        if tag.endswith(f":{kind}") and start_s in measured:
            total.decode_and_add(payload)
    if not total.get_total_count():
        return {}
    return {percentile: total.get_value_at_percentile(percentile) / 1000 for percentile in PERCENTILES}
