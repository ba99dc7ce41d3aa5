"""An asynchronous driver, awaited, with a connection pool."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Request

SOLD = "SELECT sum(copies), pg_sleep(0.04)::text FROM sales WHERE book_id <= $1 + 99"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=8, max_size=8) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/books/{book_id}/views")
async def view(book_id: int, request: Request) -> dict[str, str | int]:
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        title = await connection.fetchval("SELECT title FROM books WHERE id = $1", book_id)
        sold = await connection.fetchval(SOLD, book_id)
        await connection.execute("INSERT INTO views (book_id) VALUES ($1)", book_id)
    return {"title": title, "sold": sold}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
