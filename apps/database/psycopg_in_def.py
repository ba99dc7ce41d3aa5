"""A synchronous driver in plain ``def``: its waits block worker threads, not the event loop."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from psycopg_pool import ConnectionPool

SOLD = "SELECT sum(copies), pg_sleep(0.04)::text FROM sales WHERE book_id <= %s + 99"

pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=8, max_size=8, open=False)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    with pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/books/{book_id}/views")
def view(book_id: int) -> dict[str, str | int]:
    with pool.connection() as connection:
        title = connection.execute("SELECT title FROM books WHERE id = %s", (book_id,)).fetchall()[0]
        sold = connection.execute(SOLD, (book_id,)).fetchall()[0]
        connection.execute("INSERT INTO views (book_id) VALUES (%s)", (book_id,))
    return {"title": title[0], "sold": sold[0]}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
