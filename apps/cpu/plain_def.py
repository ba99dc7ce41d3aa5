"""On a worker thread. The event loop stays free, but the GIL lets one thread compute at a time."""

from fastapi import FastAPI

app = FastAPI()


def fingerprint() -> int:
    """FNV-1a over 160 KiB, byte by byte."""
    found = 0xCBF29CE484222325
    for byte in bytes(range(256)) * 640:
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return found


@app.get("/fingerprint")
def report() -> dict[str, int]:
    return {"fingerprint": fingerprint()}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
