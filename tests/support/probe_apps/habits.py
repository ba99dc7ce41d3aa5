"""What apps do that a guest in their process must not disturb."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from anyio._backends import _asyncio as backend
from fastapi import FastAPI

asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
at_import = asyncio.run(asyncio.sleep(0, "ran"))
time.sleep(0.2)  # importing takes time, which is nobody's fault
ticks: list[float] = []


def tick() -> None:
    while True:
        ticks.append(time.monotonic())
        time.sleep(0.01)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    time.sleep(0.2)  # and nobody waits yet
    threading.Thread(target=tick, daemon=True).start()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> str:
    return at_import


@app.get("/ticks")
async def count_ticks() -> int:
    return len(ticks)


@app.get("/environment")
async def environment() -> dict[str, list[str] | str]:
    code = "import sys, os; print(sys.path, sorted(os.environ))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {"path": sys.path, "environment": [f"{k}={v}" for k, v in sorted(os.environ.items())], "child": child.stdout}


@app.get("/fork")
async def fork() -> int:
    child = os.fork()
    if child == 0:
        asyncio.run(asyncio.sleep(0.25))  # longer than a row of samples takes
        os._exit(7)
    _, status = await anyio.to_thread.run_sync(os.waitpid, child, 0)
    return os.waitstatus_to_exitcode(status)


@app.get("/limiter")
async def limiter(tokens: int, swap: bool) -> float:
    if swap:
        backend._default_thread_limiter.set(backend.CapacityLimiter(tokens))
    else:
        anyio.to_thread.current_default_thread_limiter().total_tokens = tokens
    return anyio.to_thread.current_default_thread_limiter().total_tokens


@app.get("/exit")
async def leave(status: int) -> None:
    os._exit(status)
