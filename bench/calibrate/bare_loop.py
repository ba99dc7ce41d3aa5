"""The limit of the machine: a loop that only sleeps to an absolute schedule.

python bench/calibrate/bare_loop.py RATE SECONDS    prints the lag of each wake-up in microseconds, as JSON
"""

from __future__ import annotations

import json
import sys
import time


def lags_us(rate_rps: float, seconds: float) -> list[int]:
    """Lag of each wake-up."""
    origin_s = time.perf_counter() + 0.1
    lags = []
    for number in range(int(rate_rps * seconds)):
        due_s = origin_s + number / rate_rps
        while (left_s := due_s - time.perf_counter()) > 0:
            time.sleep(left_s)
        lags.append(int((time.perf_counter() - due_s) * 1e6))
    return lags


if __name__ == "__main__":
    print(json.dumps(lags_us(float(sys.argv[1]), float(sys.argv[2]))))
