"""The same trivial endpoint under two names: whatever differs between them is noise."""

from bench.model import Scenario, Variant
from bench.model.bounds import UpperBound

CPU_S = 0.0002
"""About what one trivial request costs a server's core: enough to plan turns, never a verdict."""
LAW = UpperBound("1/c", CPU_S, 1, "cpu")

SCENARIO = Scenario(
    name="identical",
    question="How much do two identical variants differ on this machine?",
    path="/",
    users=32,
    variants=(
        Variant("first", "baseline", "async def, returns at once", bound=LAW),
        Variant("second", "baseline", "the same file again", bound=LAW, same_file_as="first"),
    ),
)
