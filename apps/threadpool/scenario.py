"""FastAPI's threadpool of 40 tokens with more than 40 requests."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import awaited, threadpool

WAIT_S = 0.06

SCENARIO = Scenario(
    name="threadpool",
    question="How do the threadpool's 40 tokens limit an endpoint with 100 users?",
    path="/report",
    users=100,
    variants=(
        Variant("def_default_40", "baseline", "plain def, 40 tokens", bound=threadpool(WAIT_S)),
        Variant("def_200_tokens", "fix", "plain def, 200 tokens", bound=threadpool(WAIT_S, tokens=200)),
        Variant("async_awaited", "fix", "awaited, no token", bound=awaited(WAIT_S)),
        Variant("async_with_sync_dependency", "trap", "async def, def dependency", bound=threadpool(WAIT_S)),
    ),
    claims=(
        Claim(
            "forty_at_a_time",
            "Plain def serves at most 40 requests at a time; other requests wait for a thread.",
            (
                Comparison("throughput_rps", "def_default_40", "below", "async_awaited", factor=0.6),
                Comparison("latency_p50_ms", "def_default_40", "above", 1000 * WAIT_S, factor=2),
            ),
        ),
        Claim(
            "more_tokens_lift_the_limit",
            "With more tokens than users, plain def serves as many requests per second as an awaited call.",
            (Comparison("throughput_rps", "def_200_tokens", "equivalent", "async_awaited"),),
        ),
        Claim(
            "dependencies_take_tokens_too",
            "The 40 tokens also limit an async def endpoint that has a blocking def dependency.",
            (Comparison("throughput_rps", "async_with_sync_dependency", "equivalent", "def_default_40"),),
        ),
    ),
)
