"""A Python loop on worker threads. The GIL lets one of them compute at a time."""

import io
from pathlib import Path

from fastapi import FastAPI, Response
from PIL import Image

app = FastAPI()


def thumbnail() -> bytes:
    photo = Image.open(Path(__file__).with_name("photo.jpg")).tobytes()
    corners = (2400 * y + 3 * x + colour for y in range(0, 600, 4) for x in range(0, 800, 4) for colour in range(3))
    sums = (sum(sum(photo[at + down : at + down + 12 : 3]) for down in range(0, 9600, 2400)) for at in corners)
    small = bytes((total + 8) // 16 for total in sums)
    Image.frombytes("RGB", (200, 150), small).save(found := io.BytesIO(), "JPEG")
    return found.getvalue()


@app.get("/thumbnail", response_class=Response)
def report() -> Response:
    return Response(thumbnail(), media_type="image/jpeg")


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
