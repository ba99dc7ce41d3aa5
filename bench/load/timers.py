"""Timers of the gevent hub: call back once, as close to an absolute moment as the system can.

Libev's own timers are rounded up to a millisecond by epoll. A Linux timerfd wakes the same epoll within tens of
microseconds; where there is none, the hub's timer does.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

READ = 1
_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_TFD_TIMER_ABSTIME = 1


class Timer(Protocol):
    """Calls back once at a moment of ``time.perf_counter``; setting it again moves the moment."""

    def set(self, due_s: float) -> None:
        """Call back at ``due_s``, or at once when that has passed."""

    def close(self) -> None:
        """Never call back again."""


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerfdTimer:
    """A timer by timerfd: ``perf_counter`` is CLOCK_MONOTONIC on Linux, so moments pass through unchanged."""

    def __init__(self, loop: Any, on_time: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._on_time = on_time
        self._spec = _Itimerspec()
        self._at = ctypes.byref(self._spec)
        self._settime = self._libc.timerfd_settime
        self._watcher = loop.io(self._fd, READ)
        self._watcher.start(self._expired)

    def set(self, due_s: float) -> None:
        whole = max(0, int(due_s))
        self._spec.value.sec = whole
        # All-zero would disarm the timer: a moment in the past calls back at once, too.
        self._spec.value.nsec = max(1, int((due_s - whole) * 1e9))
        self._settime(self._fd, _TFD_TIMER_ABSTIME, self._at, None)

    def close(self) -> None:
        if self._fd < 0:
            return
        self._watcher.stop()
        self._watcher.close()
        os.close(self._fd)
        self._fd = -1

    def _expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # set again before this was read
        self._on_time()


class HubTimer:
    """A timer by the hub's own timer: rounds up to about a millisecond."""

    def __init__(self, loop: Any, on_time: Callable[[], None]) -> None:
        self._loop = loop
        self._on_time = on_time
        self._timer: Any = None
        self._closed = False

    def set(self, due_s: float) -> None:
        self._stop_timer()
        if self._closed:
            return
        self._timer = self._loop.timer(max(0.0, due_s - time.perf_counter()))
        # update=True: libev counts from the loop's last wake-up, which may be long ago.
        self._timer.start(self._on_time, update=True)

    def close(self) -> None:
        self._closed = True
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None


def timer(loop: Any, on_time: Callable[[], None]) -> Timer:
    """The most precise timer of this system."""
    if sys.platform == "linux":
        return TimerfdTimer(loop, on_time)
    return HubTimer(loop, on_time)
