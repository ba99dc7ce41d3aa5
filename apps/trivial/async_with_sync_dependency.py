"""An ``async def`` endpoint with a plain ``def`` dependency, which runs on a worker thread."""

from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI()


def shelf() -> list[str]:
    return ["Dune", "Emma", "Ulysses"]


@app.get("/books")
async def books(shelf: Annotated[list[str], Depends(shelf)]) -> list[str]:
    return shelf


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
