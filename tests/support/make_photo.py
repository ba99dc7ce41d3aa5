"""Makes ``apps/images/photo.jpg``: soft shapes of light and the grain of a sensor, the same picture every time.

python tests/make_photo.py apps/images/photo.jpg
"""

from __future__ import annotations

import random
import sys

from PIL import Image

SIZE = (800, 600)
PATCHES = (32, 24)
GRAIN = 0.06
"""Share of noise: without some, a JPEG is much smaller and quicker to decode than a camera's."""


def photo() -> Image.Image:
    draw = random.Random(1)
    light = Image.frombytes("RGB", PATCHES, draw.randbytes(3 * PATCHES[0] * PATCHES[1]))
    grain = Image.frombytes("RGB", SIZE, draw.randbytes(3 * SIZE[0] * SIZE[1]))
    return Image.blend(light.resize(SIZE, Image.Resampling.BICUBIC), grain, GRAIN)


if __name__ == "__main__":
    photo().save(sys.argv[1], "JPEG", quality=85)
