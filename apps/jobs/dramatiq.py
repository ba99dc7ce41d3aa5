"""Dramatiq: the job goes to a broker, and ``dramatiq apps.jobs.dramatiq`` runs it."""

import os
from hashlib import sha256

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import ResultMissing, Results
from dramatiq.results.backends import RedisBackend
from fastapi import FastAPI, Response

app = FastAPI()
backend = RedisBackend(url=os.environ["REDIS_URL"])
dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"], middleware=[Results(backend=backend)]))


@dramatiq.actor(store_results=True)
def work() -> str:
    digest = b""
    for _ in range(240_000):
        digest = sha256(digest).digest()
    return digest.hex()


@app.post("/jobs", status_code=202)
def submit(response: Response) -> dict[str, str]:
    response.headers["Location"] = f"/jobs/{work.send().message_id}"
    return {"status": "accepted"}


@app.get("/jobs/{job}")
def result(job: str, response: Response) -> dict[str, str]:
    try:
        return {"digest": backend.get_result(work.message().copy(message_id=job))}
    except ResultMissing:
        response.status_code = 202
        return {"status": "pending"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
