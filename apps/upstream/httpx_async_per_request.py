"""An awaited client made for every request: a new connection and a new TLS context each time."""

import os

import httpx
from fastapi import FastAPI

UPSTREAM_URL = os.environ["UPSTREAM_URL"]

app = FastAPI()


@app.get("/cover")
async def cover() -> dict[str, str]:
    async with httpx.AsyncClient(base_url=UPSTREAM_URL) as client:
        answer = await client.get("/cover")
    return {"cover": answer.json()["cover"]}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
