"""A synchronous driver called from ``async def`` on a worker thread, and awaited."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import ConnectionPool

SOLD = "SELECT sum(copies), pg_sleep(0.04)::text FROM sales WHERE book_id <= %s + 99"

pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=8, max_size=8, open=False)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    with pool:
        yield


app = FastAPI(lifespan=lifespan)


def read_and_count(book_id: int) -> dict[str, str | int]:
    with pool.connection() as connection:
        title = connection.execute("SELECT title FROM books WHERE id = %s", (book_id,)).fetchall()[0]
        sold = connection.execute(SOLD, (book_id,)).fetchall()[0]
        connection.execute("INSERT INTO views (book_id) VALUES (%s)", (book_id,))
    return {"title": title[0], "sold": sold[0]}


@app.post("/books/{book_id}/views")
async def view(book_id: int) -> dict[str, str | int]:
    return await run_in_threadpool(read_and_count, book_id)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
