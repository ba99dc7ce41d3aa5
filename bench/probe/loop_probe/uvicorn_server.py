"""uvicorn's own counters: requests, connections, and whether it serves."""

from __future__ import annotations

from types import FrameType
from typing import Any, NamedTuple


class RequestCounts(NamedTuple):
    """Requests and connections of one worker."""

    begun: int
    """Since the worker started."""
    in_flight: int
    connections: int


class UvicornServer:
    """The worker's uvicorn.Server, read from another thread."""

    def __init__(self, server: Any, start_up: bool) -> None:
        self._server = server
        self._state = server.server_state
        self._start_up = start_up

    def counts(self) -> RequestCounts:
        """The counters now."""
        state = self._state
        return RequestCounts(state.total_requests, len(state.tasks), len(state.connections))

    def serves(self) -> bool:
        """Whether a stall can delay requests: False while the app starts (and imports) and while it shuts down."""
        return (self._server.started or self._start_up) and not self._server.should_exit


def find_server(frame: FrameType | None, start_up: bool) -> UvicornServer | None:
    """uvicorn's Server, from the frames below its call to the factory; None if it is not there.

    ``start_up``: treat the start-up as serving.
    """
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith("uvicorn"):
            candidate = frame.f_locals.get("self")
            if hasattr(candidate, "server_state") and hasattr(candidate, "started"):
                return UvicornServer(candidate, start_up)
        frame = frame.f_back
    return None
