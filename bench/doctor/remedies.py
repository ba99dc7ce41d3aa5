"""Which fix fits a line that holds a server. Pure rules over what the probe recorded of the line.

    remedies(Cause("loop blocked", callee="requests.api.get", role="endpoint", function="report", awaits=True))
    # ("Await an async client in place of `requests.api.get`: httpx.AsyncClient.", "Or drop `async` from ...")

Standard library only. The texts that explain a category are in bench/report/text/advice/.
"""

from __future__ import annotations

from dataclasses import dataclass

ASYNC_REPLACEMENTS = {
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
"""The asynchronous replacement of each blocking library, by the first part of the name of a call."""

RELEASES_THE_LOCK = (
    *("hashlib.pbkdf2_hmac", "hashlib.scrypt", "bcrypt", "argon2", "passlib", "pwdlib"),
    *("zlib", "gzip", "bz2", "lzma"),
)
"""Calls into C code that releases the interpreter lock while it computes, so that threads run it in parallel."""

PROCESS_POOL = (
    "Hand the computation to a process pool, `await loop.run_in_executor(ProcessPoolExecutor(), ...)`, or to a queue "
    "when the client does not need the result. Neither `async` nor threads make it faster."
)


@dataclass(frozen=True)
class Cause:
    """What is known of a line that holds the server."""

    category: str
    """One of schema.CATEGORIES."""
    callee: str = ""
    """The call that the line is in."""
    role: str = ""
    """endpoint, dependency, middleware or start-up; empty for a function that one of them calls."""
    function: str = ""
    awaits: bool | None = None
    """Whether the function is ``async``; None when it is not known."""
    computes: bool = False
    """Whether the loop's thread used CPU while it was held."""


def remedies(cause: Cause) -> tuple[str, ...]:
    """Fixes in Markdown, the best one first."""
    if cause.category == "GIL-bound" or cause.computes:
        if any(cause.callee == name or cause.callee.startswith(f"{name}.") for name in RELEASES_THE_LOCK):
            return (_in_threads(cause),)
        return (PROCESS_POOL,)
    if cause.category == "threadpool exhausted":
        return (
            _await_instead(cause.callee),
            "Or raise the limiter at start-up, `anyio.to_thread.current_default_thread_limiter().total_tokens = 100`, "
            "as far as the other side takes that many calls at once.",
        )
    return (_await_instead(cause.callee), _off_the_loop(cause))


def async_replacement(callee: str) -> str:
    """What to await in place of a call; empty when none is known, or when the call is asynchronous."""
    if "async" in callee.lower():
        return ""
    found = [name for name in ASYNC_REPLACEMENTS if callee == name or callee.startswith(f"{name}.")]
    return ASYNC_REPLACEMENTS[max(found, key=len)] if found else ""


def _await_instead(callee: str) -> str:
    replacement = async_replacement(callee)
    if replacement == "asyncio.sleep":
        return "`await asyncio.sleep(...)` in place of `time.sleep`."
    if replacement:
        return f"Await an async client in place of `{callee}`: {replacement}."
    return "Await an async client, if there is one."


def _in_threads(cause: Cause) -> str:
    call = f"`await run_in_threadpool({cause.callee}, ...)`"
    drop = (
        f"drop `async` from the {cause.role} `{cause.function}`, or "
        if cause.role in ("endpoint", "dependency")
        else ""
    )
    return (
        f"Run it in a thread: {drop}wrap the call, {call}. It computes in C code that releases the interpreter lock, so "
        "that threads run it in parallel, as many at a time as there are cores."
    )


def _off_the_loop(cause: Cause) -> str:
    role, function = cause.role, cause.function
    call = f"`await run_in_threadpool({cause.callee or function}, ...)`"
    if role in ("endpoint", "dependency") and cause.awaits:
        return (
            f"Or drop `async` from the {role} `{function}`, so that FastAPI runs it in its threadpool; or wrap the call, "
            f"{call}."
        )
    if role == "middleware":
        return f"Or run it off the loop. Middleware has to stay `async`, so wrap the call, {call}."
    if role:
        return f"Or wrap the call, {call}."
    return (
        f"Or run it off the loop where `{function}` is called, {call}. If FastAPI itself calls it, as a background task, "
        "drop `async` from it."
    )
