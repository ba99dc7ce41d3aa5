"""No queue: the endpoint does the work on the event loop before it answers."""

from hashlib import sha256
from uuid import uuid4

from fastapi import FastAPI, Response

app = FastAPI()
results: dict[str, str] = {}


def work() -> str:
    digest = b""
    for _ in range(240_000):
        digest = sha256(digest).digest()
    return digest.hex()


@app.post("/jobs", status_code=202)
async def submit(response: Response) -> dict[str, str]:
    job = str(uuid4())
    results[job] = work()
    response.headers["Location"] = f"/jobs/{job}"
    return {"status": "accepted"}


@app.get("/jobs/{job}")
async def result(job: str, response: Response) -> dict[str, str]:
    return {"digest": results.pop(job)}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
