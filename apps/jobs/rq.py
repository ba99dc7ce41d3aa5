"""RQ: the job goes to Redis, and ``rq worker-pool`` runs it."""

import os
from hashlib import sha256

from fastapi import FastAPI, Response
from redis import Redis
from rq import Queue
from rq.job import Job

app = FastAPI()
redis = Redis.from_url(os.environ["REDIS_URL"])
queue = Queue(connection=redis)


def work() -> str:
    digest = b""
    for _ in range(240_000):
        digest = sha256(digest).digest()
    return digest.hex()


@app.post("/jobs", status_code=202)
def submit(response: Response) -> dict[str, str]:
    response.headers["Location"] = f"/jobs/{queue.enqueue(work).id}"
    return {"status": "accepted"}


@app.get("/jobs/{job}")
def result(job: str, response: Response) -> dict[str, str]:
    found = Job.fetch(job, connection=redis)
    if found.is_finished:
        return {"digest": found.return_value()}
    response.status_code = 202
    return {"status": "pending"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
