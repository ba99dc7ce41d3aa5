"""Fix 2: plain ``def``. FastAPI runs the function on a worker thread."""

import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/report")
def report() -> dict[str, str]:
    time.sleep(0.05)
    return {"report": "ready"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
