"""The targets of calibration: what the harness must reach on the machine where it measures."""

from __future__ import annotations

MIN_OF_FAST_HTTP_USER, MIN_OF_WRK, AIM_OF_WRK, MAX_CPU_OF_FAST_HTTP_USER = 10.0, 0.7, 0.9, 0.1
"""Throughput relative to FastHttpUser and to wrk, and CPU per request relative to FastHttpUser. A generator that costs
as much as the server it measures measures itself."""
LAG_RATE_RPS = 1000
"""The rate at which the lag is judged: about that of one FastAPI worker with a little work to do."""
MAX_LAG_RATIO = 1.5
"""Relative to the bare loop, which is the limit of the machine."""
MAX_OFF_SHARE, MAX_OFF_MS = 0.02, 2.0
"""Deviation from the computed value, whichever is more. Steps of the histograms and wake-ups are within that."""
CLAIM_PERCENTILE = 90
"""The percentile at which the closed model is quoted: half of the requests that meet the freeze lie beyond."""
MAX_NOISE_RATIO = 1 / 3
"""Noise of taking turns relative to one after another. A third is worth nine times the rounds."""
MAX_MEMORY_MB = 20.0
"""How much more memory 10 million requests may take than 100 thousand."""
OVERHEAD_S, OVERHEAD_PER_SERVER_S = 1.5, 0.7
"""How long a group may take beyond its load, and for each of its servers: Python, FastAPI and Locust start."""
MIN_PROBED_RATIO = 0.98
"""Throughput with the probe relative to without."""
MAX_FALSE_SHARE, MIN_FOUND_SHARE = 0.1, 0.9
"""Verdicts on identical and on slowed variants. A true 5 % test calls at most 4 of 40 identical pairs different, 95
times in 100."""


def max_overhead_s(servers: int) -> float:
    """How long a group of ``servers`` may take beyond its load."""
    return OVERHEAD_S + OVERHEAD_PER_SERVER_S * servers
