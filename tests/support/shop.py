"""A small app that writes down what it is asked."""

from __future__ import annotations

from pathlib import Path

SHOP = """
import os, pathlib
from fastapi import FastAPI
app = FastAPI()
LOG = pathlib.Path(__file__).with_name("asked")

@app.middleware("http")
async def log(request, call_next):
    with LOG.open("a") as file:
        file.write(f"{request.method} {request.url.path}\\n")
    return await call_next(request)

@app.get("/items")
async def items():
    return [{"id": 4}]

@app.get("/items/{item_id}")
async def item(item_id: int):
    return item_id

@app.get("/users/{name}")
async def user(name: str):
    return name

@app.post("/items")
async def add():
    return 1

@app.delete("/items/{item_id}")
async def remove(item_id: int):
    return 1
"""


def write_shop(folder: Path) -> Path:
    """The app as ``shop.py`` in ``folder``, which is returned."""
    (folder / "shop.py").write_text(SHOP)
    return folder


def asked(folder: Path) -> set[str]:
    """What it was asked, without the question whether it is ready."""
    return {line for line in (folder / "asked").read_text().splitlines() if ".async-bench" not in line}
