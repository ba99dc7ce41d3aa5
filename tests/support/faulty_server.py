"""A server that misbehaves on request and keeps exact books: ``GET /reset`` is answered by a reset, and counted.

Runs as a process of its own (``python faulty_server.py``); speaks JSON lines on standard input and output:

    {"do": "open"}                             -> {"port": 12345}: a fresh port with fresh books
    {"do": "books", "port": 12345}             -> see Books
    {"do": "freeze", "port": ..., "for_s": 1}  -> {"start_s", "end_s"}: nothing is answered until then
    {"do": "listen" | "deaf", "port": ...}     -> {}: accept connections (again), or refuse them

It ends with its standard input. Moments are of ``time.perf_counter``, the same clock in every process on Linux.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n"
BODY = b"0123456789" * 10
IDLE_S = 0.02
"""How long ``/idle-close`` keeps an idle connection."""
PIECE_GAP_S = 0.002
"""Between the pieces of ``/slow``."""


def answer(status: bytes = b"200 OK", body: bytes = BODY, extra: bytes = b"") -> bytes:
    return HEAD % (status, len(body), extra) + body


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5;name="value"\r\n01234\r\n00A\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\n'
)


@dataclass
class Books:
    """What one port saw. A request is received when it is whole, and answered when its answer was written whole."""

    connections: int = 0
    received: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    dropped_on_used: Counter[str] = field(default_factory=Counter)
    """Received, then the connection ended before a byte of the answer, where an earlier request had been answered:
    the client cannot tell it from an idle connection that was closed, and may send it again."""
    spans: list[tuple[str, float, float | None]] = field(default_factory=list)
    """(path, received, answered) of every request."""

    def as_json(self) -> dict[str, Any]:
        return {
            "connections": self.connections,
            "received": self.received,
            "answered": self.answered,
            "dropped_on_used": self.dropped_on_used,
            "spans": self.spans,
        }


class Port:
    def __init__(self) -> None:
        self.books = Books()
        self.frozen_until_s = 0.0
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.number: int = self.sock.getsockname()[1]
        self.server: asyncio.Server | None = None

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self.serve, sock=self.sock, backlog=1024)

    async def deaf(self) -> None:
        """Refuse connections; the number stays ours."""
        if self.server is not None:
            self.server.close()
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", self.number))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.books.connections += 1
        connection = Conversation(self, reader, writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await connection.run()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class Conversation:
    """One connection: reads a request, behaves as its path says, reads the next."""

    def __init__(self, port: Port, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.port = port
        self.books = port.books
        self.reader = reader
        self.writer = writer
        self.answers = 0

    async def run(self) -> None:
        goes_on = True
        idle_s: float | None = None
        while goes_on:
            try:
                head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), idle_s)
            except TimeoutError:
                return
            received_s = time.perf_counter()
            method, path = head.split(b" ", 2)[:2]
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if length:
                await self.reader.readexactly(int(length))
            name = f"{method.decode()} {path.decode()}"
            self.books.received[name] += 1
            at = len(self.books.spans)
            self.books.spans.append((name, received_s, None))
            if (frozen_s := self.port.frozen_until_s - time.perf_counter()) > 0:
                await asyncio.sleep(frozen_s)
            _, action, *arguments = path.decode().split("/")
            if action in ("close", "reset"):
                self.books.dropped_on_used[name] += self.answers > 0
            whole, goes_on = await self.behave(action, arguments)
            if whole:
                self.answers += 1
                self.books.answered[name] += 1
                self.books.spans[at] = (name, received_s, time.perf_counter())
            idle_s = IDLE_S if action == "idle-close" else None

    async def behave(self, action: str, arguments: list[str]) -> tuple[bool, bool]:
        """Answer; returns whether the answer was whole, and whether the connection goes on."""
        write = self.writer.write
        match action:
            case "status":
                write(answer(f"{arguments[0]} As Asked".encode()))
            case "late":
                await asyncio.sleep(float(arguments[0]))
                write(answer())
            case "chunked":
                write(CHUNKED)
            case "interim":
                write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer())
            case "slow":
                for at in range(0, len(answer()), 40):
                    write(answer()[at : at + 40])
                    await asyncio.sleep(PIECE_GAP_S)
            case "close-announced":
                write(answer(extra=b"Connection: close\r\n"))
                return True, False
            case "close-unannounced":
                write(answer())
                return True, False
            case "close":
                return False, False
            case "close-mid":
                write(answer()[:-50])
                return False, False
            case "endless":
                write(b"HTTP/1.1 200 OK\r\n\r\nthe body ends with the connection")
                return False, False
            case "reset":
                self.reset()
                return False, False
            case "reset-mid":
                write(answer()[:-50])
                self.reset()
                return False, False
            case "garbage":
                write(b"220 mail.example.com ESMTP ready\r\n")
                return False, False
            case "surplus":
                write(answer() + answer(b"418 Surplus"))
            case "never":
                await self.reader.read()  # until the client hangs up
                return False, False
            case _:  # "ok", "idle-close"
                write(answer())
        return True, True

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def obey(ports: dict[int, Port], order: dict[str, Any]) -> dict[str, Any]:
    if order["do"] == "open":
        port = Port()
        ports[port.number] = port
        await port.listen()
        return {"port": port.number}
    port = ports[order["port"]]
    if order["do"] == "books":
        return port.books.as_json()
    if order["do"] == "freeze":
        start_s = time.perf_counter()
        port.frozen_until_s = start_s + order["for_s"]
        return {"start_s": start_s, "end_s": port.frozen_until_s}
    await (port.listen() if order["do"] == "listen" else port.deaf())
    return {}


async def main() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ports: dict[int, Port] = {}
    while line := await reader.readline():
        sys.stdout.write(json.dumps(await obey(ports, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
