"""Waits until servers answer, and says in one line why one does not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from bench.running.processes import Process, exit_text

POLL_S = 0.02
"""Time between two requests to a server. On average readiness is noticed half of it late; a request costs 1 ms."""

ANSWER_TIMEOUT_S = 2.0
"""How long one request may take before it is sent again."""


@dataclass(frozen=True)
class ReadinessRule:
    """When a server counts as ready."""

    deadline_s: float
    any_answer: bool = False
    """Whether any HTTP answer will do, and one request waits for it until the deadline. Of a user's own app nothing more
    is known: it may answer every path with an error, and a request that is sent again disturbs a slow app."""


def wait_until_ready(
    servers: Mapping[str, tuple[Process, str]], deadline_s: float, any_answer: bool = False
) -> dict[str, str | None]:
    """Request each server's URL until it answers, all servers at the same time, for at most ``deadline_s`` seconds.

    None means ready: an answer with a status below 500, or any (see ReadinessRule). Otherwise the reason in one line,
    such as "exited with status 1 while starting". Returns as soon as every server is decided. A slow server delays no
    request to another.
    """
    return asyncio.run(_all_ready(servers, ReadinessRule(deadline_s, any_answer)))


async def _all_ready(servers: Mapping[str, tuple[Process, str]], rule: ReadinessRule) -> dict[str, str | None]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    timeout_s = rule.deadline_s if rule.any_answer else ANSWER_TIMEOUT_S
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=timeout_s, limits=limits) as client:
        waits = (_ready(client, process, url, rule) for process, url in servers.values())
        return dict(zip(servers, await asyncio.gather(*waits), strict=True))


async def _ready(client: httpx.AsyncClient, process: Process, url: str, rule: ReadinessRule) -> str | None:
    """None once the server answers, otherwise the reason."""
    poll = ReadinessPoll(client, url, rule.any_answer)
    deadline_s = rule.deadline_s
    answers = asyncio.create_task(poll.until_answered())
    exits = asyncio.create_task(_until_exit(process))
    try:
        await asyncio.wait((answers, exits), timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        # The exit is checked first: where the port was taken, another server answers and ours has exited.
        if (status := process.poll()) is not None:
            return f"{exit_text(status)} while starting"
        if answers.done():
            return answers.result()
        return f"{poll.observed} {deadline_s:g} s"
    finally:
        for task in (answers, exits):
            task.cancel()
        await asyncio.gather(answers, exits, return_exceptions=True)


class ReadinessPoll:
    """Requests one server's URL repeatedly. ``observed`` describes what it has done so far."""

    def __init__(self, client: httpx.AsyncClient, url: str, any_answer: bool = False) -> None:
        self._client = client
        self._any_answer = any_answer
        self._url = httpx.URL(url)
        self.observed = "never answered in"

    async def until_answered(self) -> None:
        """Return at the first answer that will do."""
        path = self._url.raw_path.decode()
        while True:
            try:
                async with self._client.stream("GET", self._url) as answer:  # the body may be endless
                    status = answer.status_code
            except (httpx.RemoteProtocolError, httpx.ReadError):
                self.observed = f"closed the connection on GET {path} for"
            except httpx.HTTPError:
                pass  # connection refused, or no answer in time: not ready yet
            else:
                if self._any_answer or status < 500:
                    return
                self.observed = f"answered {status} to GET {path} for"
            await asyncio.sleep(POLL_S)


async def _until_exit(process: Process) -> None:
    while process.poll() is None:
        await asyncio.sleep(POLL_S)
