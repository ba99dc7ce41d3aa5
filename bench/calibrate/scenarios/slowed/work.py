"""Counts to LOOPS and answers: a trivial endpoint whose CPU time can be set precisely."""

import os

from fastapi import FastAPI

LOOPS = int(os.environ.get("LOOPS", "0"))

app = FastAPI()


@app.get("/")
async def index() -> dict[str, str]:
    """Count, then answer."""
    for _ in range(LOOPS):
        pass
    return {"hello": "world"}


@app.get("/health")
async def health() -> dict[str, str]:
    """The health check."""
    return {"status": "ok"}
