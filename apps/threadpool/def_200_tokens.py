"""Plain ``def`` with 200 tokens, set at start-up: the limiter belongs to the running event loop."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = 200
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/report")
def report() -> dict[str, str]:
    time.sleep(0.06)
    return {"report": "ready"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
