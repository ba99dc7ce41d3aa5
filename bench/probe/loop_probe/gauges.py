"""What can be read of a process from beside its loop: threadpool, connections, CPU time, memory. No cost a request."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from asyncio import AbstractEventLoop
from types import FrameType
from typing import Any, NamedTuple

PAGE_MB = (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096) / 1e6


class Tokens(NamedTuple):
    """anyio's threadpool."""

    borrowed: int
    total: float
    waiting: int


class Schedule(NamedTuple):
    """How a thread got its core."""

    delayed_s: float
    """It was ready to run, and had none."""
    slices: int
    """How often it was given one."""


def tokens(loop: AbstractEventLoop) -> Tokens | None:
    """The tokens of the loop's default limiter; None until the app has one.

    anyio's public way to it needs a running task and would make one. It is looked up where anyio keeps it, anew each
    time, so that an app may replace it.
    """
    lowlevel = sys.modules.get("anyio.lowlevel")
    backend = sys.modules.get("anyio._backends._asyncio")
    every: Any = getattr(lowlevel, "_run_vars", None)
    variable: Any = getattr(backend, "_default_thread_limiter", None)
    if every is None or variable is None:
        return None
    kept: Any = every.get(loop) or {}
    limiter = kept.get(variable) or kept.get("_default_thread_limiter")  # anyio before 4.13 keeps it by name
    if limiter is None:
        return None
    return Tokens(limiter.borrowed_tokens, limiter.total_tokens, limiter.statistics().tasks_waiting)


def find_server(frame: FrameType | None) -> Any:
    """uvicorn's Server, from the frames of its call to the factory; None where they do not tell."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith("uvicorn"):
            candidate = frame.f_locals.get("self")
            if hasattr(candidate, "server_state") and hasattr(candidate, "started"):
                return candidate
        frame = frame.f_back
    return None


def wakings(loop: AbstractEventLoop) -> Any:
    """A poll object that is ready when the loop has something to do, its timers apart; None where there is none.

    asyncio's selector and uvloop's libuv both wait in an epoll, which is a file that can itself be waited for.
    """
    selector: Any = getattr(loop, "_selector", None)
    backend: Any = getattr(loop, "_get_backend_id", None)
    waited_for = getattr(selector, "fileno", backend)
    if waited_for is None or not hasattr(select, "epoll"):
        return None
    watched = select.poll()
    watched.register(waited_for(), select.POLLIN)
    return watched


class Meter:
    """Clocks of the process and of the loop's thread. To be made on the loop's thread."""

    def __init__(self) -> None:
        self._statm = _opened("/proc/self/statm")
        task = f"/proc/self/task/{threading.get_native_id()}"
        self._schedstat = _opened(f"{task}/schedstat")
        self._stat = _opened(f"{task}/stat")
        self._clock: int | None = None
        if hasattr(time, "pthread_getcpuclockid"):
            self._clock = time.pthread_getcpuclockid(threading.get_ident())

    def loop_cpu_s(self) -> float | None:
        """CPU time of the loop's thread; None where it is not to be had (macOS)."""
        return time.clock_gettime(self._clock) if self._clock is not None else None

    def loop_schedule(self) -> Schedule:
        """What the system's scheduler did with the loop's thread so far; zeros where it does not tell."""
        return _schedule(self._schedstat)

    def loop_sleeps(self) -> bool:
        """Whether the loop's thread sleeps, rather than runs or wants to; True where the system does not tell."""
        if self._stat is None:
            return True
        return os.pread(self._stat, 400, 0).rpartition(b") ")[2][:1] in b"SD"

    def rss_mb(self) -> float | None:
        """Resident memory; the most there ever was, where only that is to be had (macOS)."""
        if self._statm is not None:
            return int(os.pread(self._statm, 100, 0).split()[1]) * PAGE_MB
        try:
            import resource
        except ImportError:
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3

    def close(self) -> None:
        """Give the files back."""
        for handle in (self._statm, self._schedstat, self._stat):
            if handle is not None:
                os.close(handle)
        self._statm = self._schedstat = self._stat = None


class OwnDelay:
    """How long the calling thread was ready to run without a core, from one call to the next."""

    def __init__(self) -> None:
        self._schedstat = _opened(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._delayed_s = 0.0

    def read_s(self) -> float:
        """Seconds since the last call; 0 where that is not to be had."""
        before_s, self._delayed_s = self._delayed_s, _schedule(self._schedstat).delayed_s
        return self._delayed_s - before_s

    def close(self) -> None:
        """Give the file back."""
        if self._schedstat is not None:
            os.close(self._schedstat)
        self._schedstat = None


def _schedule(handle: int | None) -> Schedule:
    if handle is None:
        return Schedule(0.0, 0)
    _, delayed_ns, slices = os.pread(handle, 100, 0).split()
    return Schedule(int(delayed_ns) / 1e9, int(slices))


def _opened(path: str) -> int | None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    if not os.pread(handle, 1, 0):
        os.close(handle)
        return None
    return handle
