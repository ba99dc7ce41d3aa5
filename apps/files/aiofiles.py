"""aiofiles: every call runs on a thread of the event loop's default executor."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiofiles
import aiofiles.os
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
    async with aiofiles.open(app.state.folder / "scan", "rb") as scan, aiofiles.open(target, "wb") as file:
        size = await file.write(await scan.read())
    await aiofiles.os.remove(target)
    return {"bytes": size}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
