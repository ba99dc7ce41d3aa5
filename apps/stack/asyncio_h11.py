"""A trivial app. The variants differ in uvicorn's event loop and HTTP parser."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/books")
async def books() -> list[str]:
    return ["Dune", "Emma", "Ulysses"]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
