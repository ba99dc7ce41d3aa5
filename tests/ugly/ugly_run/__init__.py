"""Apps that come up well and then misbehave, and one that does not."""

from bench.laws import awaited
from bench.model import Scenario, Variant

WAIT_S = 0.02

SCENARIO = Scenario(
    name="ugly_run",
    question="What becomes of an app that misbehaves under load?",
    path="/report",
    users=4,
    variants=tuple(
        Variant(name, "baseline", summary, law=awaited(WAIT_S))
        for name, summary in (
            ("fine", "nothing wrong with it"),
            ("dies", "exits with status 7 at its 50th request"),
            ("killed", "SIGKILLs itself at its 50th request"),
            ("answers_500", "raises on every request"),
            ("hangs_up", "closes the connection without an answer"),
            ("never_answers", "leaves every request waiting"),
        )
    ),
)
