"""Records the requests that an app is sent, while somebody's own tests drive it. Never while anything is measured.

Each request is one line of JSON: method, path with query, headers, body, and the status of the answer.
"""

from __future__ import annotations

import json
import os
from typing import Any

MAX_BODY_BYTES = 65536
"""A request with a longer body is not recorded."""


class Recorder:
    """An ASGI app that passes everything on to another one, and appends its HTTP requests to a file."""

    def __init__(self, app: Any, path: str) -> None:
        self._app = app
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        status = 0

        async def received() -> Any:
            message = await receive()
            if message["type"] == "http.request" and len(body) <= MAX_BODY_BYTES:
                body.extend(message.get("body", b""))
            return message

        async def sent(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, received, sent)
        finally:
            if status and len(body) <= MAX_BODY_BYTES:
                self._write(scope, bytes(body), status)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)

    def _write(self, scope: Any, body: bytes, status: int) -> None:
        path = scope.get("raw_path") or scope["path"].encode()
        query = scope.get("query_string", b"")
        row = {
            "method": scope["method"],
            "path": (path + b"?" + query if query else path).decode("latin-1"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
            "body": body.decode("utf-8", "replace"),
            "status": status,
        }
        os.write(self._descriptor, (json.dumps(row) + "\n").encode())
