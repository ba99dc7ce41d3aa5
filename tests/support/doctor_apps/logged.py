"""Writes down what it is asked, holds up its own start, and has a middleware that blocks for every request."""

import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    time.sleep(1.0)  # BLOCKS start-up
    yield


with Path(os.environ["REQUEST_LOG"]).with_name("interpreters").open("a") as interpreters:
    interpreters.write(f"{sys.executable}\n")

app = FastAPI(lifespan=lifespan, openapi_url="/hidden/api.json")


@app.middleware("http")
async def write_down(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    if not request.url.path.startswith("/hidden"):
        time.sleep(0.03)  # BLOCKS middleware
    with Path(os.environ["REQUEST_LOG"]).open("a") as log:
        log.write(f"{request.method} {request.url.path} {request.headers.get('x-token')}\n")
    return await call_next(request)


class Note(BaseModel):
    text: str = "milk"


@app.get("/one")
async def one() -> int:
    return 1


@app.get("/two")
async def two(x_token: Annotated[str, Header()]) -> str:
    return x_token


@app.get("/away")
async def away() -> RedirectResponse:
    return RedirectResponse(os.environ["ELSEWHERE"])


@app.post("/notes", status_code=201)
async def add(note: Note) -> str:
    return note.text


@app.post("/search")
async def search(note: Note) -> str:
    return note.text


@app.put("/notes/{number}")
async def change(number: int, note: Note) -> str:
    return note.text


@app.delete("/notes/{number}")
async def remove(number: int) -> int:
    return number


@app.get("/secret")
async def secret() -> Response:
    return Response(status_code=403)


@app.get("/notes/{number}")
async def note(number: int) -> int:
    return number
