"""An app of one healthy endpoint."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello() -> str:
    return "hello"
