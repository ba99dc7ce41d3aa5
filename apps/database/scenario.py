"""One transaction against PostgreSQL (an indexed read, an aggregate that takes its time, a write), in six ways.

The aggregate sums some two thousand rows, and in the same query PostgreSQL waits for 40 ms (pg_sleep): that stands for
the time a bigger table would take, and does not depend on this machine. To the driver it is one slow query.
"""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import blocked_loop, gil_bound, threadpool

WAIT_S = 0.04
POOL = 8
"""Connections in every pool: fewer than the threadpool's 40 tokens, so the pool is what limits the fixes."""
CONNECT_S = 0.008
"""Of CPU, roughly, for a connection: a third is the app's, the rest PostgreSQL's, which starts a process for each. On a
machine with two cores both run on the same one."""

SCENARIO = Scenario(
    name="database",
    question="Which driver and which keyword does an endpoint with a database need?",
    path="/books/7/views",
    method="POST",
    users=16,
    services=("postgres",),
    packages="database",
    variants=(
        Variant("psycopg_in_async_def", "trap", "psycopg in async def", bound=blocked_loop(WAIT_S)),
        Variant("psycopg_in_def", "fix", "psycopg in plain def", bound=threadpool(WAIT_S, POOL)),
        Variant("psycopg_run_in_threadpool", "fix", "await run_in_threadpool", bound=threadpool(WAIT_S, POOL)),
        Variant("psycopg_async_pool", "fix", "psycopg's AsyncConnectionPool", bound=threadpool(WAIT_S, POOL)),
        Variant("asyncpg_pool", "fix", "asyncpg's pool", bound=threadpool(WAIT_S, POOL)),
        Variant("asyncio_run_in_def", "baseline", "asyncio.run in plain def", bound=gil_bound(CONNECT_S)),
    ),
    claims=(
        Claim(
            "driver_freezes_the_loop",
            "A synchronous driver inside async def slows every endpoint down, and health checks time out.",
            (
                Comparison("throughput_rps", "psycopg_in_async_def", "below", "psycopg_in_def", factor=0.5),
                Comparison("latency_p50_ms", "psycopg_in_async_def", "above", 1000, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "one_keyword_fixes_it",
            "Deleting async is the whole repair.",
            (
                Comparison("throughput_rps", "psycopg_in_def", "above", "psycopg_in_async_def", factor=4),
                Comparison("latency_p50_ms", "psycopg_in_def", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
            quiz=2,
        ),
        Claim(
            "async_driver_is_no_faster",
            "The keyword is to match the driver; an asynchronous driver is not faster by itself on equal pools.",
            (
                Comparison("throughput_rps", "asyncpg_pool", "equivalent", "psycopg_in_def"),
                Comparison("throughput_rps", "psycopg_async_pool", "equivalent", "psycopg_in_def"),
                Comparison("throughput_rps", "psycopg_run_in_threadpool", "equivalent", "psycopg_in_def"),
            ),
            guide=True,
        ),
        Claim(
            "asyncio_run_is_no_answer",
            "Wrapping asynchronous code in asyncio.run inside plain def costs more CPU than a synchronous driver does.",
            (Comparison("server_cpu_per_request_ms", "asyncio_run_in_def", "above", "psycopg_in_def"),),
            guide=True,
            quiz=2,
        ),
    ),
)
