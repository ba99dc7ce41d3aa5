"""The trap: Pillow decodes, shrinks and encodes on the event loop's thread."""

import io
from pathlib import Path

from fastapi import FastAPI, Response
from PIL import Image

app = FastAPI()


def thumbnail() -> bytes:
    photo = Image.open(Path(__file__).with_name("photo.jpg"))
    photo.reduce(4).save(found := io.BytesIO(), "JPEG")
    return found.getvalue()


@app.get("/thumbnail", response_class=Response)
async def report() -> Response:
    return Response(thumbnail(), media_type="image/jpeg")


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
