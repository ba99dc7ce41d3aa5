"""The fix: two processes compute, each with a GIL of its own, and the endpoint awaits the result."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI


def fingerprint() -> int:
    """FNV-1a over 160 KiB, byte by byte."""
    found = 0xCBF29CE484222325
    for byte in bytes(range(256)) * 640:
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return found


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as app.state.pool:
        await asyncio.gather(*(asyncio.wrap_future(app.state.pool.submit(fingerprint)) for _ in range(2)))
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/fingerprint")
async def report() -> dict[str, int]:
    return {"fingerprint": await asyncio.wrap_future(app.state.pool.submit(fingerprint))}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
