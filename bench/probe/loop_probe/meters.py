"""What the monitoring thread can read from the process: threadpool, CPU time, scheduling, memory. No cost per request."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from asyncio import AbstractEventLoop
from contextlib import suppress
from typing import Any, NamedTuple

PAGE_MB = (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096) / 1e6


class ThreadpoolTokens(NamedTuple):
    """State of anyio's default limiter: one token a worker thread."""

    borrowed: int
    total: float
    waiting: int


class CpuUsage(NamedTuple):
    """CPU time used until a moment, by the process and by the loop's thread (None if not available)."""

    at_s: float
    cpu_s: float
    loop_cpu_s: float | None

    def since(self, before: CpuUsage) -> CpuShares:
        """What was used since ``before``, in shares of a core."""
        passed_s = max(self.at_s - before.at_s, 1e-6)
        process = (self.cpu_s - before.cpu_s) / passed_s
        if self.loop_cpu_s is None or before.loop_cpu_s is None:
            return CpuShares(process, None)
        return CpuShares(process, (self.loop_cpu_s - before.loop_cpu_s) / passed_s)


class CpuShares(NamedTuple):
    """Cores used on average over an interval: 1.0 is one core."""

    process: float
    loop: float | None
    """The loop's thread; None if not available."""

    @property
    def others(self) -> float:
        """All threads but the loop's."""
        return self.process - (self.loop or 0.0)


class ThreadScheduling(NamedTuple):
    """What the system's scheduler did with a thread since it began."""

    delayed_s: float
    """Time that the thread was ready to run, but had no core."""
    slices: int
    """Number of times that it got a core."""


def threadpool_tokens(loop: AbstractEventLoop) -> ThreadpoolTokens | None:
    """Tokens of the loop's default limiter; None until the app uses the threadpool.

    anyio's public function needs a running task and creates the limiter. So it is read where anyio stores it, each time
    anew, because an app may replace it.
    """
    lowlevel = sys.modules.get("anyio.lowlevel")
    backend = sys.modules.get("anyio._backends._asyncio")
    run_variables: Any = getattr(lowlevel, "_run_vars", None)
    variable: Any = getattr(backend, "_default_thread_limiter", None)
    if run_variables is None or variable is None:
        return None
    values: Any = run_variables.get(loop) or {}
    limiter = values.get(variable) or values.get("_default_thread_limiter")  # anyio before 4.13: by name
    if limiter is None:
        return None
    return ThreadpoolTokens(limiter.borrowed_tokens, limiter.total_tokens, limiter.statistics().tasks_waiting)


def wakeup_poll(loop: AbstractEventLoop) -> Any:
    """A poll object that is ready when the loop has an event to handle (timers excluded); None if not available.

    asyncio's selector and uvloop's libuv both wait in an epoll, which is a file descriptor that can itself be polled.
    """
    selector: Any = getattr(loop, "_selector", None)
    backend: Any = getattr(loop, "_get_backend_id", None)
    descriptor = getattr(selector, "fileno", backend)
    if descriptor is None or not hasattr(select, "epoll"):
        return None
    poll = select.poll()
    poll.register(descriptor(), select.POLLIN)
    return poll


class Meter:
    """Reads clocks of the process and of the loop's thread. Must be created on the loop's thread."""

    def __init__(self) -> None:
        self._statm = _opened("/proc/self/statm")
        task = f"/proc/self/task/{threading.get_native_id()}"
        self._schedstat = _opened(f"{task}/schedstat")
        self._stat = _opened(f"{task}/stat")
        self._clock: int | None = None
        if hasattr(time, "pthread_getcpuclockid"):
            self._clock = time.pthread_getcpuclockid(threading.get_ident())

    def loop_cpu_s(self) -> float | None:
        """CPU time of the loop's thread; None if not available (macOS)."""
        return time.clock_gettime(self._clock) if self._clock is not None else None

    def cpu_usage(self) -> CpuUsage:
        """CPU times now."""
        return CpuUsage(time.perf_counter(), time.process_time(), self.loop_cpu_s())

    def loop_scheduling(self) -> ThreadScheduling:
        """Scheduling of the loop's thread; zeros if not available."""
        return _scheduling(self._schedstat)

    def loop_sleeps(self) -> bool:
        """Whether the loop's thread sleeps, and does not run or wait for a core; True if not available."""
        if self._stat is None:
            return True
        return os.pread(self._stat, 400, 0).rpartition(b") ")[2][:1] in b"SD"

    def rss_mb(self) -> float | None:
        """Resident memory; its maximum so far where only that is available (macOS)."""
        if self._statm is not None:
            return int(os.pread(self._statm, 100, 0).split()[1]) * PAGE_MB
        try:
            import resource
        except ImportError:
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3

    def close(self) -> None:
        """Close the files."""
        for descriptor in (self._statm, self._schedstat, self._stat):
            if descriptor is not None:
                os.close(descriptor)
        self._statm = self._schedstat = self._stat = None


class ChildrenMeter:
    """Reads the CPU time of the processes that this one started through ``multiprocessing``: process pools."""

    def __init__(self) -> None:
        self._used_s: dict[int, float] = {}

    def cpu_s(self) -> float | None:
        """CPU time of all of them since the first reading, those that have ended included; None if not available."""
        if not sys.platform.startswith("linux"):
            return None
        module = sys.modules.get("multiprocessing.process")
        for child in tuple(getattr(module, "_children", ())):
            pid = getattr(getattr(child, "_popen", None), "pid", None)
            if pid is not None:
                with suppress(OSError):  # it has ended: its last reading stays
                    # What clock_getcpuclockid(3) makes of a process id.
                    self._used_s[pid] = time.clock_gettime((~pid << 3) | 2)
        return sum(self._used_s.values())


class SchedulingDelay:
    """How long the calling thread was ready to run without a core, from one reading to the next."""

    def __init__(self) -> None:
        self._schedstat = _opened(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._delayed_s = 0.0

    def read_s(self) -> float:
        """Seconds since the last reading; 0 if not available."""
        before_s, self._delayed_s = self._delayed_s, _scheduling(self._schedstat).delayed_s
        return self._delayed_s - before_s


def _scheduling(schedstat: int | None) -> ThreadScheduling:
    if schedstat is None:
        return ThreadScheduling(0.0, 0)
    _, delayed_ns, slices = os.pread(schedstat, 100, 0).split()
    return ThreadScheduling(int(delayed_ns) / 1e9, int(slices))


def _opened(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    if not os.pread(descriptor, 1, 0):
        os.close(descriptor)
        return None
    return descriptor
