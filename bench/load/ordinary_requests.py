"""Requests of ordinary Locust users (HttpUser, FastHttpUser), which Locust itself reports only when they end.

A blocked server would look healthy without the requests that have no answer yet. So the sessions of both kinds of
users are wrapped: every request is known from its start, and the end of a turn finds the unanswered ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession

from bench.load.endpoint_recorder import EndpointRecorder


@dataclass
class _OpenRequest:
    endpoint: str
    begun_s: float
    unfinished: EndpointRecorder | None = None
    """Where it was recorded as unfinished, once its turn has ended."""


class OrdinaryRequests:
    """The requests of this process's ordinary users that have not ended."""

    def __init__(self) -> None:
        self._open: dict[int, _OpenRequest] = {}
        self._next = 0

    def install(self) -> None:
        """Wrap both kinds of sessions, for the whole process."""
        HttpSession.request = _wrapped(self, HttpSession.request)
        FastHttpSession.request = _wrapped(self, FastHttpSession.request)

    @contextmanager
    def in_flight(self, endpoint: str) -> Iterator[None]:
        """A request from its start to its end, however it ends."""
        self._next += 1
        number = self._next
        self._open[number] = _OpenRequest(endpoint, perf_counter())
        try:
            yield
        finally:
            ended = self._open.pop(number)
            if ended.unfinished is not None:
                ended.unfinished.counts["completed_late"] += 1

    def end_turn(self, end_s: float, recorder_of: Callable[[str], EndpointRecorder]) -> None:
        """Record every unanswered request as unfinished."""
        for each in self._open.values():
            recorder = each.unfinished = recorder_of(each.endpoint)
            recorder.started += 1  # Locust reports an ordinary request at its end, so it was not counted before
            recorder.unfinished(each.begun_s, each.begun_s, end_s)

    @property
    def drained(self) -> bool:
        """Whether every request that was unfinished at the end of the turn has ended."""
        return not any(each.unfinished is not None for each in self._open.values())


def _wrapped(requests: OrdinaryRequests, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(session: Any, method: str, url: str, name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        label = name or getattr(session, "request_name", None) or _path(url)
        with requests.in_flight(f"{method} {label}"):
            return original(session, method, url, name, *args, **kwargs)

    return request


def _path(url: str) -> str:
    """The name that Locust gives a request without one: its path with the query."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
