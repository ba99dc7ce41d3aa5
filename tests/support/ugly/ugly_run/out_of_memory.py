"""Needs more memory than its process may have."""

import resource

from fastapi import FastAPI

MEGABYTE = 1_000_000
app = FastAPI()


@app.get("/report")
async def report() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + 100 * MEGABYTE, resource.RLIM_INFINITY))
    return len(bytearray(2_000 * MEGABYTE))


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
