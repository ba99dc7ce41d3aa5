"""The fix: one awaited asynchronous client for the whole app, which reuses its connections."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

client = httpx.AsyncClient(base_url=os.environ["UPSTREAM_URL"])


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with client:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/cover")
async def cover() -> dict[str, str]:
    answer = await client.get("/cover")
    return {"cover": answer.json()["cover"]}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
