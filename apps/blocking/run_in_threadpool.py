"""Fix 3: stay in ``async def`` and run the blocking call on a worker thread."""

import time

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

app = FastAPI()


@app.get("/report")
async def report() -> dict[str, str]:
    await run_in_threadpool(time.sleep, 0.05)
    return {"report": "ready"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
