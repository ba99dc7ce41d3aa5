"""Blocks its event loop for good at the first request."""

import time

from fastapi import FastAPI

app = FastAPI()


def wait() -> None:
    print("this one never returns", flush=True)
    time.sleep(3600)


@app.get("/report")
async def report() -> None:
    wait()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
