"""``asyncio.run`` in plain ``def``: a new event loop and a new connection for every request."""

import asyncio
import os

import asyncpg
from fastapi import FastAPI

SOLD = "SELECT sum(copies), pg_sleep(0.04)::text FROM sales WHERE book_id <= $1 + 99"

app = FastAPI()


async def read_and_count(book_id: int) -> dict[str, str | int]:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    async with connection.transaction():
        title = await connection.fetchval("SELECT title FROM books WHERE id = $1", book_id)
        sold = await connection.fetchval(SOLD, book_id)
        await connection.execute("INSERT INTO views (book_id) VALUES ($1)", book_id)
    await connection.close()
    return {"title": title, "sold": sold}


@app.post("/books/{book_id}/views")
def view(book_id: int) -> dict[str, str | int]:
    return asyncio.run(read_and_count(book_id))


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
