"""SIGKILLs itself, as the kernel does to whom it finds too fat, at its 50th request."""

import asyncio
import itertools
import os
import signal

from fastapi import FastAPI

app = FastAPI()
requests = itertools.count(1)


@app.get("/report")
async def report() -> dict[str, str]:
    if next(requests) == 50:
        print("this was the last request", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(0.02)
    return {"report": "ready"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
