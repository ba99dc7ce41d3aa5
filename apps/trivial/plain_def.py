"""A trivial endpoint in plain ``def``: every request goes to a worker thread and back."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/books")
def books() -> list[str]:
    return ["Dune", "Emma", "Ulysses"]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
