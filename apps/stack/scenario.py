"""One trivial app on each event loop and HTTP parser that uvicorn supports."""

from bench.model import Claim, Comparison, Scenario, Variant
from bench.model.bounds import gil_bound

FILE = "asyncio_h11"
CPU_S = {"asyncio_h11": 17e-5, "asyncio_httptools": 9e-5, "uvloop_h11": 16e-5, "uvloop_httptools": 8e-5}
"""CPU time of a request on a fast core of 2024. It decides how long a turn is."""


def _served(loop: str, parser: str) -> Variant:
    name = f"{loop}_{parser}"
    return Variant(
        name,
        "baseline" if name == FILE else "fix",
        f"{loop}, {parser}",
        bound=gil_bound(CPU_S[name]),
        uvicorn_options=("--loop", loop, "--http", parser),
        same_file_as="" if name == FILE else FILE,
    )


SCENARIO = Scenario(
    name="stack",
    question="How much throughput do the event loop and the HTTP parser below FastAPI bring?",
    path="/books",
    users=32,
    variants=tuple(_served(loop, parser) for loop in ("asyncio", "uvloop") for parser in ("h11", "httptools")),
    claims=(
        Claim(
            "httptools_is_faster",
            "httptools serves more requests per second than h11, on both event loops.",
            (
                Comparison("throughput_rps", "asyncio_httptools", "above", "asyncio_h11"),
                Comparison("throughput_rps", "uvloop_httptools", "above", "uvloop_h11"),
            ),
        ),
        Claim(
            "uvloop_is_faster",
            "uvloop serves more requests per second than asyncio's own loop, with both parsers.",
            (
                Comparison("throughput_rps", "uvloop_h11", "above", "asyncio_h11"),
                Comparison("throughput_rps", "uvloop_httptools", "above", "asyncio_httptools"),
            ),
        ),
    ),
)
