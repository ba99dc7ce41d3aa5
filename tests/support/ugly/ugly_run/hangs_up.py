"""Closes the connection without an answer. No app can, but a server that is overloaded does: so ask uvicorn's own."""

from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/report")
async def report(request: Request) -> None:
    request.receive.__self__.transport.abort()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
