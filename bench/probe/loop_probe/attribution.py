"""How much stalled time each piece of code is charged with. Pure arithmetic, no clock.

A sample of an overdue heartbeat charges the time since the last charge to the code seen in that sample. When the
heartbeat is answered, the rest goes to the code seen last. If the heartbeat was late by the threshold, the charges are
recorded; if not, they are discarded.

A sample of a short call (shorter than the threshold) stands for one sample interval. It is recorded when the heartbeat
is answered in time; otherwise the call was a stall, and is charged as one.
"""

from __future__ import annotations

from typing import NamedTuple

from .stacks import StallSource


class Charge(NamedTuple):
    """A share of a span of time."""

    kind: str
    """loop, gil or threadpool."""
    source: StallSource
    share: float


Charges = tuple[Charge, ...]
"""The shares add up to 1. Empty: no code of the process is the cause."""


class StallPart(NamedTuple):
    """One source's part of a stall: a row of stalls-<pid>.csv."""

    at_s: float
    stall: int
    kind: str
    stalled_ms: float
    file: str
    line: str
    function: str
    callee: str
    samples: int


class _Span(NamedTuple):
    begun_s: float
    seconds: float
    charges: Charges
    samples: int


class _Total:
    def __init__(self, begun_s: float) -> None:
        self.begun_s = begun_s
        self.seconds = 0.0
        self.samples = 0


class StallAttribution:
    """Adds up the charges and returns them as rows."""

    def __init__(self, threshold_s: float) -> None:
        self._threshold_s = threshold_s
        self._stalls = 0
        """Number of the latest stall."""
        self._in_stall = False
        self._exhaustion = 0
        """Number of the stall that is the threadpool's exhaustion; 0 while it has tokens."""
        self._charged_until_s = 0.0
        self._last: Charges = ()
        self._short_call: _Span | None = None
        self._pending: list[_Span] = []
        self._totals: dict[tuple[int, str, StallSource], _Total] = {}

    def add_overdue(self, sent_s: float, now_s: float, charges: Charges, delayed_s: float) -> None:
        """A sample of a pending heartbeat.

        ``delayed_s``: how long since ``sent_s`` the loop's thread was ready to run but had no core. Other processes
        cause that, so it is not charged.
        """
        self._add_pending(sent_s, now_s, charges, samples=1)
        self._last = charges
        self._record_if_late(sent_s, now_s, delayed_s)

    def add_short_call(self, begun_s: float, now_s: float, charges: Charges) -> None:
        """A sample that found the loop asleep in a call that may end before the threshold."""
        begun_s = max(begun_s, self._charged_until_s)
        if now_s > begun_s:
            self._short_call = _Span(begun_s, now_s - begun_s, charges, 1)
            self._charged_until_s = now_s

    def answered_late(self, sent_s: float, answered_s: float, delayed_s: float) -> None:
        """The answer to a late heartbeat: the stall ends. The next one may begin at that moment."""
        if self._last:
            self._add_pending(sent_s, answered_s, self._last, samples=0)
        if self._record_if_late(sent_s, answered_s, delayed_s):
            self._in_stall = False
        else:
            self.answered_in_time()

    def answered_in_time(self) -> None:
        """The answer to a heartbeat that was not late. Pending time counts only if a short call was sampled."""
        if self._short_call is not None:
            self._stalls += 1
            for span in (self._short_call, *self._pending):
                self._record(self._stalls, span)
        self.discard()

    def discard(self) -> None:
        """Drop what is pending."""
        self._pending.clear()
        self._in_stall = False
        self._last = ()
        self._short_call = None

    def add_exhausted(self, begun_s: float, now_s: float, holders: Charges) -> None:
        """From ``begun_s`` to ``now_s`` the threadpool had no free token and tasks waited for one."""
        if not self._exhaustion:
            self._stalls += 1
            self._exhaustion = self._stalls
        self._record(self._exhaustion, _Span(begun_s, now_s - begun_s, holders, 1))

    def end_exhausted(self) -> None:
        """The threadpool has free tokens. May be called at any time."""
        self._exhaustion = 0

    def take_rows(self) -> list[StallPart]:
        """Everything recorded since the last call."""
        totals, self._totals = self._totals, {}
        return [
            StallPart(
                total.begun_s,
                stall,
                kind,
                total.seconds * 1000,
                source.file,
                str(source.line or ""),
                source.function,
                source.callee,
                total.samples,
            )
            for (stall, kind, source), total in totals.items()
        ]

    def _add_pending(self, sent_s: float, now_s: float, charges: Charges, samples: int) -> None:
        begun_s = max(sent_s, self._charged_until_s)
        if now_s > begun_s:
            self._pending.append(_Span(begun_s, now_s - begun_s, charges, samples))
            self._charged_until_s = now_s

    def _record_if_late(self, sent_s: float, now_s: float, delayed_s: float) -> bool:
        age_s = now_s - sent_s
        if age_s - delayed_s < self._threshold_s:
            return False
        self._short_call = None
        if not self._in_stall:
            self._in_stall = True
            self._stalls += 1
        with_core = 1 - max(0.0, delayed_s) / age_s
        for span in self._pending:
            self._record(self._stalls, span._replace(seconds=span.seconds * with_core))
        self._pending.clear()
        return True

    def _record(self, stall: int, span: _Span) -> None:
        for kind, source, share in span.charges:
            total = self._totals.setdefault((stall, kind, source), _Total(span.begun_s))
            total.seconds += span.seconds * share
            total.samples += span.samples
