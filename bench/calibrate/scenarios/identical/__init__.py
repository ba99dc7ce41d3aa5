"""The same trivial endpoint under two names: whatever differs between them is noise."""

from bench.laws import Law
from bench.model import Scenario, Variant

CPU_S = 0.0002
"""About what one trivial request costs a server's core: enough to plan turns, never a verdict."""
LAW = Law("1/c", CPU_S, 1, "cpu")

SCENARIO = Scenario(
    name="identical",
    question="How much do two identical variants differ on this machine?",
    path="/",
    users=32,
    variants=(
        Variant("first", "baseline", "async def, returns at once", law=LAW),
        Variant("second", "baseline", "the same file again", law=LAW, file="first"),
    ),
)
