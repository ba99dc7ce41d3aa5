"""Raises on every request, so that the server answers 500."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/report")
async def report() -> dict[str, str]:
    raise ZeroDivisionError("the report divides by nothing")


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
