"""The heartbeat: a callback scheduled on the loop. How late it runs is the loop's lag.

This is the only object that both threads use. They share single attribute reads and writes and a deque, which need no
lock: ``sent_s`` is set by the monitoring thread while it is None, and by the loop's thread otherwise.
"""

from __future__ import annotations

import sys
import time
from asyncio import AbstractEventLoop
from asyncio.base_events import BaseEventLoop
from collections import deque
from types import CodeType, FrameType
from typing import NamedTuple

_RUN_ONCE: CodeType = BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]


class Answer(NamedTuple):
    """A heartbeat that has run."""

    sent_s: float
    answered_s: float

    @property
    def lag_s(self) -> float:
        """How late it ran."""
        return self.answered_s - self.sent_s


class Heartbeat:
    """At most one heartbeat at a time. Must be created on the loop's thread."""

    def __init__(self, loop: AbstractEventLoop, threshold_s: float) -> None:
        self.sent_s: float | None = None
        """When the pending heartbeat was due; None while there is none."""
        self._loop = loop
        self._threshold_s = threshold_s
        self._answers: deque[Answer] = deque()
        self._caller: CodeType | None = None
        self._off = False

    def send(self, due_s: float) -> None:
        """Schedule a heartbeat. Its lag counts from ``due_s``."""
        self.sent_s = due_s
        self._loop.call_soon_threadsafe(self._answer)

    def next_answer(self) -> Answer | None:
        """The oldest answer that was not returned yet; None if there is none."""
        return self._answers.popleft() if self._answers else None

    def switch_off(self) -> None:
        """Ignore pending heartbeats: this is a forked child."""
        self._off = True

    def loop_waits(self, code: CodeType, caller: CodeType | None) -> bool:
        """Whether the loop's thread, in ``code`` called by ``caller``, is where a loop waits for events.

        In asyncio that is the selector's ``select``. uvloop has no frames of its own: its deepest frame is the code that
        runs the loop, which is also where callbacks are called from.
        """
        if caller is _RUN_ONCE:
            return code.co_name == "select"
        return code is self._caller

    def _answer(self) -> None:
        sent_s, now_s = self.sent_s, time.perf_counter()
        if sent_s is None or self._off:
            return
        self._answers.append(Answer(sent_s, now_s))
        if self._caller is None:
            self._caller = _code_of(sys._getframe().f_back)
        if now_s - sent_s < self._threshold_s:
            self.sent_s = None
            return
        # During a stall the next heartbeat follows at once, so that a loop blocked in every iteration shows no gap.
        self.sent_s = now_s
        self._loop.call_soon(self._answer)


def _code_of(frame: FrameType | None) -> CodeType | None:
    return frame.f_code if frame is not None else None
