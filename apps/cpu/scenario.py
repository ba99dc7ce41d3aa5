"""Hashing in a pure-Python loop: no waits to overlap, and one GIL."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound, process_pool

QUESTION = "An endpoint computes in pure Python. Does async def make it use a second core?"
"""The guide's quiz question that claims of this scenario answer."""

CPU_S = 0.02
"""CPU time of a request on a fast core of 2024. It decides how long a trial is."""
PROCESSES = 2

SCENARIO = Scenario(
    name="cpu",
    question="Which pattern uses more than one core for a computation in pure Python?",
    path="/fingerprint",
    users=4,
    min_passes=6,
    parallel=True,
    variants=(
        Variant("async_def", "trap", "computed in async def", bound=gil_bound(CPU_S)),
        Variant("plain_def", "baseline", "computed in plain def", bound=gil_bound(CPU_S)),
        Variant("process_pool", "fix", "a pool of 2 processes", bound=process_pool(CPU_S, PROCESSES, cores=PROCESSES)),
    ),
    claims=(
        Claim(
            "async_does_not_help_computing",
            "A computation has no waits to overlap, so async def serves no more requests than plain def.",
            (Comparison("throughput_rps", "async_def", "below", "plain_def", factor=1.25),),
            guide=True,
            question=QUESTION,
        ),
        Claim(
            "threads_do_not_add_up",
            "Because of the GIL, several threads that compute in pure Python use no more than one core.",
            # One core, and a tenth for the system calls that run without the GIL.
            (Comparison("server_cpu_cores", "plain_def", "below", 1.1),),
            guide=True,
            question=QUESTION,
        ),
        Claim(
            "def_keeps_it_off_the_loop",
            "In plain def the computation is off the event loop, so other requests wait less.",
            (Comparison("latency_p50_ms", "plain_def", "below", "async_def", factor=0.5, endpoint="GET /health"),),
            guide=True,
        ),
        Claim(
            "processes_add_up",
            "A process pool computes on several cores at the same time.",
            # One core, and a tenth for what the web process does itself.
            (Comparison("server_cpu_cores", "process_pool", "above", 1.1),),
            guide=True,
            question=QUESTION,
        ),
    ),
)
