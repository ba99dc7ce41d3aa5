"""A blocking call in plain ``def`` with the default threadpool: 40 tokens, so 40 requests at a time."""

import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/report")
def report() -> dict[str, str]:
    time.sleep(0.06)
    return {"report": "ready"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
