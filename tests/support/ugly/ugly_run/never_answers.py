"""Leaves every request waiting."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/report")
async def report() -> None:
    await asyncio.Event().wait()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
