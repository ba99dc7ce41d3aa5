"""``JobUser``: submits jobs by an arrival schedule, and polls for each until it is done.

The protocol is HTTP's own for work that takes long (RFC 9110, section 15.3.3): ``POST`` is answered at once with 202
and a Location, and ``GET`` of that answers 202 while the job is pending and 200 when it is done. Recorded are

    POST /jobs       until it was accepted
    GET /jobs/{id}   each poll
    job done         from the intended start of the submission until a poll found the job done; a job that is pending
                     at the end of a turn is *unfinished*
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, ClassVar

from gevent import get_hub

from bench.load.connection import Connection
from bench.load.endpoint_recorder import EndpointRecorder
from bench.load.request import Request, Target
from bench.load.users import HubHttpUser
from bench.load.virtual_users import OpenModelGenerator, PooledConnection

DONE = "job done"
POLL_EVERY_S = 0.2
"""How often a client polls. It finds a job done at most so much late, on average half of it."""
PENDING, FINISHED = 202, 200


class _Job:
    """One accepted job."""

    __slots__ = ("intended_s", "location", "sent_s", "timer")

    def __init__(self, location: str, intended_s: float, sent_s: float) -> None:
        self.location = location
        self.intended_s = intended_s
        self.sent_s = sent_s
        self.timer: Any = None


class _JobConnection(PooledConnection):
    """A connection that keeps the Location of an accepted job, and the job that its request is about."""

    __slots__ = ("job", "location")

    def __init__(self, target: Target, owner: OpenModelGenerator) -> None:
        super().__init__(target, owner)
        self.job: _Job | None = None
        self.location = ""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"location":
            self.location = value.decode("ascii", "replace")


class JobGenerator(OpenModelGenerator):
    """An open-model generator whose requests submit jobs. It polls for every accepted job until it is done."""

    connection_type = _JobConnection

    def begin(self, target: Target, recorder_of: Callable[[str], EndpointRecorder], delay_s: float = 0.0) -> None:
        """Continue the schedule of ``target``. Jobs of the last turn are forgotten."""
        self._recorder_of = recorder_of
        self._jobs: set[_Job] = set()
        super().begin(target, recorder_of, delay_s)

    def end(self, end_s: float) -> None:
        """Stop submitting and polling. Pending jobs are recorded as unfinished."""
        super().end(end_s)
        done = self._recorder_of(DONE)
        for job in self._jobs:
            self._cancel(job)
            done.unfinished(job.intended_s, job.sent_s, end_s)
        self._jobs.clear()

    def answered(self, connection: Connection, status: int, done_s: float) -> None:
        assert isinstance(connection, _JobConnection)
        job, connection.job = connection.job, None
        location, connection.location = connection.location, ""
        super().answered(connection, status, done_s)
        if not self._running:
            return
        if job is None and status == PENDING and location:
            self._accepted(_Job(location, connection.intended_s, connection.sent_s))
        elif job is not None and status == FINISHED:
            self._jobs.discard(job)
            self._recorder_of(DONE).scheduled(job.intended_s, job.sent_s, done_s)
        elif job is not None:
            self._poll_later(job)

    def failed(self, connection: Connection, cause: str, detail: str, done_s: float) -> None:
        assert isinstance(connection, _JobConnection)
        job, connection.job = connection.job, None
        super().failed(connection, cause, detail, done_s)
        if job is not None and self._running:
            self._poll_later(job)

    def _accepted(self, job: _Job) -> None:
        self._jobs.add(job)
        self._recorder_of(DONE).started += 1
        self._poll_later(job)

    def _poll_later(self, job: _Job) -> None:
        self._cancel(job)
        job.timer = get_hub().loop.timer(POLL_EVERY_S)
        job.timer.start(self._poll, job, update=True)

    def _poll(self, job: _Job) -> None:
        self._cancel(job)
        if not self._running or self._target is None:
            return
        connection = self._take()
        recorder = self._recorder_of("GET /jobs/{id}")
        if connection is None:
            recorder.counts["dropped"] += 1
            self._poll_later(job)
            return
        assert isinstance(connection, _JobConnection)
        connection.job = job
        connection.context = recorder
        recorder.started += 1
        self._busy.add(connection)
        connection.request(Request(job.location).encode(self._target.authority), True, perf_counter())

    @staticmethod
    def _cancel(job: _Job) -> None:
        if job.timer is not None:
            job.timer.stop()
            job.timer.close()
            job.timer = None


class JobUser(HubHttpUser):
    """Submits ``request`` at ``arrival_rate`` jobs a second and polls for each::

    class Clients(JobUser):
        request = Request("/jobs", method="POST")
        arrival_rate = 20
    """

    abstract = True

    expected_statuses: ClassVar[frozenset[int]] = frozenset({PENDING, FINISHED})
    generator_type = JobGenerator
