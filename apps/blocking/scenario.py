"""One blocking call inside ``async def``, and three fixes."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import awaited, blocked_loop, threadpool

QUESTION = "Why does one blocking call in one async def endpoint slow down all other requests?"
"""The guide's quiz question that claims of this scenario answer."""

WAIT_S = 0.05

SCENARIO = Scenario(
    name="blocking",
    question="What does one blocking call inside async def cost all requests, and which fix removes the cost?",
    path="/report",
    users=32,
    variants=(
        Variant("blocking_call", "trap", "time.sleep in async def", bound=blocked_loop(WAIT_S)),
        Variant("awaited", "fix", "await asyncio.sleep", bound=awaited(WAIT_S)),
        Variant("plain_def", "fix", "time.sleep in plain def", bound=threadpool(WAIT_S)),
        Variant("run_in_threadpool", "fix", "await run_in_threadpool", bound=threadpool(WAIT_S)),
    ),
    claims=(
        Claim(
            "blocking_freezes_everybody",
            "A blocking call inside async def delays every request to the server, health checks included.",
            (
                Comparison("throughput_rps", "blocking_call", "below", "awaited", factor=0.1),
                Comparison("latency_p50_ms", "blocking_call", "above", "awaited", factor=10, endpoint="GET /health"),
            ),
            guide=True,
            question=QUESTION,
        ),
        Claim(
            "health_checks_time_out",
            "Health checks time out during the load: at least one in ten takes longer than 1 s, a usual time-out.",
            # Beside a healthy server none does.
            (Comparison("latency_above_1s_share", "blocking_call", "above", 0.1, endpoint="GET /health"),),
            guide=True,
        ),
        Claim(
            "awaiting_frees_the_loop",
            "With an awaited equivalent only the caller waits; other requests are not delayed.",
            (
                Comparison("latency_p50_ms", "awaited", "below", 1000 * WAIT_S, factor=1.5),
                Comparison("latency_p50_ms", "awaited", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "plain_def_frees_the_loop",
            "In plain def the blocking call runs on a worker thread, and the event loop serves other requests.",
            (
                Comparison("throughput_rps", "plain_def", "above", "blocking_call", factor=10),
                Comparison("latency_p50_ms", "plain_def", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "run_in_threadpool_frees_the_loop",
            "run_in_threadpool inside async def also moves the blocking call off the event loop.",
            (
                Comparison("throughput_rps", "run_in_threadpool", "above", "blocking_call", factor=10),
                Comparison("latency_p50_ms", "run_in_threadpool", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "three_fixes_are_equally_good",
            "With enough threads, all three fixes serve the same number of requests per second.",
            (
                Comparison("throughput_rps", "plain_def", "equivalent", "awaited"),
                Comparison("throughput_rps", "run_in_threadpool", "equivalent", "awaited"),
            ),
            guide=True,
        ),
    ),
)
