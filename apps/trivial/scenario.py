"""A body that does nothing: what ``async def`` and ``def`` cost by themselves."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound

ON_THE_LOOP_S, BY_A_THREAD_S = 8e-5, 2e-4
"""CPU of a request on a fast core of 2024; it mainly tells that turns may be short."""

SCENARIO = Scenario(
    name="trivial",
    question="Does async def or def matter when the body does nothing?",
    path="/books",
    users=32,
    variants=(
        Variant("async_def", "baseline", "async def", bound=gil_bound(ON_THE_LOOP_S)),
        Variant(
            "async_def_twin",
            "baseline",
            "async def, once more",
            bound=gil_bound(ON_THE_LOOP_S),
            file="async_def",
            twin="async_def",
        ),
        Variant("plain_def", "baseline", "plain def", bound=gil_bound(BY_A_THREAD_S)),
        Variant("async_with_sync_dependency", "baseline", "async def, def dependency", bound=gil_bound(BY_A_THREAD_S)),
    ),
    claims=(
        Claim(
            "keyword_does_not_matter",
            "For a trivial body it does not matter whether it is async def or def.",
            (Comparison("throughput_rps", "plain_def", "equivalent", "async_def"),),
            guide=True,
        ),
        Claim(
            "one_def_is_enough",
            "One plain def among the dependencies costs an async def endpoint as much as being a plain def itself.",
            (Comparison("throughput_rps", "async_with_sync_dependency", "equivalent", "plain_def"),),
        ),
    ),
)
