"""What follows from a sample. Pure functions: no clock, no I/O, no state.

The monitoring thread is in one of five states:

| state | meaning | next sample after |
|---|---|---|
| ANSWERED | no heartbeat is pending | 20 ms |
| SENT | a heartbeat was sent just now | 20 ms |
| WAITING | a heartbeat is pending, for less than 10 ms | 10 ms |
| OVERDUE | a heartbeat is pending, for 10 ms or more: the stacks are read | 10 ms |
| IDLE | no request for a second, none in flight, next to no CPU used | 500 ms, or when the loop gets an event |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .meters import CpuShares

SAMPLE_INTERVAL_S = 0.020
"""A stall is found within one interval; a sample costs some 30 us."""
OVERDUE_AFTER_S = 0.010
"""A stall of 50 ms is then sampled three times."""
IDLE_INTERVAL_S = 0.500
"""Waking up costs 50 us of a core. Several servers that are up at once must not slow the one under load."""
IDLE_AFTER_S = 1.0
"""Longer than the pauses of a virtual user, so that a server under load is never idle."""
LATE_SAMPLE_S = 1.5 * SAMPLE_INTERVAL_S
"""A sample this long after it was due is late: something kept the monitoring thread from running, too."""
MAX_IDLE_CPU_SHARE = 0.1
"""A process that used less of a core has no thread that keeps the interpreter (the GIL) from its loop."""
MIN_COMPETING_CPU_SHARE = 0.3
"""Other threads that used less of a core did not starve the loop: a thread that competes for the GIL gets half a core."""
MIN_BUSY_CPU_SHARE = 0.8
"""A loop's thread that used this share of a core had no time left for calls that sleep."""
MAX_ASLEEP_CPU_SHARE = 0.05
"""A thread that used less of a core slept. Reading its clock and its state costs it nothing."""
GIL_WAKEUP_INTERVAL_S = 0.020
"""A thread that competes for the GIL wakes up every 5 ms (sys.getswitchinterval), on a busy machine later. A thread that
sleeps in a call (a timer, a socket, a lock) does not wake up."""


class MonitorState(NamedTuple):
    """State of the monitoring thread after a sample. (Not an Enum: looking one up costs ten times as much.)"""

    name: str
    next_sample_after_s: float


ANSWERED = MonitorState("answered", SAMPLE_INTERVAL_S)
SENT = MonitorState("sent", SAMPLE_INTERVAL_S)
WAITING = MonitorState("waiting", OVERDUE_AFTER_S)
OVERDUE = MonitorState("overdue", OVERDUE_AFTER_S)
IDLE = MonitorState("idle", IDLE_INTERVAL_S)


def state_of(pending_s: float | None, just_sent: bool, idle: bool) -> MonitorState:
    """The state after a sample. ``pending_s``: age of the pending heartbeat, None if there is none."""
    if pending_s is not None and pending_s >= OVERDUE_AFTER_S:
        return OVERDUE
    if just_sent:
        return SENT
    if pending_s is not None:
        return WAITING
    return IDLE if idle else ANSWERED


def is_active(loop_waits: bool, begun: int, in_flight: int, used: CpuShares, pending: bool) -> bool:
    """Whether something has happened since the last sample. A second without activity makes the server idle."""
    return not loop_waits or begun > 0 or in_flight > 0 or used.process > MAX_IDLE_CPU_SHARE or pending


def needs_heartbeat(loop_waits: bool, begun: int, late_s: float, used: CpuShares) -> bool:
    """Whether only a heartbeat can tell that the loop is not stalled.

    Not needed where the loop waits for events and no other thread uses CPU, nor where the loop's thread was busy and
    has begun requests since the last sample: then it has gone through an iteration. A late sample says less, so there
    begun requests do not count.
    """
    if loop_waits:
        return used.others > MAX_IDLE_CPU_SHARE
    iterated = begun > 0 and late_s < OVERDUE_AFTER_S
    return not iterated or used.loop is None or used.loop < MIN_BUSY_CPU_SHARE


def slept(used: CpuShares) -> bool:
    """Whether the loop's thread slept in a call, and did not wait for the GIL."""
    return used.loop is not None and used.loop <= MAX_ASLEEP_CPU_SHARE and used.process <= MIN_COMPETING_CPU_SHARE


def never_competed(slices: int, elapsed_s: float) -> bool:
    """Whether a thread that got a core ``slices`` times in ``elapsed_s`` slept: one that competes for the GIL wakes up
    more often."""
    return slices < elapsed_s / GIL_WAKEUP_INTERVAL_S


def machine_was_busy(
    late_s: float,
    process_cpu_s: float,
    loop_cpu_s: float,
    begun: int,
    in_flight: int | None,
    read_delay_s: Callable[[], float],
) -> bool:
    """Whether a sample is ``late_s`` late because the machine was busy; else the GIL was held.

    ``process_cpu_s`` and ``loop_cpu_s``: CPU time used since the last sample. If the process used little, no thread of
    it held the GIL. If the loop's thread ran, began requests and finished none of them (``in_flight``, None if not
    known), it was held in a call: competing for the GIL means to wake up every 5 ms, and on a busy machine to wait for
    a core each time. Otherwise the system tells how long the monitoring thread waited for a core: ``read_delay_s``.
    """
    if process_cpu_s < MIN_COMPETING_CPU_SHARE * late_s:
        return True
    if in_flight is not None and loop_cpu_s >= MIN_COMPETING_CPU_SHARE * late_s and 0 < begun <= in_flight:
        return False
    return read_delay_s() >= late_s / 2


def kind_of_stall(loop_waits: bool, used: CpuShares, others_run: bool, loop_slept: bool) -> str:
    """The kind of a stall: "loop", "gil", or "" if no code of this process is the cause.

    loop: a call holds the loop's thread. gil: other threads keep it from running. ``used``: since the heartbeat was
    sent. ``others_run``: other threads are running or ready. ``loop_slept``: the loop's thread slept all the time,
    which a thread that competes for the GIL does not.
    """
    starved = others_run and used.others >= MIN_COMPETING_CPU_SHARE
    if loop_waits:
        return "gil" if starved else ""
    if not starved or loop_slept or used.loop is None or used.loop >= used.others:
        return "loop"
    return "gil"
