"""Repeats a measurement that other programs disturbed, so that a test asserts on a valid one, once.

    trials = undisturbed(lambda: measure(run), lambda trials: reasons(trials), "test_group")

Only reasons that name the machine count as disturbed (DISTURBED). Anything else is a result, and the test judges it.
The number of repeats is bounded and counted; conftest.py prints the count when the tests have ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

MAX_MEASUREMENTS = 4
"""A machine that disturbs four measurements in a row is too busy to test on: then the test fails."""

DISTURBED = (
    "the generator waited for a core",
    "the generator used",
    "the generator sent late",
    "the generator stood still",
)
"""Reasons of invalid trials that say something about the machine, and nothing about the app or the harness."""

disturbed: Counter[str] = Counter()
"""How many measurements were repeated, by the name that the caller gave."""

Measured = TypeVar("Measured")


def is_disturbance(reason: str) -> bool:
    """Whether a reason speaks of the machine alone."""
    return reason.startswith(DISTURBED)


def undisturbed(measure: Callable[[], Measured], reasons: Callable[[Measured], Iterable[str]], name: str) -> Measured:
    """Measure until no reason speaks of the machine. AssertionError after MAX_MEASUREMENTS."""
    found: list[str] = []
    for _ in range(MAX_MEASUREMENTS):
        measured = measure()
        found = [reason for reason in reasons(measured) if is_disturbance(reason)]
        if not found:
            return measured
        disturbed[name] += 1
    raise AssertionError(f"{name}: disturbed {MAX_MEASUREMENTS} times in a row: {'; '.join(found)}")
