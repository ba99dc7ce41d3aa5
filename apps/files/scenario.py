"""Copying a file of 256 KiB: the size of a scanned page. The caches are warm: the file was just written, the copy is
deleted before the kernel writes it back, so this measures system calls and threads, not a disk."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound

NO_TRIP_S, ONE_TRIP_S, MANY_TRIPS_S = 3e-4, 4.5e-4, 5.5e-4
"""CPU of a request on a fast core of 2024; it mainly tells that turns may be short."""

SCENARIO = Scenario(
    name="files",
    question="Where do file operations belong when the caches are warm?",
    path="/copy",
    users=32,
    packages="files",
    variants=(
        Variant("open_in_async_def", "trap", "open in async def", bound=gil_bound(NO_TRIP_S)),
        Variant("open_in_def", "fix", "open in plain def", bound=gil_bound(ONE_TRIP_S)),
        Variant("anyio_open_file", "fix", "anyio.open_file", bound=gil_bound(MANY_TRIPS_S)),
        Variant("aiofiles", "fix", "aiofiles.open", bound=gil_bound(MANY_TRIPS_S)),
    ),
    claims=(
        Claim(
            "file_io_in_async_def_stalls_the_loop",
            "File operations inside async def hold up everybody's requests; in plain def they do not.",
            (Comparison("latency_p50_ms", "open_in_def", "below", "open_in_async_def", 0.5, "GET /health"),),
            guide=True,
        ),
        Claim(
            "file_io_in_async_def_costs_throughput",
            "File operations inside async def serve fewer requests than in plain def.",
            (Comparison("throughput_rps", "open_in_async_def", "below", "open_in_def"),),
            guide=True,
        ),
        Claim(
            "asynchronous_files_are_threads",
            "Asynchronous files are threads underneath, with a trip for every call: they are no faster than plain def.",
            (
                Comparison("throughput_rps", "anyio_open_file", "below", "open_in_def"),
                Comparison("throughput_rps", "aiofiles", "below", "open_in_def"),
            ),
        ),
    ),
)
