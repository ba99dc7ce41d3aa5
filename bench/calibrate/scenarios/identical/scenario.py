"""The same trivial endpoint under two names. Every difference between them is noise."""

from bench.model import Scenario, Variant
from bench.model.bounds import UpperBound

BOUND = UpperBound("1/c", 0.0002, 1, "cpu")
"""One trivial request costs about 0.2 ms of CPU. Used for planning turns, not for verdicts."""

SCENARIO = Scenario(
    name="identical",
    question="How much do two identical variants differ on this machine?",
    path="/",
    users=32,
    variants=(
        Variant("first", "baseline", "async def, returns at once", bound=BOUND),
        Variant("second", "baseline", "the same file", bound=BOUND, same_file_as="first"),
    ),
)
