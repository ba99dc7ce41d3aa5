"""An ``async def`` endpoint with a blocking ``def`` dependency, which takes one of the 40 tokens."""

import time
from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI()


def state() -> str:
    time.sleep(0.06)
    return "ready"


@app.get("/report")
async def report(state: Annotated[str, Depends(state)]) -> dict[str, str]:
    return {"report": state}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
