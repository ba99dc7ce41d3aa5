"""A trivial endpoint."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def root() -> dict[str, str]:
    """Answer at once."""
    return {"answer": "at once"}


@app.get("/health")
async def health() -> dict[str, str]:
    """The health check."""
    return {"status": "ok"}
