"""Pillow in two processes. The thumbnail is sent back through a pipe."""

import asyncio
import io
import multiprocessing
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Response
from PIL import Image


def thumbnail() -> bytes:
    photo = Image.open(Path(__file__).with_name("photo.jpg"))
    photo.reduce(4).save(found := io.BytesIO(), "JPEG")
    return found.getvalue()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as app.state.pool:
        await asyncio.gather(*(asyncio.wrap_future(app.state.pool.submit(thumbnail)) for _ in range(2)))
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/thumbnail", response_class=Response)
async def report() -> Response:
    return Response(await asyncio.wrap_future(app.state.pool.submit(thumbnail)), media_type="image/jpeg")


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
