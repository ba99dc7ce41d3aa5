"""Two waits in one request, one after the other or at the same time, while 200 other requests wait on the same thread.

The others are slow requests of one second each, 200 a second (locustfiles/get_among_slow.py). They are still waiting
when a turn ends, so each variant is measured alone.
"""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import one_after_another, overlapped

AUTHOR_S, COVER_S, SLOW_S = 0.02, 0.04, 1.0
BOTH_MS = 1000 * (AUTHOR_S + COVER_S)

SCENARIO = Scenario(
    name="overlap",
    question="How much time do overlapping waits save, and does it matter that hundreds of requests wait on the same thread?",
    path="/page",
    users=32,
    locustfile="locustfiles/get_among_slow.py",
    variants=(
        Variant(
            "one_after_another",
            "baseline",
            "await, then await",
            bound=one_after_another(AUTHOR_S, COVER_S),
            exclusive=True,
        ),
        Variant("gathered", "fix", "await asyncio.gather", bound=overlapped(AUTHOR_S, COVER_S), exclusive=True),
        Variant("task_group", "fix", "asyncio.TaskGroup", bound=overlapped(AUTHOR_S, COVER_S), exclusive=True),
    ),
    claims=(
        Claim(
            "waits_overlap",
            "Two waits that start together take as long as the longer one, not as long as their sum.",
            (
                Comparison("latency_p50_ms", "gathered", "below", BOTH_MS, factor=0.8),
                Comparison("latency_p50_ms", "task_group", "below", BOTH_MS, factor=0.8),
                Comparison("latency_p50_ms", "one_after_another", "above", BOTH_MS, factor=0.99),
            ),
            guide=True,
        ),
        Claim(
            "one_thread_carries_hundreds",
            "One thread holds hundreds of waiting requests, and each takes as long as it would alone.",
            (
                Comparison("latency_p50_ms", "one_after_another", "below", BOTH_MS, factor=1.2),
                Comparison("latency_p50_ms", "one_after_another", "below", 1000 * SLOW_S, 1.05, endpoint="GET /slow"),
                Comparison("latency_p50_ms", "one_after_another", "below", 50, endpoint="GET /health"),
            ),
            guide=True,
        ),
        Claim(
            "gather_and_task_group_are_equals",
            "A TaskGroup serves as many requests per second as asyncio.gather.",
            (Comparison("throughput_rps", "task_group", "equivalent", "gathered"),),
        ),
    ),
)
