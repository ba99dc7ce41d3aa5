"""The synchronous client in plain ``def``, on worker threads."""

import os

from fastapi import FastAPI
from redis import Redis

cache = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)

app = FastAPI()


@app.get("/books/7")
def book() -> dict[str, str]:
    return {"title": str(cache.get("book:7") or "")}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
