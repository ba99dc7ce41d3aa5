"""One blocking call inside ``async def``, and the three ways to undo it."""

from bench.laws import awaited, blocked_loop, threadpool
from bench.model import Scenario, Variant

WAIT_S = 0.05

SCENARIO = Scenario(
    name="blocking",
    question="What does one blocking call inside async def cost everybody, and which fix undoes it?",
    path="/report",
    users=32,
    variants=(
        Variant("blocking_call", "trap", "time.sleep in async def", law=blocked_loop(WAIT_S)),
        Variant("awaited", "fix", "await asyncio.sleep", law=awaited(WAIT_S)),
        Variant("plain_def", "fix", "time.sleep in plain def", law=threadpool(WAIT_S)),
        Variant("run_in_threadpool", "fix", "await run_in_threadpool", law=threadpool(WAIT_S)),
    ),
)
