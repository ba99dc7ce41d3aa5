"""The same body in plain ``def``: every request is handed to a worker thread and back."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/books")
def books() -> list[str]:
    return ["Dune", "Emma", "Ulysses"]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
