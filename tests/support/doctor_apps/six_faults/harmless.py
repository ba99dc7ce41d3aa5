"""24 endpoints that do everything right: awaited waits, blocking calls in threads, little work, odd answers."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

import httpx
import psycopg
from fastapi import APIRouter, BackgroundTasks, Depends, Header, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel

router = APIRouter()


class Colour(StrEnum):
    BLUE = "blue"
    GREEN = "green"


class Book(BaseModel):
    title: str
    pages: int


BOOKS = [Book(title=f"Volume {number}", pages=100 + number) for number in range(50)]


@router.get("/")
async def root() -> dict[str, str]:
    return {"status": "fine"}


@router.get("/awaited")
async def awaited() -> str:
    await asyncio.sleep(0.03)
    return "done"


@router.get("/gathered")
async def gathered() -> str:
    await asyncio.gather(*(asyncio.sleep(0.03) for _ in range(3)))
    return "done"


@router.get("/threaded")
def threaded() -> str:
    time.sleep(0.02)
    return "done"


@router.get("/wrapped")
async def wrapped() -> str:
    await run_in_threadpool(time.sleep, 0.02)
    return "done"


@router.get("/to-thread")
async def to_thread() -> str:
    await asyncio.to_thread(time.sleep, 0.02)
    return "done"


@router.get("/database")
def database() -> int:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT 1").fetchone()
    return row[0] if row else 0


@lru_cache
def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, verify=False)


@router.get("/upstream")
async def upstream() -> int:
    answer = await client().get(f"{os.environ['UPSTREAM_URL']}/cover")
    return answer.status_code


@router.get("/books")
async def books() -> list[Book]:
    return BOOKS


@router.get("/books/{number}")
async def book(number: Annotated[int, Path(ge=0, lt=50, examples=[7])]) -> Book:
    return BOOKS[number]


@router.get("/search")
async def search(q: Annotated[str, Query(examples=["blue whale"])], limit: int = 10) -> list[Book]:
    return [each for each in BOOKS if q not in each.title][:limit]


@router.get("/colours/{colour}")
async def colour(colour: Colour) -> str:
    return colour.value


@router.get("/language")
async def language(accept_language: Annotated[str, Header(examples=["de"])]) -> str:
    return accept_language


async def session() -> AsyncIterator[str]:
    await asyncio.sleep(0.005)
    yield "session"


@router.get("/session")
async def with_session(opened: Annotated[str, Depends(session)]) -> str:
    return opened


def settings() -> str:
    time.sleep(0.005)
    return "settings"


@router.get("/settings")
async def with_settings(read: Annotated[str, Depends(settings)]) -> str:
    return read


@router.get("/text", response_class=PlainTextResponse)
async def text() -> str:
    return "plain"


@router.get("/empty", status_code=204)
async def empty() -> None:
    return None


@router.get("/old", status_code=307)
async def old() -> RedirectResponse:
    return RedirectResponse("/")


@router.get("/stream")
async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"part"
            await asyncio.sleep(0.01)

    return StreamingResponse(parts())


def note(text: str) -> None:
    time.sleep(0.002)


@router.get("/noted")
async def noted(tasks: BackgroundTasks) -> str:
    tasks.add_task(note, "seen")
    return "noted"


@lru_cache
def primes(below: int) -> tuple[int, ...]:
    return tuple(n for n in range(2, below) if all(n % d for d in range(2, int(n**0.5) + 1)))


@router.get("/primes")
async def cached() -> int:
    return len(primes(2000))


@router.get("/sorted")
async def in_order() -> list[int]:
    return sorted((number * 7919 % 1009 for number in range(200)), reverse=True)


@router.get("/large")
async def large() -> Response:
    return Response(b"x" * 20_000, media_type="application/octet-stream")


@router.get("/teapot", status_code=200)
def teapot() -> dict[str, bool]:
    return {"teapot": True}


@router.post("/books")
async def add(book: Book) -> Book:
    return book


@router.delete("/books/{number}")
async def remove(number: int) -> None:
    BOOKS.pop(number)
