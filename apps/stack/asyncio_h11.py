"""A trivial app: what differs is the event loop and the HTTP parser that uvicorn runs it on."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/books")
async def books() -> list[str]:
    return ["Dune", "Emma", "Ulysses"]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
