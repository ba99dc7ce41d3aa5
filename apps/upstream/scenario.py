"""A request to another web service, written in five ways."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import awaited, blocked_loop, gil_bound, threadpool

WAIT_S = 0.05
"""How long the upstream service takes to answer: bench/running/services/upstream.py."""

CLIENT_S = 0.025
"""CPU time to make an httpx client, roughly: it loads all root certificates, even for plain HTTP."""

SCENARIO = Scenario(
    name="upstream",
    question="How should an endpoint call another web service?",
    path="/cover",
    users=12,
    services=("upstream",),
    extra="upstream",
    variants=(
        Variant("requests_in_async_def", "trap", "requests.get in async def", bound=blocked_loop(WAIT_S)),
        Variant("httpx_async_shared", "fix", "one shared httpx.AsyncClient", bound=awaited(WAIT_S)),
        Variant("httpx_async_per_request", "baseline", "an AsyncClient per request", bound=gil_bound(CLIENT_S)),
        Variant("requests_in_def", "fix", "requests.get in plain def", bound=threadpool(WAIT_S)),
        Variant("httpx_sync_in_def", "fix", "one shared httpx.Client in plain def", bound=threadpool(WAIT_S)),
    ),
    claims=(
        Claim(
            "requests_freezes_the_loop",
            "requests.get inside async def delays every request to the server.",
            (
                Comparison("throughput_rps", "requests_in_async_def", "below", "requests_in_def", factor=0.5),
                # One in ten takes longer than 1 s, a usual time-out. Beside a healthy server none does.
                Comparison("latency_above_1s_share", "requests_in_async_def", "above", 0.1, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "async_client_frees_the_loop",
            "With an awaited asynchronous client, the event loop stays free for other requests.",
            (
                Comparison("throughput_rps", "httpx_async_shared", "above", "requests_in_async_def", factor=5),
                Comparison("latency_p50_ms", "httpx_async_shared", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "blocking_library_belongs_in_def",
            "A blocking library in plain def occupies a worker thread and leaves the event loop free.",
            (
                Comparison("throughput_rps", "requests_in_def", "above", "requests_in_async_def", factor=5),
                Comparison("latency_p50_ms", "requests_in_def", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "async_is_enough",
            "With an awaited asynchronous client, it does not matter whether each request makes a client of its own.",
            (Comparison("throughput_rps", "httpx_async_per_request", "equivalent", "httpx_async_shared"),),
        ),
    ),
)
