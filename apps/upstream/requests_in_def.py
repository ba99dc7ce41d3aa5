"""A blocking library in plain ``def``, which FastAPI runs on a worker thread."""

import os

import requests
from fastapi import FastAPI

UPSTREAM_URL = os.environ["UPSTREAM_URL"]

app = FastAPI()


@app.get("/cover")
def cover() -> dict[str, str]:
    answer = requests.get(f"{UPSTREAM_URL}/cover")
    return {"cover": answer.json()["cover"]}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
