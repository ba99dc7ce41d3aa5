"""Requests that stand for an app's operations, and what came of trying them."""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True)
class AnsweredRequest:
    """A request that was answered well, and how fast."""

    request: SampleRequest
    alone_s: float
    """Median answer time of one request at a time, the first left out."""

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.request.name


@dataclass(frozen=True)
class SkippedOperation:
    """An operation that is not measured, and why."""

    name: str
    reason: str
