"""Heavy work is accepted with 202 and done later: by whom, and what does that leave of the web process?

A job is a loop of 240,000 hashes in pure Python. More of them arrive than one core can do, and fewer than two can: what
has no second process falls behind, and ``job done`` counts what is left when the load stops as unfinished.
"""

from bench.model import Claim, Comparison, Scenario, Sidecar, Variant
from bench.model.bounds import UpperBound

CPU_S = 0.085
"""Of one core for one job, roughly: it only draws the ceiling. At 16 jobs a second that is 1.4 cores' work."""
PROCESSES = 2

ONE = UpperBound("1/c", CPU_S, 1, kind="cpu")
TWO = UpperBound(f"{PROCESSES}/c", CPU_S, PROCESSES, kind="cpu")

CELERY = Sidecar(
    "celery-worker",
    ("python", "-m", "celery", "-A", "apps.jobs.celery:queue", "worker", "-c", str(PROCESSES), "-l", "INFO"),
    ready="ready.",
)
RQ = Sidecar(
    "rq-worker",
    # The simple worker does jobs in its own process. The default one forks for each, which imports the app each time.
    ("python", "-m", "rq.cli", "worker-pool", "-n", str(PROCESSES), "-w", "rq.worker.SimpleWorker"),
    ready="Listening on",
)
DRAMATIQ = Sidecar(
    "dramatiq-worker",
    ("python", "-m", "dramatiq", "apps.jobs.dramatiq", "--processes", str(PROCESSES), "--threads", "1"),
    ready="ready for action",
)

SCENARIO = Scenario(
    name="jobs",
    question="Who should do heavy work that the client need not wait for?",
    path="/jobs",
    method="POST",
    endpoint="job done",
    locustfile="locustfiles/submit_and_poll.py",
    rate_rps=16,
    warmup_s=1.0,  # the first job makes the brokers' clients connect, which takes a second
    parallel=True,
    services=("valkey",),
    packages="jobs",
    variants=(
        Variant("inline", "trap", "no queue: done before the answer", bound=ONE, exclusive=True),
        Variant("background_tasks", "baseline", "FastAPI's BackgroundTasks", bound=ONE, exclusive=True),
        Variant("process_pool", "fix", "ProcessPoolExecutor(2)", bound=TWO, exclusive=True),
        Variant("celery", "fix", "Celery, 2 processes", bound=TWO, exclusive=True, sidecars=(CELERY,)),
        Variant("rq", "fix", "RQ, 2 simple workers", bound=TWO, exclusive=True, sidecars=(RQ,)),
        Variant("dramatiq", "fix", "Dramatiq, 2 processes", bound=TWO, exclusive=True, sidecars=(DRAMATIQ,)),
    ),
    claims=(
        Claim(
            "a_queue_answers_at_once",
            "With a worker queue the endpoint returns a job id quickly, whatever the job costs.",
            tuple(
                Comparison("latency_p50_ms", name, "below", 1000 * CPU_S, endpoint="POST /jobs")
                for name in ("process_pool", "celery", "rq", "dramatiq")
            ),
            guide=True,
        ),
        Claim(
            "heavy_work_belongs_elsewhere",
            "Heavy work in the web process takes the web process from everybody; elsewhere it does not.",
            tuple(
                Comparison("latency_p50_ms", name, "below", "inline", endpoint="GET /health")
                for name in ("process_pool", "celery", "rq", "dramatiq")
            ),
            guide=True,
        ),
        Claim(
            "threads_do_not_parallelise",
            "Background tasks on the threadpool get no more done than one core can: the GIL.",
            (
                Comparison("throughput_rps", "background_tasks", "below", "process_pool", factor=0.9),
                Comparison("throughput_rps", "background_tasks", "below", 1 / CPU_S, factor=1.1),
            ),
            guide=True,
        ),
    ),
)
