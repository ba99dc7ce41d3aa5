"""An awaited wait needs no thread and no token."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/report")
async def report() -> dict[str, str]:
    await asyncio.sleep(0.06)
    return {"report": "ready"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
