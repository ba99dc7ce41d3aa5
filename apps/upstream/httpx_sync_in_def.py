"""One synchronous client in plain ``def``, shared by the worker threads."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

client = httpx.Client(base_url=os.environ["UPSTREAM_URL"])


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    with client:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/cover")
def cover() -> dict[str, str]:
    answer = client.get("/cover")
    return {"cover": answer.json()["cover"]}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
