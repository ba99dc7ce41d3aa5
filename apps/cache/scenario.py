"""A cache answers in a fraction of a millisecond: does the rule still hold when the wait is that short?"""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound

DIRECT_S, AWAITED_S, BY_A_THREAD_S = 2e-4, 2.5e-4, 3e-4
"""CPU of a request on a fast core of 2025, client included: nearly all of a request is running and not waiting."""

SCENARIO = Scenario(
    name="cache",
    question="Does the rule still hold when the blocking call takes a fraction of a millisecond?",
    path="/books/7",
    users=32,
    services=("valkey",),
    packages="cache",
    variants=(
        Variant("redis_in_async_def", "trap", "redis.Redis in async def", bound=gil_bound(DIRECT_S)),
        Variant("redis_async", "fix", "redis.asyncio, awaited", bound=gil_bound(AWAITED_S)),
        Variant("redis_in_def", "fix", "redis.Redis in plain def", bound=gil_bound(BY_A_THREAD_S)),
    ),
    claims=(
        Claim(
            "never_block_the_loop",
            "A synchronous cache client inside async def costs everybody, as any blocking call does.",
            (
                Comparison("throughput_rps", "redis_in_async_def", "below", "redis_async"),
                Comparison("latency_p50_ms", "redis_in_async_def", "above", "redis_async", endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "either_fix_will_do",
            "An asynchronous client, and a synchronous one in plain def, serve as many requests.",
            (Comparison("throughput_rps", "redis_in_def", "equivalent", "redis_async"),),
        ),
    ),
)
