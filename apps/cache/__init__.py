"""A cache answers in a fraction of a millisecond: does the rule still hold when the wait is that short?"""

from bench.laws import Law
from bench.model import Claim, Comparison, Scenario, Variant

CPU_S = 0.0004
"""What a request costs one core at least, roughly, client included: it only says how long a turn has to be."""
LAW = Law("1/c", CPU_S, 1, kind="cpu")
"""The interpreter runs one thread at a time, and nearly all of a request is running and not waiting."""

SCENARIO = Scenario(
    name="cache",
    question="Does the rule still hold when the blocking call takes a fraction of a millisecond?",
    path="/books/7",
    users=32,
    services=("valkey",),
    packages="cache",
    variants=(
        Variant("redis_in_async_def", "trap", "redis.Redis in async def", law=LAW),
        Variant("redis_async", "fix", "redis.asyncio, awaited", law=LAW),
        Variant("redis_in_def", "fix", "redis.Redis in plain def", law=LAW),
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
