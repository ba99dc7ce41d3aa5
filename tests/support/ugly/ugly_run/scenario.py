"""Apps that come up well and then misbehave, and one that does not."""

from bench.model import Scenario, Variant
from bench.model.bounds import awaited

WAIT_S = 0.02

SCENARIO = Scenario(
    name="ugly_run",
    question="What becomes of an app that misbehaves under load?",
    path="/report",
    users=4,
    variants=tuple(
        Variant(name, "baseline", summary, bound=awaited(WAIT_S))
        for name, summary in (
            ("fine", "nothing wrong with it"),
            ("dies", "exits with status 7 at its 50th request"),
            ("killed", "SIGKILLs itself at its 50th request"),
            ("answers_500", "raises on every request"),
            ("hangs_up", "closes the connection without an answer"),
            ("never_answers", "leaves every request waiting"),
            ("answers_without_end", "sends a byte every 0.1 s, for ever"),
            ("answers_garbage", "answers with bytes that are not HTTP"),
            ("freezes", "blocks its event loop for good at the first request"),
            ("out_of_memory", "needs more memory than it may have"),
        )
    ),
)
