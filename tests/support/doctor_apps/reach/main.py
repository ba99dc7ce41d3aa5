"""What a real app may have. Its document takes three seconds, and its health check is not in it."""

import asyncio
import hashlib
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from reach.mounted import admin, hidden

app = FastAPI(root_path="/api/v1")
app.mount("/admin", admin)
app.mount("/hidden", hidden)

PASSWORD = os.environ.get("REACH_PASSWORD", "")
SALT = b"reach"
TOKENS: set[str] = set()
"""Of this server only: another one does not know them."""


def openapi() -> dict[str, Any]:
    time.sleep(3.0)
    return FastAPI.openapi(app)


app.openapi = openapi  # type: ignore[method-assign]


def hashed(password: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), SALT, 400_000)  # BLOCKS login


EXPECTED = hashed(PASSWORD)
FORM = {"type": "object", "required": ["username", "password"], "properties": {"username": {}, "password": {}}}
LOGIN = {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": FORM}}}}


@app.post("/token", openapi_extra=LOGIN)
async def token(request: Request) -> dict[str, str]:
    fields = parse_qs((await request.body()).decode())
    if hashed(fields["password"][0]) != EXPECTED:
        raise HTTPException(400)
    made = secrets.token_hex()
    TOKENS.add(made)
    return {"access_token": made, "token_type": "bearer"}


def user(request: Request) -> str:
    if request.headers.get("authorization", "").removeprefix("Bearer ") not in TOKENS:
        raise HTTPException(401)
    return "ada"


@app.get("/me")
async def me(name: str = Depends(user)) -> str:
    return name


def report() -> None:
    time.sleep(12)  # BLOCKS background


async def report_later() -> None:
    report()


@app.get("/report")
async def order_report(tasks: BackgroundTasks) -> str:
    tasks.add_task(report_later)
    return "ordered"


@app.get("/articles")
async def articles() -> list[dict[str, str]]:
    return [{"slug": "first-steps"}]


@app.get("/articles/{slug}")
async def article(slug: str) -> str:
    if slug != "first-steps":
        raise HTTPException(404)
    return slug


async def every_second() -> AsyncIterator[str]:
    while True:
        yield "data: tick\n\n"
        await asyncio.sleep(1)


@app.get("/events")
async def events() -> StreamingResponse:
    return StreamingResponse(every_second(), media_type="text/event-stream")


@app.get("/poll")
async def poll() -> str:
    await asyncio.sleep(15)
    return "nothing new"


counter = threading.Lock()


@app.get("/counted")
async def counted() -> str:
    """Works for one; with two at once the second one waits for the lock, on the loop that the first needs to release it."""
    counter.acquire()  # BLOCKS lock
    await asyncio.sleep(0.01)
    counter.release()
    return "counted"


asked = 0


@app.get("/limited")
async def limited() -> Response:
    global asked
    asked += 1
    return Response(status_code=200 if asked <= 1 else 429)


@app.get("/ready", include_in_schema=False)
async def ready() -> str:
    return "ready"
