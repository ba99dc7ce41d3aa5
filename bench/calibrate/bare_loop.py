"""The machine's own limit: a loop that sleeps to an absolute timetable and does nothing else.

python bench/calibrate/bare_loop.py RATE SECONDS    prints the lag of each wake-up in microseconds, as JSON
"""

from __future__ import annotations

import json
import sys
import time


def lags_us(rate_rps: float, seconds: float) -> list[int]:
    """How late each wake-up was."""
    origin_s = time.perf_counter() + 0.1
    late = []
    for number in range(int(rate_rps * seconds)):
        due_s = origin_s + number / rate_rps
        while (left_s := due_s - time.perf_counter()) > 0:
            time.sleep(left_s)
        late.append(int((time.perf_counter() - due_s) * 1e6))
    return late


if __name__ == "__main__":
    print(json.dumps(lags_us(float(sys.argv[1]), float(sys.argv[2]))))
