"""A ``TaskGroup`` starts both waits at the same time, and cancels one if the other fails."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


async def wait(milliseconds: int) -> int:
    await asyncio.sleep(milliseconds / 1000)
    return milliseconds


@app.get("/page")
async def page() -> dict[str, int]:
    async with asyncio.TaskGroup() as group:
        author = group.create_task(wait(20))
        cover = group.create_task(wait(40))
    return {"author": author.result(), "cover": cover.result()}


@app.get("/slow")
async def slow() -> dict[str, int]:
    return {"waited": await wait(1000)}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
