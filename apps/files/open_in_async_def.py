"""A trap by the rule: the event loop's thread reads, writes and deletes the files."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        app.state.folder = Path(folder)
        (app.state.folder / "scan").write_bytes(bytes(range(256)) * 1024)
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/copy")
async def copy() -> dict[str, int]:
    target = app.state.folder / str(uuid4())
    with (app.state.folder / "scan").open("rb") as scan, target.open("wb") as file:
        size = file.write(scan.read())
    target.unlink()
    return {"bytes": size}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
