"""A long run: is the memory of harness, Locust, server and probe flat, and do the files grow as predicted?

    python tests/soak/soak.py --seconds 3600                # headless
    python tests/soak/soak.py --seconds 3600 --web          # through the web UI, in measurements of 10 minutes

Every few seconds the resident memory of each process is read (/proc/<pid>/smaps_rollup: Pss, so that shared pages count
once). After the first quarter, in which caches fill, a line is fitted to each process's memory (Theil-Sen: the median of
all slopes between two samples). It is flat when its growth over the rest is below MAX_GROWTH_MB, or not distinguishable
from zero (the 95 % interval of Sen's slope).
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
EVERY_S = 5.0
MAX_GROWTH_MB = 2.0
WEB_S = 600.0
"""The longest measurement that the web UI's form allows."""
SETTLING = 0.25


def role(process: psutil.Process) -> str:
    """What a process of the harness's tree does; empty for those that live shortly."""
    words = " ".join(process.cmdline())
    if "supervisor.py" in words:
        return ""
    for name, mark in (("server and probe", "uvicorn"), ("Locust", "-m locust"), ("report", "bench report")):
        if mark in words:
            return name
    return "harness" if "-m bench" in words else ""


def memory_mb(root: psutil.Process) -> dict[str, float]:
    """Memory of each role in MB."""
    found: dict[str, float] = {}
    for process in (root, *root.children(recursive=True)):
        try:
            if name := role(process):
                found[name] = found.get(name, 0.0) + process.memory_full_info().pss / 1e6
        except psutil.Error:
            continue
    return found


def flat(samples: list[tuple[float, float]]) -> tuple[bool, str]:
    """Whether a process's memory is flat, and its figures in a line."""
    at_s, used = zip(*samples[int(len(samples) * SETTLING) :], strict=True)
    slope, _, low, high = stats.theilslopes(used, at_s, 0.95)
    length_s = at_s[-1] - at_s[0]
    growth, bounds = slope * length_s, (low * length_s, high * length_s)
    text = f"{used[0]:.1f} to {used[-1]:.1f} MB, growth {growth:+.2f} MB ({bounds[0]:+.2f} to {bounds[1]:+.2f})"
    return growth < MAX_GROWTH_MB or bounds[0] <= 0 <= bounds[1], text


def size_mb(folder: Path) -> dict[str, float]:
    """Megabytes by file name, over all trials."""
    found: dict[str, float] = defaultdict(float)
    for path in folder.rglob("*"):
        if path.is_file():
            found[path.name.rstrip("0123456789") if path.suffix != ".csv" else path.name.split("-")[0]] += (
                path.stat().st_size / 1e6
            )
    return dict(found)


def watch(command: list[str], seconds: float, drive: Callable[[subprocess.Popen[str]], None]) -> dict[str, Any]:
    """Run the command, take samples, and end it with Ctrl-C if it still runs."""
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as harness:
        drive(harness)
        root, begun_s = psutil.Process(harness.pid), time.monotonic()
        while harness.poll() is None and time.monotonic() < begun_s + seconds:
            for name, used in memory_mb(root).items():
                samples[name].append((time.monotonic() - begun_s, used))
            time.sleep(EVERY_S)
        if harness.poll() is None:
            harness.send_signal(signal.SIGINT)
        harness.communicate(timeout=60)
    return samples


def start_in_browser(harness: subprocess.Popen[str]) -> None:
    """Start measurements of the web UI, one after the other, as a user would: the same form again and again."""
    assert harness.stdout is not None
    url = harness.stdout.readline().split()[0]
    fields = {"variant": "blocking/awaited", "user_count": 32, "spawn_rate": 32, "run_time": "10m", "arrival_rate": ""}

    import threading

    def keep_on() -> None:
        with httpx.Client(base_url=url, timeout=120) as client:
            while harness.poll() is None:
                try:
                    if client.get("/bench/state").json()["phase"] == "":
                        client.post("/swarm", data=fields)
                    client.get("/stats/requests")  # what an open page asks for
                except httpx.HTTPError:
                    pass
                time.sleep(2)

    threading.Thread(target=keep_on, daemon=True).start()


def main() -> int:
    """Parse the command line, run, and print the table. Exit status 1 when memory is not flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600.0, help="[3600]")
    parser.add_argument("--web", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        results = Path(folder) / "results"
        if options.web:
            command = [sys.executable, "-m", "bench", "web", "blocking", "--results", str(results)]
            samples = watch(command, options.seconds, start_in_browser)
        else:
            chosen = ["blocking", "--variant", "awaited", "--rounds", "1", "--measure-s", str(options.seconds)]
            command = [sys.executable, "-m", "bench", "bench", *chosen, "--run", "soak", "--results", str(results)]
            samples = watch(command, options.seconds + 60, lambda _: None)
        verdicts = {name: flat(each) for name, each in samples.items() if len(each) > 20}
        for name, (is_flat, text) in verdicts.items():
            print(f"{name:>18}: {text}: {'flat' if is_flat else 'NOT FLAT'}")
        print(json.dumps({name: round(size, 2) for name, size in sorted(size_mb(results).items())}))
    return 0 if verdicts and all(is_flat for is_flat, _ in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
