"""A trivial endpoint."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def root() -> dict[str, str]:
    return {"answer": "at once"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
