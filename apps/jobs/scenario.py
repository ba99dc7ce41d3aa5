"""Heavy work that the server accepts with status 202 and does later: six ways to do it.

A job is a loop of 240,000 hashes in pure Python. Jobs arrive faster than one core can do them, and slower than two cores
can. A variant without a second process falls behind; its jobs that are left when the load stops count as unfinished.
"""

from bench.model import Claim, Comparison, Scenario, Sidecar, Variant
from bench.model.bounds import UpperBound

CPU_S = 0.085
"""CPU time of one job, roughly. Sixteen jobs a second are then the work of 1.4 cores."""
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
    # The simple worker runs jobs in its own process. The default worker forks for each job and imports the app again.
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
    question="Where should heavy work run when the client need not wait for it?",
    path="/jobs",
    method="POST",
    endpoint="job done",
    locustfile="locustfiles/submit_and_poll.py",
    rate_rps=16,
    min_warmup_s=1.0,  # with the first job the brokers' clients connect, which takes a second
    parallel=True,
    services=("valkey",),
    extra="jobs",
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
            # Inline, the answer takes at least as long as the job itself. Half of that is far from an answer at once.
            "With a worker queue the endpoint answers with a job id in less than half of the time that the job takes.",
            tuple(
                Comparison("latency_p50_ms", name, "below", "inline", factor=0.5, endpoint="POST /jobs")
                for name in ("process_pool", "celery", "rq", "dramatiq")
            ),
            guide=True,
        ),
        Claim(
            "heavy_work_belongs_elsewhere",
            "Heavy work in the web process delays health checks; in other processes it delays them less.",
            tuple(
                Comparison("latency_p50_ms", name, "below", "inline", endpoint="GET /health")
                for name in ("process_pool", "celery", "rq", "dramatiq")
            ),
            guide=True,
        ),
        Claim(
            "threads_do_not_parallelise",
            "Because of the GIL, background tasks on the threadpool use no more than one core.",
            # One core, and a tenth for the system calls that run without the GIL.
            (Comparison("server_cpu_cores", "background_tasks", "below", 1.1),),
            guide=True,
        ),
    ),
)
