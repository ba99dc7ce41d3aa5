"""Requests that stand for an app's operations, and what came of trying them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SkipGroup = Literal[
    "write", "value", "login", "rate limit", "once", "rejected", "unanswered", "excluded", "unsupported"
]
"""Why an operation was not asked: its method may change data, a value is missing, it wants a login, its rate limiter
refused, only its first request was answered well, it answered with another status, it did not answer, the user
excluded it, or the load generator cannot send it."""


@dataclass(frozen=True)
class SampleRequest:
    """One request that stands for an operation of the app."""

    name: str
    """The operation as the app's document names it: ``GET /items/{item_id}``."""
    method: str
    path: str
    """As it is sent: ``/items/5?full=1``."""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    source: str = ""
    """Where its values come from: ``slug from GET /articles``. Empty where they are the user's or the document's."""


@dataclass(frozen=True)
class AnsweredRequest:
    """A request that was answered well, and how fast."""

    request: SampleRequest
    alone_s: float
    """Median answer time of one request at a time, the first left out. Of a long one: how long was waited."""
    is_long: bool = False
    """Whether one answer takes so long that few or none end while the operation is measured: a stream, a long poll."""
    first_byte_s: float | None = None
    """Of a long one: seconds until its answer began; None where nothing came."""
    first_s: float = 0.0
    """How long the first request took, which also pays for lazy imports and connections."""

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.request.name


@dataclass(frozen=True)
class CodeLine:
    """A line of the app, as the probe names it."""

    file: str
    line: int
    function: str
    callee: str
    """The call that the line is in; empty where the line computes."""


@dataclass(frozen=True)
class BlockedRequest:
    """A request whose answer did not come, since it kept the server from answering anything."""

    request: SampleRequest
    blocked_s: float
    """How long the server was blocked. At least, where ``at_least`` says so."""
    by: CodeLine | None
    """The line that held the event loop; None where no line of the app is known."""
    at_least: bool = True
    """Whether the server was still blocked when it was stopped."""

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.request.name


@dataclass(frozen=True)
class SkippedOperation:
    """An operation that is not measured, and why."""

    name: str
    reason: str
    group: SkipGroup = "rejected"
