"""A cache that answers in a fraction of a millisecond. Does the rule hold for such a short wait?"""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound

DIRECT_S, AWAITED_S, THREAD_S = 2e-4, 2.5e-4, 3e-4
"""CPU time of a request on a fast core of 2025, client included. A request hardly waits at all."""

SCENARIO = Scenario(
    name="cache",
    question="Does the rule still hold when the blocking call takes a fraction of a millisecond?",
    path="/books/7",
    users=32,
    services=("valkey",),
    extra="cache",
    variants=(
        Variant("redis_in_async_def", "trap", "redis.Redis in async def", bound=gil_bound(DIRECT_S)),
        Variant("redis_async", "fix", "redis.asyncio, awaited", bound=gil_bound(AWAITED_S)),
        Variant("redis_in_def", "fix", "redis.Redis in plain def", bound=gil_bound(THREAD_S)),
    ),
    claims=(
        Claim(
            "never_block_the_loop",
            "A synchronous cache client inside async def delays the requests of others, like any other blocking call.",
            (Comparison("latency_p50_ms", "redis_in_async_def", "above", "redis_async", endpoint="GET /health"),),
            guide=True,
        ),
        Claim(
            "callers_do_not_notice",
            "The callers themselves get no fewer requests per second from it, since an asynchronous client costs more CPU.",
            (Comparison("throughput_rps", "redis_in_async_def", "above", "redis_async", factor=0.95),),
        ),
        Claim(
            "either_fix_will_do",
            "An asynchronous client and a synchronous client in plain def serve the same number of requests per second.",
            (Comparison("throughput_rps", "redis_in_def", "equivalent", "redis_async"),),
        ),
    ),
)
