"""Copying a file of 256 KiB, the size of a scanned page.

The caches are warm: the file was just written, and the copy is deleted before the kernel writes it to disk. So this
measures system calls and threads, not a disk.
"""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound

DIRECT_S, ONE_HANDOVER_S, MANY_HANDOVERS_S = 3e-4, 4.5e-4, 5.5e-4
"""CPU time of a request on a fast core of 2024: with no handover to a worker thread, with one, with one per call."""

SCENARIO = Scenario(
    name="files",
    question="Where should file operations run when the caches are warm?",
    path="/copy",
    users=32,
    extra="files",
    variants=(
        Variant("open_in_async_def", "trap", "open in async def", bound=gil_bound(DIRECT_S)),
        Variant("open_in_def", "fix", "open in plain def", bound=gil_bound(ONE_HANDOVER_S)),
        Variant("anyio_open_file", "fix", "anyio.open_file", bound=gil_bound(MANY_HANDOVERS_S)),
        Variant("aiofiles", "fix", "aiofiles.open", bound=gil_bound(MANY_HANDOVERS_S)),
    ),
    claims=(
        Claim(
            "file_io_in_async_def_stalls_the_loop",
            "File operations inside async def delay other requests; in plain def they delay them less.",
            (Comparison("latency_p50_ms", "open_in_def", "below", "open_in_async_def", 0.5, "GET /health"),),
            guide=True,
        ),
        Claim(
            "callers_do_not_notice",
            "The callers themselves get no fewer requests per second from it, since a handover to a thread costs CPU.",
            (Comparison("throughput_rps", "open_in_async_def", "above", "open_in_def", factor=0.95),),
        ),
        Claim(
            "asynchronous_files_are_threads",
            "Asynchronous file libraries use a thread for every call, so they serve fewer requests than plain def.",
            (
                Comparison("throughput_rps", "anyio_open_file", "below", "open_in_def"),
                Comparison("throughput_rps", "aiofiles", "below", "open_in_def"),
            ),
        ),
    ),
)
