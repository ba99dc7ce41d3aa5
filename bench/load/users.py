"""``HubHttpUser``: an ordinary Locust user whose requests run in hub callbacks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from locust import User, constant, task

from bench.load.arrival_schedule import ArrivalProcess, arrivals
from bench.load.request import Request
from bench.load.virtual_users import ClosedModelUser, OpenModelGenerator, RequestSource, UserConfig, VirtualUser

FOREVER_S = 3600.0


@dataclass
class _Shared:
    """The generator that the users of an open-model class share, from the first user's start to the last one's stop."""

    users: int = 0
    generator: OpenModelGenerator | None = None


class HubHttpUser(User):
    """A Locust user without tasks: its class says what it requests. Locust starts, stops and distributes it as any other.

    Closed model: each user sends one request after the other on one connection::

        class Reader(HubHttpUser):
            request = Request("/books")

    Open model: one arrival schedule for all users of the class, on as many connections as it needs::

        class Arrivals(HubHttpUser):
            request = Request("/books")
            arrival_rate = 500          # requests per second
            arrivals = "poisson"        # or "constant"

    ``request`` may also be a function that returns an iterator of Requests, so that each request differs.
    """

    abstract = True

    request: ClassVar[RequestSource] = Request()
    expected_statuses: ClassVar[frozenset[int]] = frozenset({200})
    timeout_s: ClassVar[float] = 60.0
    think_time_s: ClassVar[float] = 0.0
    """Closed model: pause between an answer and the next request."""
    arrival_rate: ClassVar[float | None] = None
    arrivals: ClassVar[ArrivalProcess] = "constant"
    arrivals_seed: ClassVar[int] = 1
    max_connections: ClassVar[int] = 500
    """Open model: with so many requests in flight, further arrivals are dropped and counted. Half of the usual 1,024 open files."""

    records_sequence: ClassVar[bool] = False
    """Open model, few requests a second: record the order of the outcomes, too, for failures in a row."""

    generator_type: ClassVar[type[OpenModelGenerator]] = OpenModelGenerator
    """Open model: what sends the requests."""

    wait_time = constant(FOREVER_S)

    _shared: ClassVar[dict[type, _Shared]] = {}

    @task
    def _live(self) -> None:
        # Requests are sent by hub callbacks. Locust stops a user that waits at once, but not one that sleeps in a task.
        pass

    def on_start(self) -> None:
        if self.arrival_rate is None:
            self._virtual_user: VirtualUser = ClosedModelUser(self._config())
            self.environment.load_session.join(self._virtual_user, type(self).__name__)
            return
        shared = self._shared.setdefault(type(self), _Shared())
        shared.users += 1
        if shared.users == 1:
            shared.generator = self.generator_type(self._config(), self._schedule)
            self.environment.load_session.join(shared.generator, type(self).__name__)

    def on_stop(self) -> None:
        if self.arrival_rate is None:
            self._leave(self._virtual_user)
            return
        shared = self._shared[type(self)]
        shared.users -= 1
        if shared.users == 0 and shared.generator is not None:
            self._leave(shared.generator)
            shared.generator = None

    def _leave(self, user: VirtualUser) -> None:
        session = self.environment.load_session
        if session is None:  # the test has stopped already
            user.close()
        else:
            session.leave(user)

    def _config(self) -> UserConfig:
        source: RequestSource = inspect.getattr_static(
            type(self), "request"
        )  # a function without parameters: it must not be bound
        return UserConfig(
            source,
            self.expected_statuses,
            self.timeout_s,
            self.think_time_s,
            self.max_connections,
            self.records_sequence,
        )

    def _schedule(self, target: int, part: int, parts: int) -> Iterator[float]:
        assert self.arrival_rate is not None
        return arrivals(self.arrivals, self.arrival_rate, self.arrivals_seed + target, part, parts)
