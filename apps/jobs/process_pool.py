"""Two processes of the app, each with a GIL of its own. Results are lost when the app ends."""

from concurrent.futures import Future, ProcessPoolExecutor
from hashlib import sha256
from uuid import uuid4

from fastapi import FastAPI, Response

app = FastAPI()
pool = ProcessPoolExecutor(2)
jobs: dict[str, Future[str]] = {}


def work() -> str:
    digest = b""
    for _ in range(240_000):
        digest = sha256(digest).digest()
    return digest.hex()


@app.post("/jobs", status_code=202)
async def submit(response: Response) -> dict[str, str]:
    job = str(uuid4())
    jobs[job] = pool.submit(work)
    response.headers["Location"] = f"/jobs/{job}"
    return {"status": "accepted"}


@app.get("/jobs/{job}")
async def result(job: str, response: Response) -> dict[str, str]:
    if jobs[job].done():
        return {"digest": jobs.pop(job).result()}
    response.status_code = 202
    return {"status": "pending"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
