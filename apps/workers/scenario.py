"""More uvicorn workers, for an app whose loops are blocked."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import awaited, blocked_workers

WAIT_S = 0.05

SCENARIO = Scenario(
    name="workers",
    question="Does adding uvicorn workers fix a blocking call in async def?",
    path="/report",
    users=12,
    parallel=True,
    variants=(
        Variant("trap_1_worker", "trap", "blocking, 1 worker", bound=blocked_workers(WAIT_S, 1)),
        *(
            Variant(
                f"trap_{workers}_workers",
                "trap",
                f"blocking, {workers} workers",
                bound=blocked_workers(WAIT_S, workers),
                workers=workers,
                file="trap_1_worker",
            )
            for workers in (2, 4)
        ),
        Variant("fixed_1_worker", "fix", "awaited, 1 worker", bound=awaited(WAIT_S)),
    ),
    claims=(
        Claim(
            "workers_only_multiply",
            "Each worker adds one request at a time, no more: four blocked workers stay far behind one that awaits.",
            (
                Comparison("throughput_rps", "trap_2_workers", "above", "trap_1_worker", factor=1.5),
                Comparison("throughput_rps", "trap_4_workers", "below", "fixed_1_worker", factor=0.5),
            ),
            guide=True,
            quiz=2,
        ),
        Claim(
            "health_checks_wait_all_the_same",
            "With more workers a health check still waits behind whatever blocks the worker that it came to.",
            (Comparison("latency_p50_ms", "trap_4_workers", "above", "fixed_1_worker", 5, endpoint="GET /health"),),
            guide=True,
        ),
    ),
)
