"""Four identical variants and two that are slowed on purpose, for trying verdicts on known differences."""

from bench.model import Scenario, Variant
from bench.model.bounds import UpperBound

BOUND = UpperBound("1/c", 0.0002, 1, "cpu")
"""One trivial request costs about 0.2 ms of CPU. Used for planning turns, not for verdicts."""

SLOWED_PERCENT = {"same_1": 0, "same_2": 0, "same_3": 0, "same_4": 0, "slowed_5": 5, "slowed_10": 10}
"""How much less throughput each variant has, in per cent. LOOPS in its environment sets it when it is measured."""

SCENARIO = Scenario(
    name="slowed",
    question="Which differences are found, and which are found where there are none?",
    path="/",
    users=32,
    variants=tuple(
        Variant(name, "baseline", f"{percent} % slower" if percent else "not slowed", bound=BOUND, same_file_as="work")
        for name, percent in SLOWED_PERCENT.items()
    ),
)
