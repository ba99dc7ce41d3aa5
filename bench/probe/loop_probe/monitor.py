"""The monitoring thread: samples the loop, sends heartbeats, and writes what delays them.

Its cost decides how it works. Nothing is done per request. The thread samples 50 times a second, and wakes the loop
with a heartbeat only where the sample alone cannot tell that the loop is healthy (``decisions.needs_heartbeat``), and
once a row. While a server is idle, the thread sleeps until the loop's epoll has an event. It polls the same epoll, so it
is awake when the first request blocks. decisions.py has the states.

A call shorter than the threshold also delays other requests, and with fifty users it does so all the time. When a
sample finds the loop's thread away from its epoll and using no CPU, the thread looks again one millisecond later. If the
loop's thread slept all that time, it is in such a call, which is charged with the sample interval, as in a sampling
profiler.

C code that does not release the GIL (json.loads of a large text, a regular expression) stops the monitoring thread,
too. When it ends, the GIL changes hands right behind the call, before that thread runs anything else. The monitoring
thread then wakes up late, finds the loop's thread still at that line, and charges it with its own lateness.
(``faulthandler.dump_traceback_later`` would see the call itself. But it reads stacks without holding the GIL, which can
crash an app whose threads run meanwhile; and there is one such timer a process, which belongs to the app.)
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from asyncio import AbstractEventLoop
from pathlib import Path

from .attribution import StallAttribution
from .blame import BlameFinder, HeartbeatContext
from .csv_files import SERVER_COLUMNS, STALLS_COLUMNS, CsvFile
from .decisions import (
    ANSWERED,
    IDLE,
    IDLE_AFTER_S,
    LATE_SAMPLE_S,
    OVERDUE,
    OVERDUE_AFTER_S,
    SAMPLE_INTERVAL_S,
    SENT,
    is_active,
    machine_was_busy,
    needs_heartbeat,
    slept,
    state_of,
)
from .heartbeat import Heartbeat
from .meters import CpuUsage, Meter, SchedulingDelay, threadpool_tokens, wakeup_poll
from .probe_settings import ProbeSettings
from .sampling import Sample, Sampler
from .server_rows import ServerRows
from .stacks import OwnCode
from .uvicorn_server import UvicornServer, find_server

ROW_INTERVAL_S = 0.100
"""As the results schema documents. A row takes the sample nearest to it."""
SHORT_CALL_CHECK_S = 0.001
"""How long a call must last to count as a short call: a system call that sends or receives takes a hundredth of it."""


def attach(settings: ProbeSettings) -> None:
    """Monitor the running loop. If that fails, one line in the log says so, and the app runs without it."""
    try:
        loop = asyncio.get_running_loop()
        LoopMonitor(settings, loop, find_server(sys._getframe(), settings.start_up)).start()
    except Exception as error:
        _log_failure(error)


class LoopMonitor:
    """Monitors one loop. Must be created on its thread."""

    def __init__(self, settings: ProbeSettings, loop: AbstractEventLoop, server: UvicornServer | None) -> None:
        folder, pid = Path(settings.folder), os.getpid()
        self._loop = loop
        self._server = server
        self._server_file = CsvFile(str(folder / f"server-{pid}.csv"), SERVER_COLUMNS)
        self._stalls_file = CsvFile(str(folder / f"stalls-{pid}.csv"), STALLS_COLUMNS)
        self._meter = Meter()
        self._wakeups = wakeup_poll(loop)
        self._heartbeat = Heartbeat(loop, settings.threshold_s)
        self._threshold_s = settings.threshold_s
        self._sampler = Sampler(self._heartbeat, self._meter, server)
        self._blame = BlameFinder(OwnCode(settings.code), self._heartbeat)
        self._attribution = StallAttribution(settings.threshold_s)
        self._thread = threading.Thread(target=self._run, name="loop-probe", daemon=True)
        self._off = False
        usage = self._meter.cpu_usage()
        self._rows = ServerRows(self._server_file, self._sampler, self._meter, usage.at_s)
        self._state = ANSWERED
        self._active_s = usage.at_s
        self._context = HeartbeatContext(usage, self._meter.loop_scheduling(), late=False)

    def start(self) -> None:
        """Start the thread. A forked child of the app has no such thread and must not write to the files."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._switch_off)
        self._thread.start()

    def _switch_off(self) -> None:
        if self._off:
            return
        self._off = True
        self._heartbeat.switch_off()
        for opened in (self._server_file, self._stalls_file, self._meter):
            opened.close()

    def _run(self) -> None:
        due_s = time.perf_counter()
        try:
            self._delay = SchedulingDelay()
            self._delay.read_s()
            while not self._off and self._loop.is_running():
                due_s = self._sleep_until(self._step(due_s))
            if not self._off:
                self._stalls_file.write(self._attribution.take_rows())
        except Exception as error:
            if not self._off and not self._loop.is_closed():
                _log_failure(error)

    def _step(self, due_s: float) -> float:
        """Take the sample that was due at ``due_s`` and act on it; returns when the next one is due."""
        sample = self._sampler.take(due_s)
        if sample is None:
            return time.perf_counter() + SAMPLE_INTERVAL_S
        self._handle_answers(sample.previous)
        row_due = sample.at_s - self._rows.written_s >= ROW_INTERVAL_S - SAMPLE_INTERVAL_S / 2
        idle = self._is_idle(sample)
        just_sent = self._send_heartbeat(sample, for_row=row_due and not idle)
        # A heartbeat that was sent late may be answered by now. The sample saw what delayed it all the same.
        sent_s = _heartbeat_due_s(sample) if just_sent else self._heartbeat.sent_s
        self._state = state_of(sample.at_s - sent_s if sent_s is not None else None, just_sent, idle)
        if self._state is OVERDUE and sent_s is not None and sample.stacks:
            self._attribute_overdue(sample, sent_s)
        else:
            self._blame.reset()
        if row_due:
            self._write_rows(sample)
        if self._state is SENT and not sample.loop_waits:
            self._attribute_short_call(sample)
        return sample.at_s + self._state.next_sample_after_s

    def _handle_answers(self, previous: CpuUsage) -> None:
        while (answer := self._heartbeat.next_answer()) is not None:
            self._rows.note_answer(answer.lag_s)
            if answer.lag_s < self._threshold_s:
                self._attribution.answered_in_time()
                continue
            scheduling = self._sampler.releasing_gil(self._meter.loop_scheduling)
            delayed_s = scheduling.delayed_s - self._context.scheduling.delayed_s
            self._attribution.answered_late(answer.sent_s, answer.answered_s, delayed_s)
            self._context = HeartbeatContext(previous, scheduling, late=True)

    def _is_idle(self, sample: Sample) -> bool:
        if self._wakeups is None or sample.counts is None:
            return False
        pending = self._heartbeat.sent_s is not None
        if is_active(sample.loop_waits, sample.begun, sample.counts.in_flight, sample.used, pending):
            self._active_s = sample.at_s
        return sample.at_s - self._active_s > IDLE_AFTER_S

    def _send_heartbeat(self, sample: Sample, for_row: bool) -> bool:
        """Send a heartbeat if one is needed; returns whether it was sent."""
        if self._heartbeat.sent_s is not None:
            return False
        if not for_row and not needs_heartbeat(sample.loop_waits, sample.begun, sample.late_s, sample.used):
            return False
        late = sample.late_s >= OVERDUE_AFTER_S
        scheduling = self._sampler.releasing_gil(self._meter.loop_scheduling)
        # After a late sample the CPU time used since the sample before counts, as if it had been sent in time.
        self._context = HeartbeatContext(sample.previous if late else sample.usage, scheduling, late)
        self._sampler.releasing_gil(self._heartbeat.send, _heartbeat_due_s(sample))
        return True

    def _attribute_overdue(self, sample: Sample, sent_s: float) -> None:
        self._rows.note_pending(sample.at_s - sent_s)
        if not self._serves():
            self._attribution.discard()
            return
        machine_busy = sample.late_s > LATE_SAMPLE_S and self._machine_was_busy(sample)
        scheduling = self._sampler.releasing_gil(self._meter.loop_scheduling)
        charges = self._blame.of_overdue(sample, self._context, scheduling, machine_busy)
        delayed_s = scheduling.delayed_s - self._context.scheduling.delayed_s
        self._attribution.add_overdue(sent_s, sample.at_s, charges, delayed_s)

    def _machine_was_busy(self, sample: Sample) -> bool:
        usage, previous = sample.usage, sample.previous
        return machine_was_busy(
            sample.late_s,
            usage.cpu_s - previous.cpu_s,
            (usage.loop_cpu_s or 0.0) - (previous.loop_cpu_s or 0.0),
            sample.begun,
            sample.counts.in_flight if sample.counts is not None else None,
            lambda: self._sampler.releasing_gil(self._delay.read_s),
        )

    def _attribute_short_call(self, sample: Sample) -> None:
        """Charge the interval since the last sample to the loop's thread if it sleeps in a call.

        A heartbeat was sent a moment ago. If it is not answered, and neither the loop's thread nor a thread that may
        hold the GIL uses CPU time, the loop's thread has slept since then.
        """
        loop_cpu_s = sample.usage.loop_cpu_s
        if loop_cpu_s is None or self._meter.loop_cpu_s() != loop_cpu_s:
            return
        first = self._meter.cpu_usage()
        time.sleep(SHORT_CALL_CHECK_S)
        if self._heartbeat.sent_s is None or not self._serves():
            return
        stack = self._sampler.loop_stack()
        if slept(self._meter.cpu_usage().since(first)) and self._meter.loop_sleeps():
            self._attribution.add_short_call(sample.previous.at_s, sample.at_s, self._blame.of_loop(stack))

    def _write_rows(self, sample: Sample) -> None:
        tokens = threadpool_tokens(self._loop)
        if tokens is not None and tokens.waiting and tokens.borrowed >= tokens.total and self._serves():
            self._attribution.add_exhausted(self._rows.written_s, sample.at_s, self._blame.of_threadpool())
        else:
            self._attribution.end_exhausted()
        sent_s = self._heartbeat.sent_s
        self._rows.write(sample, 0.0 if sent_s is None else sample.at_s - sent_s, tokens)
        self._delay.read_s()
        if rows := self._attribution.take_rows():
            self._sampler.releasing_gil(self._stalls_file.write, rows)

    def _serves(self) -> bool:
        return self._server is None or self._server.serves()

    def _sleep_until(self, due_s: float) -> float:
        """Sleep until then or, while idle, until the loop has an event; returns when the next sample is due."""
        begun_s = time.perf_counter()
        pause_s = due_s - begun_s
        if pause_s <= 0:
            return due_s
        if self._state is not IDLE or self._wakeups is None:
            time.sleep(pause_s)
            return due_s
        before_s = self._meter.loop_cpu_s()
        if not self._wakeups.poll(pause_s * 1000):
            return due_s
        # The event woke both threads. As long as the loop's thread has run since then, it kept this one from running.
        ran_s = (self._meter.loop_cpu_s() or 0.0) - (before_s or 0.0)
        self._active_s = time.perf_counter()
        return max(begun_s, self._active_s - ran_s)


def _heartbeat_due_s(sample: Sample) -> float:
    """A heartbeat's lag counts from when the sample was due: what delayed this thread delayed the loop, too."""
    return min(sample.due_s, sample.at_s)


def _log_failure(error: Exception) -> None:
    os.write(2, f"loop_probe: failed: {type(error).__name__}: {error}\n".encode(errors="backslashreplace"))
