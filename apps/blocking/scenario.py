"""One blocking call inside ``async def``, and the three ways to undo it."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import awaited, blocked_loop, threadpool

WAIT_S = 0.05

SCENARIO = Scenario(
    name="blocking",
    question="What does one blocking call inside async def cost everybody, and which fix undoes it?",
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
            "A blocking call inside async def stalls every request on the server, health checks included.",
            (
                Comparison("throughput_rps", "blocking_call", "below", "awaited", factor=0.1),
                Comparison("latency_p50_ms", "blocking_call", "above", "awaited", factor=10, endpoint="GET /health"),
            ),
            guide=True,
            quiz=1,
        ),
        Claim(
            "health_checks_time_out",
            "Health checks beside it time out: half of them take longer than a second, a load balancer's patience.",
            (Comparison("latency_p50_ms", "blocking_call", "above", 1000, endpoint="GET /health"),),
            guide=True,
        ),
        Claim(
            "awaiting_frees_the_loop",
            "Awaiting an asynchronous equivalent costs its own caller the wait, and nobody else anything.",
            (
                Comparison("latency_p50_ms", "awaited", "below", 1000 * WAIT_S, factor=1.5),
                Comparison("latency_p50_ms", "awaited", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "plain_def_frees_the_loop",
            "Deleting async moves the blocking call to a worker thread, and the loop is free again.",
            (
                Comparison("throughput_rps", "plain_def", "above", "blocking_call", factor=10),
                Comparison("latency_p50_ms", "plain_def", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "run_in_threadpool_frees_the_loop",
            "From inside async def, run_in_threadpool does the same for a single blocking call.",
            (
                Comparison("throughput_rps", "run_in_threadpool", "above", "blocking_call", factor=10),
                Comparison("latency_p50_ms", "run_in_threadpool", "below", 100, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "three_fixes_are_equally_good",
            "While threads suffice, awaiting, plain def and run_in_threadpool serve as many requests.",
            (
                Comparison("throughput_rps", "plain_def", "equivalent", "awaited"),
                Comparison("throughput_rps", "run_in_threadpool", "equivalent", "awaited"),
            ),
            guide=True,
        ),
    ),
)
