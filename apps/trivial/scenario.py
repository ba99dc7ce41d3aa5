"""An endpoint that does nothing: the cost of ``async def`` and ``def`` themselves."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound

LOOP_S, THREAD_S = 8e-5, 2e-4
"""CPU time of a request on a fast core of 2024. It decides how long a turn is."""

SCENARIO = Scenario(
    name="trivial",
    question="Does async def or def make a difference when the endpoint does nothing?",
    path="/books",
    users=32,
    variants=(
        Variant("async_def", "baseline", "async def", bound=gil_bound(LOOP_S)),
        Variant(
            "async_def_control",
            "baseline",
            "async def, once more",
            bound=gil_bound(LOOP_S),
            same_file_as="async_def",
            control_of="async_def",
        ),
        Variant("plain_def", "baseline", "plain def", bound=gil_bound(THREAD_S)),
        Variant("async_with_sync_dependency", "baseline", "async def, def dependency", bound=gil_bound(THREAD_S)),
    ),
    claims=(
        Claim(
            "keyword_does_not_matter",
            "For a trivial endpoint, async def and def serve the same number of requests per second.",
            (Comparison("throughput_rps", "plain_def", "equivalent", "async_def"),),
            guide=True,
        ),
        Claim(
            "one_def_is_enough",
            "One plain def dependency costs an async def endpoint as much as if it were plain def itself.",
            (Comparison("throughput_rps", "async_with_sync_dependency", "equivalent", "plain_def"),),
        ),
    ),
)
