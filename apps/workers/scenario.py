"""More uvicorn workers for an app that blocks its event loop."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import awaited, blocked_workers

QUESTION = "The only driver for your database blocks. How should the endpoint be written?"
"""The guide's quiz question that claims of this scenario answer."""

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
                same_file_as="trap_1_worker",
            )
            for workers in (2, 4)
        ),
        Variant("fixed_1_worker", "fix", "awaited, 1 worker", bound=awaited(WAIT_S)),
    ),
    claims=(
        Claim(
            "workers_only_multiply",
            "Each blocked worker adds one request at a time: four of them serve far less than one that awaits.",
            (
                Comparison("throughput_rps", "trap_2_workers", "above", "trap_1_worker", factor=1.5),
                Comparison("throughput_rps", "trap_4_workers", "below", "fixed_1_worker", factor=0.5),
            ),
            guide=True,
            question=QUESTION,
        ),
        Claim(
            "health_checks_wait_all_the_same",
            "With more workers, a health check still waits for the request that blocks its worker.",
            (Comparison("latency_p50_ms", "trap_4_workers", "above", "fixed_1_worker", 5, endpoint="GET /health"),),
            guide=True,
        ),
    ),
)
