"""Exits without a word at its 50th request."""

import asyncio
import itertools
import os

from fastapi import FastAPI

app = FastAPI()
requests = itertools.count(1)


@app.get("/report")
async def report() -> dict[str, str]:
    if next(requests) == 50:
        print("this was the last request", flush=True)
        os._exit(7)
    await asyncio.sleep(0.02)
    return {"report": "ready"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
