"""Answers slowly, and never comes to an end."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def drops() -> AsyncIterator[bytes]:
    while True:
        yield b"."
        await asyncio.sleep(0.1)


@app.get("/report")
async def report() -> StreamingResponse:
    return StreamingResponse(drops())


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
