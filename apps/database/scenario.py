"""One PostgreSQL transaction (an indexed read, a slow aggregate, a write), written in six ways.

The aggregate sums about two thousand rows. In the same query PostgreSQL sleeps for 40 ms (pg_sleep), in place of the
time that a larger table would take: that time does not depend on this machine. The driver sees one slow query.
"""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import blocked_loop, gil_bound, threadpool

QUESTION = "The only driver for your database blocks. How should the endpoint be written?"
"""The guide's quiz question that claims of this scenario answer."""

WAIT_S = 0.04
POOL = 8
"""Connections in every pool. Fewer than the threadpool's 40 tokens, so that the pool limits all fixes alike."""
CONNECT_S = 0.008
"""CPU time of one new connection, roughly. A third of it is the app's; the rest is PostgreSQL's, which starts a process
for each connection. On a machine with two cores both run on the same core."""

SCENARIO = Scenario(
    name="database",
    question="Which driver and which keyword (async def or def) does an endpoint with a database need?",
    path="/books/7/views",
    method="POST",
    users=16,
    services=("postgres",),
    extra="database",
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
            "A synchronous driver inside async def slows every endpoint, and health checks time out.",
            # At least one in ten takes longer than 1 s, a usual time-out. Beside a healthy server none does.
            (
                Comparison("throughput_rps", "psycopg_in_async_def", "below", "psycopg_in_def", factor=0.5),
                Comparison("latency_above_1s_share", "psycopg_in_async_def", "above", 0.1, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "one_keyword_fixes_it",
            "Changing async def to def is enough to fix it.",
            (
                Comparison("throughput_rps", "psycopg_in_def", "above", "psycopg_in_async_def", factor=4),
                Comparison("latency_p50_ms", "psycopg_in_def", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
            question=QUESTION,
        ),
        Claim(
            "async_driver_is_no_faster",
            "With pools of the same size, an asynchronous driver serves no more requests than a synchronous one in plain def.",
            (
                Comparison("throughput_rps", "asyncpg_pool", "equivalent", "psycopg_in_def"),
                Comparison("throughput_rps", "psycopg_async_pool", "equivalent", "psycopg_in_def"),
                Comparison("throughput_rps", "psycopg_run_in_threadpool", "equivalent", "psycopg_in_def"),
            ),
            guide=True,
        ),
        Claim(
            "asyncio_run_is_no_answer",
            "asyncio.run inside plain def takes more CPU time per request than a synchronous driver.",
            (Comparison("server_cpu_per_request_ms", "asyncio_run_in_def", "above", "psycopg_in_def"),),
            guide=True,
            question=QUESTION,
        ),
    ),
)
