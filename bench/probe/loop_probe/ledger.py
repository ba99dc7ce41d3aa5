"""The ledger: who is charged for how much of the time that the loop was stalled. Pure arithmetic, no clock.

The loop is asked for a sign of life, a beat. One that is unanswered at a look is charged, from where the charges ended
until now, to whoever was seen at that look; once its answer is there, the rest goes to whoever was seen last. It counts
when the beat was late by the threshold, and is forgotten when it was not. What was seen of a shorter call by a sample
counts for the beat that the sample stands for.
"""

from __future__ import annotations

from typing import NamedTuple

from .stacks import StallSource

Charges = tuple[tuple[str, StallSource, float], ...]
"""(kind, whom, share of the time): shares add up to 1. Empty: nobody was to blame (the process was not running)."""


class StallRow(NamedTuple):
    """One row of stalls-<pid>.csv."""

    at_s: float
    stall: int
    kind: str
    stalled_ms: float
    file: str
    line: str
    function: str
    callee: str
    samples: int


class _Piece:
    def __init__(self, at_s: float) -> None:
        self.at_s = at_s
        self.seconds = 0.0
        self.samples = 0


class StallAttribution:
    """Collects what is charged, and gives it out as rows."""

    def __init__(self, threshold_s: float) -> None:
        self._threshold_s = threshold_s
        self._number = 0
        self._stalled = False  # a stall is going on: its pieces share a number
        self._brief: tuple[float, float, Charges, int] | None = None
        self._exhausted = 0  # the number of the threadpool's, likewise
        self._until_s = 0.0
        self._last: Charges = ()
        self._pending: list[tuple[float, float, Charges, int]] = []
        self._pieces: dict[tuple[int, str, StallSource], _Piece] = {}

    def overdue(self, sent_s: float, now_s: float, charges: Charges, delayed_s: float) -> None:
        """A look at an unanswered beat. ``delayed_s`` of its age the loop's thread was ready but had no core: nobody's
        fault in this process, so not charged."""
        self._note(sent_s, now_s, charges, 1)
        self._last = charges
        self._judge(sent_s, now_s, delayed_s)

    def briefly(self, begun_s: float, now_s: float, charges: Charges) -> None:
        """A sample found the loop in a call that may end in time. One that does not is charged as a stall instead."""
        begun_s = max(begun_s, self._until_s)
        if now_s > begun_s:
            self._brief = begun_s, now_s - begun_s, charges, 1
            self._until_s = now_s

    def answered(self, sent_s: float, answered_s: float, delayed_s: float) -> None:
        """A late beat's answer: the loop has turned, and the stall is over. The next one may begin at that moment."""
        if self._last:
            self._note(sent_s, answered_s, self._last, 0)
        if self._judge(sent_s, answered_s, delayed_s):
            self._stalled = False
        else:
            self.in_time()

    def in_time(self) -> None:
        """A beat was answered in time: what is pending did not last, and counts where a sample was taken of it."""
        if self._brief is not None:
            self._number += 1
            for begun_s, seconds, charges, samples in (self._brief, *self._pending):
                self._add(self._number, begun_s, seconds, charges, samples)
        self.forget()

    def forget(self) -> None:
        """What is pending counts for nothing."""
        self._pending.clear()
        self._stalled = False
        self._last = ()
        self._brief = None

    def exhausted(self, begun_s: float, now_s: float, holders: Charges, samples: int) -> None:
        """The threadpool had no token left and somebody waited, from ``begun_s`` to ``now_s``."""
        if not self._exhausted:
            self._number += 1
            self._exhausted = self._number
        self._add(self._exhausted, begun_s, now_s - begun_s, holders, samples)

    def has_tokens(self) -> None:
        """The threadpool's exhaustion, if there was one, is over."""
        self._exhausted = 0

    def rows(self) -> list[StallRow]:
        """What has been charged since the last call."""
        pieces, self._pieces = self._pieces, {}
        return [
            StallRow(
                p.at_s, stall, kind, p.seconds * 1000, to.file, str(to.line or ""), to.function, to.callee, p.samples
            )
            for (stall, kind, to), p in pieces.items()
        ]

    def _note(self, sent_s: float, now_s: float, charges: Charges, samples: int) -> None:
        begun_s = max(sent_s, self._until_s)
        if now_s > begun_s:
            self._pending.append((begun_s, now_s - begun_s, charges, samples))
            self._until_s = now_s

    def _judge(self, sent_s: float, now_s: float, delayed_s: float) -> bool:
        age_s = now_s - sent_s
        if age_s - delayed_s < self._threshold_s:
            return False
        self._brief = None
        if not self._stalled:
            self._stalled = True
            self._number += 1
        running = 1 - max(0.0, delayed_s) / age_s
        for begun_s, seconds, charges, samples in self._pending:
            self._add(self._number, begun_s, seconds * running, charges, samples)
        self._pending.clear()
        return True

    def _add(self, stall: int, begun_s: float, seconds: float, charges: Charges, samples: int) -> None:
        for kind, charge, share in charges:
            piece = self._pieces.setdefault((stall, kind, charge), _Piece(begun_s))
            piece.seconds += seconds * share
            piece.samples += samples
