"""The load on a server: a number of users, or an arrival rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Load:
    """``users`` who send the next request as soon as the last is answered, or arrivals at ``rate_rps`` a second."""

    users: int | None = None
    rate_rps: float | None = None

    def __post_init__(self) -> None:
        if (self.users is None) == (self.rate_rps is None):
            raise ValueError("a load is either a number of users or an arrival rate")

    @property
    def name(self) -> str:
        """Name of its folder in the results: ``users-32``, ``rate-500``."""
        return f"users-{self.users}" if self.rate_rps is None else f"rate-{self.rate_rps:g}"

    @property
    def model(self) -> Literal["closed", "open"]:
        """In the closed model users wait for their answers. In the open model arrivals follow a schedule."""
        return "closed" if self.rate_rps is None else "open"
