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
    """What the users of an open class have in common: one pool, from the first user's start to the last one's stop."""

    users: int = 0
    pool: OpenModelGenerator | None = None


class HubHttpUser(User):
    """A user that is declared, not scripted; Locust spawns, stops, counts and distributes it like any other.

    Closed model, each user one loop on one connection::

        class Reader(HubHttpUser):
            request = Request("/books")

    Open model, a timetable shared by all users of the class, on as many connections as it needs::

        class Arrivals(HubHttpUser):
            request = Request("/books")
            arrival_rate = 500          # requests per second
            arrivals = "poisson"        # or "constant"

    ``request`` may also be a function that returns an iterator of Requests, so that each differs.
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
    """Open model: arrivals beyond so many in flight are dropped and counted. Half of the usual 1,024 open files."""

    pool_type: ClassVar[type[OpenModelGenerator]] = OpenModelGenerator
    """Open model: what plays the timetable."""

    wait_time = constant(FOREVER_S)

    _shared: ClassVar[dict[type, _Shared]] = {}

    @task
    def _live(self) -> None:
        # The traffic runs in hub callbacks. A user in wait() is stopped at once, one asleep in a task is not.
        pass

    def on_start(self) -> None:
        if self.arrival_rate is None:
            self._player: VirtualUser = ClosedModelUser(self._conduct())
            self.environment.stage.join(self._player, type(self).__name__)
            return
        shared = self._shared.setdefault(type(self), _Shared())
        shared.users += 1
        if shared.users == 1:
            shared.pool = self.pool_type(self._conduct(), self._timetable)
            self.environment.stage.join(shared.pool, type(self).__name__)

    def on_stop(self) -> None:
        if self.arrival_rate is None:
            self._leave(self._player)
            return
        shared = self._shared[type(self)]
        shared.users -= 1
        if shared.users == 0 and shared.pool is not None:
            self._leave(shared.pool)
            shared.pool = None

    def _leave(self, player: VirtualUser) -> None:
        stage = self.environment.stage
        if stage is None:  # the test has stopped already
            player.close()
        else:
            stage.leave(player)

    def _conduct(self) -> UserConfig:
        source: RequestSource = inspect.getattr_static(type(self), "request")  # a function of nothing: not to be bound
        return UserConfig(source, self.expected_statuses, self.timeout_s, self.think_time_s, self.max_connections)

    def _timetable(self, target: int, part: int, parts: int) -> Iterator[float]:
        assert self.arrival_rate is not None
        return arrivals(self.arrivals, self.arrival_rate, self.arrivals_seed + target, part, parts)
