"""A trap by the rule: the synchronous client inside ``async def``. A cache blocks only very briefly."""

import os

from fastapi import FastAPI
from redis import Redis

cache = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)

app = FastAPI()


@app.get("/books/7")
async def book() -> dict[str, str]:
    return {"title": str(cache.get("book:7") or "")}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
