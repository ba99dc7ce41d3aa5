"""anyio's asynchronous files: every open, read, write and close runs on a worker thread."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from anyio import Path as AsyncPath
from anyio import open_file
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
    async with await open_file(app.state.folder / "scan", "rb") as scan, await open_file(target, "wb") as file:
        size = await file.write(await scan.read())
    await AsyncPath(target).unlink()
    return {"bytes": size}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
