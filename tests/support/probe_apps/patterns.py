"""Every way to hold a loop up, and one that does not. A comment marks the line that is to be blamed."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import slowdb
from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

WAIT_S = 0.04
SPIN_S = 0.03
RECORDS = json.dumps([number / 7 for number in range(700_000)])
UNLIKELY = re.compile(r"(a+)+b")
NUMBERS = [number * 7919 % 1_000_003 for number in range(700_000)]
database = slowdb.Connection()
wanted = asyncio.Event()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(refresh())
    yield
    task.cancel()


async def refresh() -> None:
    while True:
        await wanted.wait()
        wanted.clear()
        time.sleep(WAIT_S)  # blame: /background


app = FastAPI(lifespan=lifespan)


class Audit:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/middleware":
            time.sleep(WAIT_S)  # blame: /middleware
        await self.app(scope, receive, send)


app.add_middleware(Audit)


class Timing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


app.add_middleware(Timing)


async def session() -> int:
    time.sleep(WAIT_S)  # blame: /dependency
    return 1


@app.get("/sleep")
async def sleep(seconds: float = WAIT_S) -> float:
    begun_s = time.perf_counter()
    time.sleep(seconds)  # blame: /sleep
    await asyncio.sleep(0)
    return time.perf_counter() - begun_s


@app.get("/never-awaits")
async def never_awaits() -> str:
    time.sleep(0.012)  # blame: /never-awaits
    return "done"


@app.get("/short")
async def short(seconds: float = 0.012) -> str:
    time.sleep(seconds)  # blame: /short
    return "done"


@app.get("/driver")
async def driver() -> int:
    return database.execute()  # blame: /driver


def count(seconds: float) -> int:
    until_s, counted = time.perf_counter() + seconds, 0
    while time.perf_counter() < until_s: counted += 1  # blame: /spin, /spin-def  # fmt: skip # noqa: E701
    return counted


@app.get("/spin")
async def spin() -> int:
    return count(SPIN_S)


@app.get("/spin-def")
def spin_def() -> int:
    return count(SPIN_S)


@app.get("/def")
def plain_def() -> str:
    time.sleep(0.1)  # blame: /def
    return "done"


@app.get("/offloaded")
async def offloaded() -> str:
    await run_in_threadpool(time.sleep, 0.1)
    return "done"


@app.get("/dependency")
async def dependency(_: Annotated[int, Depends(session)]) -> str:
    return "done"


@app.get("/middleware")
async def middleware() -> str:
    return "done"


@app.get("/background")
async def background() -> str:
    wanted.set()
    await asyncio.sleep(0.01)
    return "done"


@app.get("/clean")
async def clean() -> str:
    await asyncio.sleep(0.02)
    return "done"


@app.get("/clean-def")
def clean_def() -> str:
    time.sleep(0.02)
    return "done"


@app.get("/clean-fast")
async def clean_fast() -> int:
    return sum(range(1000))


@app.get("/held/json")
async def held_json() -> float:
    begun_s = time.thread_time()
    json.loads(RECORDS)  # blame: /held/json
    return time.thread_time() - begun_s


@app.get("/held/re")
async def held_re() -> float:
    begun_s = time.thread_time()
    UNLIKELY.match("a" * 22)  # blame: /held/re
    return time.thread_time() - begun_s


@app.get("/held/sum")
async def held_sum() -> float:
    begun_s = time.thread_time()
    sum(range(10_000_000))  # blame: /held/sum
    return time.thread_time() - begun_s


@app.get("/held/sorted")
async def held_sorted() -> float:
    begun_s = time.thread_time()
    sorted(NUMBERS)  # blame: /held/sorted
    return time.thread_time() - begun_s


@app.get("/health")
async def health() -> str:
    return "well"
