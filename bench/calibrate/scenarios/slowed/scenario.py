"""One endpoint four times as it is, and twice made slower on purpose: what must, and what must not, be found."""

from bench.model import Scenario, Variant
from bench.model.bounds import UpperBound

CPU_S = 0.0002
"""About what one trivial request costs a server's core: enough to plan turns, never a verdict."""
LAW = UpperBound("1/c", CPU_S, 1, "cpu")

SLOWED_PERCENT = {"twin_1": 0, "twin_2": 0, "twin_3": 0, "twin_4": 0, "slowed_5": 5, "slowed_10": 10}
"""By how much less throughput each variant is made to have: LOOPS in its environment, set when it is measured."""

SCENARIO = Scenario(
    name="slowed",
    question="Which differences are found, and which are seen where there are none?",
    path="/",
    users=32,
    variants=tuple(
        Variant(name, "baseline", f"{percent} % slower" if percent else "as it is", bound=LAW, same_file_as="work")
        for name, percent in SLOWED_PERCENT.items()
    ),
)
