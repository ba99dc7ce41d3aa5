"""Answers with bytes that are not HTTP. No app can, so it writes to uvicorn's own connection."""

from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/report")
async def report(request: Request) -> None:
    transport = request.receive.__self__.transport
    transport.write(b"\x00\xff this is not HTTP\r\n\r\n")
    transport.close()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
