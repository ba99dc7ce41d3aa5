"""FastAPI's BackgroundTasks: the function runs after the answer, on one of the same 40 threads."""

from hashlib import sha256
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI, Response

app = FastAPI()
results: dict[str, str] = {}


def work(job: str) -> None:
    digest = b""
    for _ in range(240_000):
        digest = sha256(digest).digest()
    results[job] = digest.hex()


@app.post("/jobs", status_code=202)
async def submit(tasks: BackgroundTasks, response: Response) -> dict[str, str]:
    job = str(uuid4())
    tasks.add_task(work, job)
    response.headers["Location"] = f"/jobs/{job}"
    return {"status": "accepted"}


@app.get("/jobs/{job}")
async def result(job: str, response: Response) -> dict[str, str]:
    if job in results:
        return {"digest": results.pop(job)}
    response.status_code = 202
    return {"status": "pending"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
