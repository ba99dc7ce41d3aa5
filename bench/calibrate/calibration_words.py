"""Numbers of calibration as text."""

from __future__ import annotations

import math

from bench.analysis.intervals import Spread
from bench.report.text import formatting


def times(ratio: float) -> str:
    """``9.1 ×``, ``1.03 ×``, ``17 ×``."""  # noqa: RUF002
    decimals = 0 if ratio >= 9.95 else 1 if ratio >= 1.95 else 2
    return f"{ratio:.{decimals}f}\N{NO-BREAK SPACE}×"  # noqa: RUF001


_FRACTIONS = {
    2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth", 7: "a seventh", 8: "an eighth", 9: "a ninth",
    10: "a tenth", 11: "an eleventh", 12: "a twelfth", 13: "a thirteenth", 14: "a fourteenth", 15: "a fifteenth",
    16: "a sixteenth", 17: "a seventeenth", 18: "an eighteenth", 19: "a nineteenth", 20: "a twentieth",
}  # fmt: skip


def fraction(share: float) -> str:
    """``a seventeenth`` for 0.06. A share that is no such fraction, in per cent."""
    nearest = round(1 / share)
    return _FRACTIONS.get(nearest, formatting.share(share))


def us(value: float) -> str:
    """``43 µs``, ``1.4 ms``."""
    if value >= 999.5:
        return formatting.duration(value / 1000).replace(" ", "\N{NO-BREAK SPACE}")
    digits = 1 if value < 19.95 and value % 1 else 0
    return f"{value:.{digits}f}\N{NO-BREAK SPACE}µs"


def many(count: float) -> str:
    """``100 thousand``, ``10 million``."""
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= size:
            return f"{count / size:g} {word}"
    return f"{count:g}"


def three_digits(value: float) -> str:
    """``50,000`` for 49,981: further digits are not reproducible."""
    step = 10 ** max(0, math.floor(math.log10(value)) - 2)
    return f"{round(value / step) * step:,.0f}"


def servers(number: int) -> str:
    """``1 server``, ``5 servers``."""
    return "1 server" if number == 1 else f"{number:,} servers"


def interval_of(spread: Spread) -> str:
    """``95 %: 1.5 to 3.7 %``; empty without an interval."""
    if spread.low is None or spread.high is None:
        return ""
    return f"95 %: {formatting.span(formatting.share(spread.low), formatting.share(spread.high))}"
