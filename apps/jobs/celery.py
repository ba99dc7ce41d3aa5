"""Celery: the job goes to a broker, and ``celery -A apps.jobs.celery:queue worker`` runs it."""

import os
from hashlib import sha256

from celery import Celery
from fastapi import FastAPI, Response

app = FastAPI()
queue = Celery("jobs", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])


@queue.task
def work() -> str:
    digest = b""
    for _ in range(240_000):
        digest = sha256(digest).digest()
    return digest.hex()


@app.post("/jobs", status_code=202)
def submit(response: Response) -> dict[str, str]:
    response.headers["Location"] = f"/jobs/{work.delay().id}"
    return {"status": "accepted"}


@app.get("/jobs/{job}")
def result(job: str, response: Response) -> dict[str, str]:
    found = queue.AsyncResult(job)
    if found.ready():
        return {"digest": found.get()}
    response.status_code = 202
    return {"status": "pending"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
