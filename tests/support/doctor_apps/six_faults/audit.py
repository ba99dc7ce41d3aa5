"""Middleware that is harmless for most requests, and blocks the loop for some."""

import time
from collections.abc import Awaitable, Callable

from fastapi import Request, Response


async def audit(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    if request.url.path.startswith("/blocking/audited"):
        time.sleep(0.03)  # BLOCKS middleware
    return await call_next(request)
