"""A computation over a table with pandas: C code that releases the GIL for part of its time."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound, gil_released, process_pool

CPU_S = 0.02
"""CPU time of a request on a fast core of 2024. It decides how long a trial is."""
CORES = PROCESSES = 2

SCENARIO = Scenario(
    name="dataset",
    question="Can pandas, which is C code inside, use a second core from threads, or does it need processes?",
    path="/best",
    users=4,
    min_passes=6,
    parallel=True,
    variants=(
        Variant("pandas_in_async_def", "trap", "pandas in async def", bound=gil_bound(CPU_S)),
        Variant("pandas_in_def", "fix", "pandas in plain def", bound=gil_released(CPU_S, CORES)),
        Variant("pandas_process_pool", "fix", "pandas in 2 processes", bound=process_pool(CPU_S, PROCESSES, CORES)),
    ),
    claims=(
        Claim(
            "threads_do_not_help_computing",
            "In the threadpool, a pandas computation uses no more than one core.",
            # One core, and a tenth for the system calls that run without the GIL.
            (Comparison("server_cpu_cores", "pandas_in_def", "below", 1.1),),
            guide=True,
        ),
        Claim(
            "processes_run_pandas_in_parallel",
            "A process pool runs pandas on several cores at the same time.",
            # One core, and a tenth for what the web process does itself.
            (Comparison("server_cpu_cores", "pandas_process_pool", "above", 1.1),),
            guide=True,
        ),
        Claim(
            "async_def_freezes_the_loop",
            "A pandas computation in async def delays health checks; in plain def it delays them less.",
            (
                Comparison(
                    "latency_p50_ms",
                    "pandas_in_def",
                    "below",
                    "pandas_in_async_def",
                    factor=0.5,
                    endpoint="GET /health",
                ),
            ),
            guide=True,
        ),
    ),
)
