"""One look at the process: clocks, counters and stacks of one moment."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple, TypeVar

from .decisions import OVERDUE_AFTER_S
from .heartbeat import Heartbeat
from .meters import CpuShares, CpuUsage, Meter
from .stacks import Stack, stack_of
from .uvicorn_server import RequestCounts, UvicornServer

T = TypeVar("T")
Stacks = dict[int, Stack]
"""By the thread's identifier."""


class Sample(NamedTuple):
    """The process at one moment."""

    at_s: float
    due_s: float
    """When the sample should have been taken."""
    late_s: float
    """How long after that it was taken."""
    usage: CpuUsage
    previous: CpuUsage
    """Of the sample before."""
    used: CpuShares
    """CPU used since the sample before."""
    loop_waits: bool
    """The loop's thread waits for events."""
    threads: int
    """Python threads, the monitoring thread excluded."""
    stacks: Stacks
    """Of all threads; empty unless a heartbeat is overdue."""
    counts: RequestCounts | None
    """None if uvicorn does not tell."""
    begun: int
    """Requests begun since the sample before."""


class Sampler:
    """Takes the samples. Must be created on the loop's thread and used on the monitoring thread."""

    def __init__(self, heartbeat: Heartbeat, meter: Meter, server: UvicornServer | None) -> None:
        self._heartbeat = heartbeat
        self._meter = meter
        self._server = server
        self._loop_thread = threading.get_ident()
        self._previous = meter.cpu_usage()
        self._begun = 0
        self._caught: Stacks = {}

    def take(self, due_s: float) -> Sample | None:
        """One sample, due at ``due_s``; None if the loop's thread has ended."""
        usage = self._meter.cpu_usage()
        at_s = usage.at_s
        threads = sys._current_frames()
        loop_frame = threads.get(self._loop_thread)
        if loop_frame is None:
            return None
        caller = loop_frame.f_back
        loop_waits = self._heartbeat.loop_waits(loop_frame.f_code, caller.f_code if caller is not None else None)
        stacks, self._caught = self._caught, {}
        if not stacks and at_s - (self._heartbeat.sent_s or due_s) >= OVERDUE_AFTER_S:
            # Read before anything else: reading a file lets other threads run, and their stacks change.
            stacks = _stacks_of(threads)
        previous, self._previous = self._previous, usage
        counts, begun = None, 0
        if self._server is not None:
            counts = self._server.counts()
            begun, self._begun = counts.begun - self._begun, counts.begun
        return Sample(
            at_s,
            due_s,
            at_s - due_s,
            usage,
            previous,
            usage.since(previous),
            loop_waits,
            len(threads) - 1,
            stacks,
            counts,
            begun,
        )

    def loop_stack(self) -> Stack:
        """The stack of the loop's thread now."""
        return stack_of(sys._current_frames().get(self._loop_thread))

    def releasing_gil(self, operation: Callable[..., T], *arguments: object) -> T:
        """Call an operation that releases the GIL.

        If it takes long to return, another thread held the GIL and has released it just now. This is the moment to see
        which thread, and where: the stacks are read for the next sample.
        """
        begun_s = time.perf_counter()
        result = operation(*arguments)
        if not self._caught and time.perf_counter() - begun_s >= OVERDUE_AFTER_S:
            self._caught = _stacks_of(sys._current_frames())
        return result


def _stacks_of(frames: dict[int, FrameType]) -> Stacks:
    return {ident: stack_of(frame) for ident, frame in frames.items()}
