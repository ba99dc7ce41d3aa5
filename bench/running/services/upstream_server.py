"""The upstream server: answers GET /cover after a fixed delay, on a bare asyncio protocol.

    python bench/running/services/upstream_server.py PORT DELAY_S

Plain HTTP/1.1 with httptools on uvloop. An answer costs about 20 us of CPU, and any number of requests wait at the same
time: many times the load that one FastAPI worker can make (tests/integration/test_services.py checks it).
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import cast

import httptools
import uvloop

BODY = b'{"cover":"blue"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class UpstreamProtocol(asyncio.Protocol):
    """One connection. Each request is answered ``delay_s`` after it has arrived."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class does not inherit from it

    def data_received(self, data: bytes) -> None:
        """Parse a part of a request."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Called by the parser with the path."""
        self._path = url

    def on_message_complete(self) -> None:
        """Called by the parser when the request is complete: answer it."""
        loop = asyncio.get_running_loop()
        if self._path == b"/cover":
            loop.call_later(self._delay_s, self._answer, ANSWER)
        else:
            self._answer(NOT_FOUND)

    def _answer(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def serve(port: int, delay_s: float) -> None:
    """Serve on the loopback interface until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: UpstreamProtocol(delay_s), "127.0.0.1", port, backlog=2048)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
