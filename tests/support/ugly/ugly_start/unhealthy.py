"""Comes up, but never says that it is well."""

from fastapi import FastAPI, HTTPException

app = FastAPI()


@app.get("/health")
async def health() -> None:
    raise HTTPException(500)
