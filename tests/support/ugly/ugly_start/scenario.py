"""Apps that do not come up, and one that does."""

from bench.model import Scenario, Variant
from bench.model.bounds import awaited

WAIT_S = 0.02

SCENARIO = Scenario(
    name="ugly_start",
    question="What becomes of an app that does not come up?",
    path="/report",
    users=4,
    variants=tuple(
        Variant(name, "baseline", summary, bound=awaited(WAIT_S))
        for name, summary in (
            ("fine", "nothing wrong with it"),
            ("syntax_error", "is not Python"),
            ("import_error", "imports what is not there"),
            ("type_error", "TypeError while it is imported"),
            ("no_app", "has no app"),
            ("exits", "exits while it is loaded"),
            ("fails_in_lifespan", "raises while it starts up"),
            ("never_ready", "hangs while it is imported"),
            ("unhealthy", "answers 500 on /health"),
        )
    ),
)
