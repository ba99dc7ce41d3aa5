"""A server that starves some of its clients on purpose, and keeps a log of every request.

    python starving_server.py MODE SERVICE_MS

It prints its port, serves until its input is closed, and then prints the log as JSON: for each request the moments
(perf_counter, which is one clock for the machine) at which it was received and answered, or null.

never   every fourth connection, in the order in which they come, never gets an answer; the others are served in turn
lifo    one request after the other, the last one that came first
freeze  in turn, but for one second in five nothing is served
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import dataclass
from itertools import count

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FREEZE_EVERY_S, FREEZE_S = 5.0, 1.0


@dataclass
class Received:
    """One request."""

    writer: asyncio.StreamWriter
    path: str
    received_s: float
    starves: bool
    answered_s: float | None = None


class StarvingServer:
    """Serves one request at a time, in the order that its mode says."""

    def __init__(self, mode: str, service_s: float) -> None:
        self._mode = mode
        self._service_s = service_s
        self._waiting: deque[Received] = deque()
        self._arrived = asyncio.Event()
        self._connections = count()
        self.log: list[Received] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        starves = self._mode == "never" and next(self._connections) % 4 == 3
        while head := await self._head(reader):
            request = Received(writer, head.split()[1].decode(), time.perf_counter(), starves)
            self.log.append(request)
            if not starves:
                self._waiting.append(request)
                self._arrived.set()
        writer.close()

    @staticmethod
    async def _head(reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def serve(self) -> None:
        begun_s = time.perf_counter()
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            request = self._waiting.pop() if self._mode == "lifo" else self._waiting.popleft()
            await asyncio.sleep(self._service_s)
            if self._mode == "freeze" and (time.perf_counter() - begun_s) % FREEZE_EVERY_S > FREEZE_EVERY_S - FREEZE_S:
                await asyncio.sleep(FREEZE_S)
            request.writer.write(ANSWER)
            request.answered_s = time.perf_counter()


async def main() -> None:
    """Serve until the input ends, then print the log."""
    server = StarvingServer(sys.argv[1], float(sys.argv[2]) / 1000)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    serving = asyncio.create_task(server.serve())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    serving.cancel()
    print(json.dumps([[each.path, each.received_s, each.answered_s] for each in server.log]), flush=True)
    listening.close()


if __name__ == "__main__":
    asyncio.run(main())
