"""A server that does next to nothing, for measuring load generators: nginx if it is installed, otherwise this module.

    python -m bench.calibrate.null_server PORT [--freeze-s 1 --every-s 5]

``GET /`` answers 200 with two bytes; ``GET /count`` answers with the number of requests received so far. With
``--freeze-s`` the whole server freezes for that long every ``--every-s`` after its first ``GET /``, like an event loop
with a blocking call.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import httptools
import httpx

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

_NGINX_CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = / {{ default_type text/plain; return 200 "ok"; }}
        location = /count {{ stub_status; }}
    }}
}}
"""


def command(port: int, folder: Path) -> tuple[str, list[str]]:
    """The null server's name in the results, and its command."""
    if NGINX is None:
        return "uvloop + httptools", [sys.executable, "-m", "bench.calibrate.null_server", str(port)]
    config = folder / "nginx.conf"
    config.write_text(_NGINX_CONFIG.format(folder=folder, port=port), encoding="utf-8")
    return "nginx", [NGINX, "-p", str(folder), "-c", str(config)]


def freezing_command(port: int, freeze_s: float, every_s: float) -> list[str]:
    """The command of the server that freezes."""
    options = ["--freeze-s", str(freeze_s), "--every-s", str(every_s)]
    return [sys.executable, "-m", "bench.calibrate.null_server", str(port), *options]


def received(url: str) -> int:
    """How many requests a null server has received, this one included."""
    text = httpx.get(f"{url}/count", trust_env=False).text
    # nginx's stub_status: "server accepts handled requests" above three numbers.
    return int(text.split("requests")[1].split()[2]) if "requests" in text else int(text)


class _Protocol(asyncio.Protocol):
    count = 0
    on_first: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class does not inherit from asyncio's
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""

    def data_received(self, data: bytes) -> None:
        """Parse a part of a request."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Called by the parser with the path."""
        self._url = url

    def on_message_complete(self) -> None:
        """Called by the parser when the request is complete: answer it."""
        _Protocol.count += 1
        if self._url == b"/count":
            body = str(_Protocol.count).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return
        if _Protocol.on_first is not None:
            _Protocol.on_first()
            _Protocol.on_first = None
        self._transport.write(ANSWER)


async def _serve(port: int, freeze_s: float, every_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Protocol, "127.0.0.1", port, backlog=1024)
    if freeze_s:
        _Protocol.on_first = lambda: _freeze_from(loop, loop.time() + every_s, freeze_s, every_s)
    async with server:
        await server.serve_forever()


def _freeze_from(loop: asyncio.AbstractEventLoop, at_s: float, freeze_s: float, every_s: float) -> None:
    def freeze() -> None:
        time.sleep(max(0.0, at_s + freeze_s - loop.time()))
        _freeze_from(loop, at_s + every_s, freeze_s, every_s)

    loop.call_at(at_s, freeze)


def main() -> None:
    """Serve until interrupted."""
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--freeze-s", type=float, default=0.0)
    parser.add_argument("--every-s", type=float, default=5.0)
    options = parser.parse_args()
    uvloop.run(_serve(options.port, options.freeze_s, options.every_s))


if __name__ == "__main__":
    main()
