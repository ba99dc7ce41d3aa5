"""Use a share of one core in bursts, as another program on the machine would: ``python burn_bursts.py --seconds 60``.

Bursts and pauses have exponential lengths, so that they do not keep step with anything.
"""

from __future__ import annotations

import argparse
import random
import time

MEAN_BURST_S = 0.2
MAX_SECONDS = 3 * 3600.0


def burn(share: float, seconds: float, seed: int) -> float:
    """Compute in bursts for ``share`` of the time; returns the CPU seconds used."""
    lengths = random.Random(seed)
    end_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < end_s:
        until_s = now_s + lengths.expovariate(1 / MEAN_BURST_S)
        while time.monotonic() < min(until_s, end_s):
            pass
        time.sleep(lengths.expovariate(share / (MEAN_BURST_S * (1 - share))))
    return time.process_time()


def main() -> None:
    """Parse the command line, and burn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.5, help="of one core, above 0 and below 1 [0.5]")
    parser.add_argument("--seconds", type=float, default=60.0, help="at most three hours [60]")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not 0 < options.share < 1 or not 0 < options.seconds <= MAX_SECONDS:
        parser.error("--share must lie between 0 and 1, --seconds between 0 and 10800")
    used_s = burn(options.share, options.seconds, options.seed)
    print(f"used {used_s:.1f} s of CPU in {options.seconds:.0f} s")


if __name__ == "__main__":
    main()
