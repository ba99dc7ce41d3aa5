"""``asyncio.gather`` starts both waits at the same time. The request waits for the longer one."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


async def wait(milliseconds: int) -> int:
    await asyncio.sleep(milliseconds / 1000)
    return milliseconds


@app.get("/page")
async def page() -> dict[str, int]:
    author, cover = await asyncio.gather(wait(20), wait(40))
    return {"author": author, "cover": cover}


@app.get("/slow")
async def slow() -> dict[str, int]:
    return {"waited": await wait(1000)}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
