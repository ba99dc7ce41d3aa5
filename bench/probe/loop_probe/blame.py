"""Which code delays the loop, or holds the threadpool: from stacks to charges."""

from __future__ import annotations

import sys
import threading
from types import CodeType, FrameType
from typing import NamedTuple

from .attribution import Charge, Charges
from .decisions import MIN_COMPETING_CPU_SHARE, kind_of_stall, never_competed
from .heartbeat import Heartbeat
from .meters import CpuUsage, ThreadScheduling
from .sampling import Sample, Stacks
from .stacks import OwnCode, Stack, StallSource, job_of, stack_of

QUEUES = ("threading", "queue")
POOL_MODULES = ("anyio.", "concurrent.futures.", *QUEUES)


class HeartbeatContext(NamedTuple):
    """The process when the pending heartbeat was sent."""

    usage: CpuUsage
    scheduling: ThreadScheduling
    """Of the loop's thread."""
    late: bool
    """The heartbeat was sent late, so the loop may have run in between."""


class BlameFinder:
    """Compares successive samples of an overdue heartbeat. Must be created on the loop's thread."""

    def __init__(self, own_code: OwnCode, heartbeat: Heartbeat) -> None:
        self._own_code = own_code
        self._heartbeat = heartbeat
        self._loop_thread = threading.get_ident()
        self._loop_place: list[tuple[CodeType, int]] = []
        self._other_places: dict[int, tuple[CodeType, int, int]] = {}

    def reset(self) -> None:
        """The heartbeat is not overdue: the next sample is the first one."""
        self._loop_place = []
        self._other_places = {}

    def of_overdue(
        self, sample: Sample, context: HeartbeatContext, scheduling: ThreadScheduling, machine_busy: bool
    ) -> Charges:
        """The code that delays the loop in a sample with stacks.

        ``scheduling``: of the loop's thread, now. ``machine_busy``: the sample is late for reasons outside of the
        process, so only a loop that is still in the same call is charged.
        """
        stack = sample.stacks[self._loop_thread]
        used = sample.usage.since(context.usage)
        running = self._running(sample.stacks) if used.others >= MIN_COMPETING_CPU_SHARE else []
        if not self._is_stuck(stack) and machine_busy:
            return ()
        loop_waits = self._heartbeat.loop_waits(stack[0].code, stack[1].code if len(stack) > 1 else None)
        slices = scheduling.slices - context.scheduling.slices
        loop_slept = not context.late and never_competed(slices, sample.at_s - context.usage.at_s)
        kind = kind_of_stall(loop_waits, used, bool(running), loop_slept)
        if kind == "loop":
            return self.of_loop(stack)
        if kind == "gil":
            return tuple(Charge(kind, self._own_code.source_of(other), 1 / len(running)) for other in running)
        return ()

    def of_loop(self, stack: Stack) -> Charges:
        """All of the time, to what the loop's thread is doing."""
        return (Charge("loop", self._own_code.source_of(stack), 1.0),)

    def of_threadpool(self) -> Charges:
        """The functions that hold anyio's worker threads now."""
        workers = {thread.ident for thread in threading.enumerate() if type(thread).__module__.startswith("anyio.")}
        found = [self._job_source(frame) for ident, frame in sys._current_frames().items() if ident in workers]
        sources = [source for source in found if source is not None]
        return tuple(Charge("threadpool", source, 1 / len(sources)) for source in sources)

    def _is_stuck(self, stack: Stack) -> bool:
        """Whether the loop's thread is in a call, and exactly where it was in the sample before."""
        place = [(location.code, location.position) for location in stack]
        before, self._loop_place = self._loop_place, place
        return place == before and self._own_code.call(stack[0]) != ""

    def _running(self, stacks: Stacks) -> list[Stack]:
        """Stacks of other threads that run: those that moved since the last sample, else all that do not wait.

        Their CPU time would be exact, but must be read from files. Each read lets another thread take the GIL, so that
        a sample of forty threads would take seconds.
        """
        ours = (self._loop_thread, threading.get_ident())
        ready = {
            ident: stack
            for ident, stack in stacks.items()
            if ident not in ours and stack and not self._own_code.waits(stack) and not _waits_for_work(stack)
        }
        places = {ident: (stack[0].code, stack[0].position, len(stack)) for ident, stack in ready.items()}
        before, self._other_places = self._other_places, places
        moved = [ready[ident] for ident, place in places.items() if before.get(ident, place) != place]
        return moved or list(ready.values())

    def _job_source(self, frame: FrameType) -> StallSource | None:
        """The source of a worker thread's job; None if it waits for work."""
        stack = stack_of(frame)
        if _waits_for_work(stack):
            return None
        source = self._own_code.source_of(stack)
        job = job_of(frame) if not source.file and stack[0].code.co_name == "run" else ""
        return source._replace(callee=job) if job else source


def _waits_for_work(stack: Stack) -> bool:
    """Whether a worker thread is in its queue: only code of the thread pools is on its stack."""
    modules = [str(location.names.get("__name__", "")) for location in stack]
    if not all(module.startswith(POOL_MODULES) for module in modules):
        return False
    return not modules or modules[0] in QUEUES or stack[0].code.co_name == "_worker"  # concurrent.futures: C queue
