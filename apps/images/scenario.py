"""A thumbnail of a photograph, made by Pillow and in pure Python. Both give the same bytes.

``photo.jpg`` (800 x 600, soft light and sensor noise) is made by tests/support/make_photo.py.
"""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound, gil_released, process_pool

QUESTION = "An endpoint computes in pure Python. Does async def make it use a second core?"
"""The guide's quiz question that claims of this scenario answer."""

PILLOW_S, PYTHON_S = 0.0022, 0.11
"""CPU time of a request on a fast core of 2024. It decides how long a trial is."""
CORES = PROCESSES = 2

SCENARIO = Scenario(
    name="images",
    question="Which pattern resizes images on several cores, and does it depend on the library?",
    path="/thumbnail",
    users=4,
    min_passes=6,
    extra="images",
    parallel=True,
    variants=(
        Variant("pillow_in_async_def", "trap", "Pillow in async def", bound=gil_bound(PILLOW_S)),
        Variant("pillow_in_def", "fix", "Pillow in plain def", bound=gil_released(PILLOW_S, CORES)),
        Variant("pillow_process_pool", "fix", "Pillow in 2 processes", bound=process_pool(PILLOW_S, PROCESSES, CORES)),
        Variant("pure_python_in_def", "trap", "Python loop in plain def", bound=gil_bound(PYTHON_S)),
        Variant(
            "pure_python_process_pool", "fix", "Python in 2 processes", bound=process_pool(PYTHON_S, PROCESSES, CORES)
        ),
    ),
    claims=(
        Claim(
            "threads_run_pillow_in_parallel",
            "Pillow releases the GIL while it computes, so threads resize on more than one core.",
            (Comparison("server_cpu_cores", "pillow_in_def", "above", 1),),
        ),
        Claim(
            "pure_python_needs_processes",
            "Resizing in pure Python uses several cores only in a process pool.",
            (
                # One core, and a tenth for the system calls that run without the GIL.
                Comparison("server_cpu_cores", "pure_python_in_def", "below", 1.1),
                Comparison("server_cpu_cores", "pure_python_process_pool", "above", 1.1),
            ),
            guide=True,
            question=QUESTION,
        ),
        Claim(
            "the_library_matters_more_than_the_pattern",
            "Pillow on one thread resizes more images than pure Python in two processes.",
            (Comparison("throughput_rps", "pillow_in_async_def", "above", "pure_python_process_pool", factor=2),),
        ),
    ),
)
