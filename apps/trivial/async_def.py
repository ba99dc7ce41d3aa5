"""A trivial endpoint on the event loop."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/books")
async def books() -> list[str]:
    return ["Dune", "Emma", "Ulysses"]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
