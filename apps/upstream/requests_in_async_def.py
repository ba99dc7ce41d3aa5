"""The trap: ``requests.get`` inside ``async def`` holds the event loop until the other service answers."""

import os

import requests
from fastapi import FastAPI

UPSTREAM_URL = os.environ["UPSTREAM_URL"]

app = FastAPI()


@app.get("/cover")
async def cover() -> dict[str, str]:
    answer = requests.get(f"{UPSTREAM_URL}/cover")
    return {"cover": answer.json()["cover"]}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
