"""Which fix fits a line that holds a server up: pure rules over what the probe saw of it. Standard library only.

    remedies("loop blocked", callee="requests.api.get", role="endpoint", function="report", awaits=True, computes=False)
    # ("Await an async client in place of `requests.api.get`: httpx.AsyncClient.", "Or drop `async` from ...")

What a category means in general is the advice's to say (diagnosis.advice).
"""

from __future__ import annotations

STAND_INS = {
    "time.sleep": "asyncio.sleep",
    "requests": "httpx.AsyncClient",
    "httpx": "httpx.AsyncClient",
    "urllib": "httpx.AsyncClient",
    "urllib3": "httpx.AsyncClient",
    "http.client": "httpx.AsyncClient",
    "psycopg": "psycopg.AsyncConnection, from an AsyncConnectionPool",
    "psycopg2": "psycopg.AsyncConnection or asyncpg",
    "sqlalchemy": "sqlalchemy.ext.asyncio",
    "sqlmodel": "sqlmodel.ext.asyncio",
    "sqlite3": "aiosqlite",
    "pymysql": "asyncmy or aiomysql",
    "MySQLdb": "asyncmy or aiomysql",
    "pymongo": "pymongo.AsyncMongoClient",
    "redis": "redis.asyncio",
    "subprocess": "asyncio.create_subprocess_exec",
    "smtplib": "aiosmtplib",
    "boto3": "aioboto3",
    "botocore": "aiobotocore",
    "grpc": "grpc.aio",
    "elasticsearch": "elasticsearch.AsyncElasticsearch",
    "kafka": "aiokafka",
    "confluent_kafka": "aiokafka",
    "socket": "asyncio.open_connection",
}
"""What is awaited in place of a library's blocking calls, by the beginning of their names."""

POOL = (
    "Hand the computation to a process pool, `await loop.run_in_executor(ProcessPoolExecutor(), ...)`, or to a queue "
    "when nobody waits for the result. Neither `async` nor threads make it faster."
)


def remedies(
    category: str, *, callee: str, role: str, function: str, awaits: bool | None, computes: bool
) -> tuple[str, ...]:
    """Fixes in Markdown, the one that fits best first.

    ``role``: endpoint, dependency, middleware or start-up, or empty for a function that one of them calls. ``awaits``:
    whether it is ``async`` (None: not known). ``computes``: whether the loop's thread used CPU while it was held.
    """
    if category == "GIL-bound" or computes:
        return (POOL,)
    if category == "threadpool exhausted":
        return (
            *_awaited(callee),
            "Or raise the limiter at start-up, `anyio.to_thread.current_default_thread_limiter().total_tokens = 100`, "
            "as far as the other side takes so many calls at once.",
        )
    return (*_awaited(callee), _off_the_loop(callee, role, function, awaits))


def stand_in(callee: str) -> str:
    """What to await in place of a call; empty where none is known, or where it is awaited already."""
    if "async" in callee.lower():
        return ""
    found = [name for name in STAND_INS if callee == name or callee.startswith(f"{name}.")]
    return STAND_INS[max(found, key=len)] if found else ""


def _awaited(callee: str) -> tuple[str, ...]:
    known = stand_in(callee)
    if known == "asyncio.sleep":
        return ("`await asyncio.sleep(...)` in place of `time.sleep`.",)
    if known:
        return (f"Await an async client in place of `{callee}`: {known}.",)
    return ("Await an async client, if there is one.",)


def _off_the_loop(callee: str, role: str, function: str, awaits: bool | None) -> str:
    call = f"`await run_in_threadpool({callee or function}, ...)`"
    if role in ("endpoint", "dependency") and awaits:
        return (
            f"Or drop `async` from the {role} `{function}`, and FastAPI runs it in its threadpool; or wrap the call, "
            f"{call}."
        )
    if role == "middleware":
        return f"Or keep it off the loop: middleware has to stay `async`, so wrap the call, {call}."
    if role:
        return f"Or wrap the call, {call}."
    return (
        f"Or keep it off the loop where `{function}` is called, {call}; if FastAPI itself calls it, as a background "
        "task, drop `async` from it."
    )
