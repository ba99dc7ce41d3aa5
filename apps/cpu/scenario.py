"""Hashing in a pure-Python loop: nothing to overlap, and one GIL."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound, process_pool

CPU_S = 0.02
"""CPU of a request on a fast core of 2024; it mainly tells how long to measure."""
PROCESSES = 2

SCENARIO = Scenario(
    name="cpu",
    question="Which pattern gets a computation in pure Python onto more than one core?",
    path="/fingerprint",
    users=8,
    parallel=True,
    variants=(
        Variant("async_def", "trap", "computed in async def", bound=gil_bound(CPU_S)),
        Variant("plain_def", "baseline", "computed in plain def", bound=gil_bound(CPU_S)),
        Variant("process_pool", "fix", "a pool of 2 processes", bound=process_pool(CPU_S, PROCESSES, cores=PROCESSES)),
    ),
    claims=(
        Claim(
            "async_does_not_help_computing",
            "In pure computation there is no waiting to overlap, so async def computes no more than plain def.",
            (Comparison("throughput_rps", "async_def", "below", "plain_def", factor=1.25),),
            guide=True,
            quiz=3,
        ),
        Claim(
            "threads_do_not_add_up",
            "Because of the GIL, threads compute no more in pure Python than the event loop's one thread does.",
            (Comparison("throughput_rps", "plain_def", "below", "async_def", factor=1.1),),
            guide=True,
            quiz=3,
        ),
        Claim(
            "def_keeps_it_off_the_loop",
            "Plain def makes computing no faster, but it keeps it off the event loop, which stays free for others.",
            (Comparison("latency_p50_ms", "plain_def", "below", "async_def", factor=0.5, endpoint="GET /health"),),
            guide=True,
        ),
        Claim(
            "processes_add_up",
            "A process pool computes on several cores at once.",
            (Comparison("throughput_rps", "process_pool", "above", "async_def", factor=1.5),),
            guide=True,
            quiz=3,
        ),
    ),
)
