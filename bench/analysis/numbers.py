"""Numbers as a reader sees them: sensible digits and units, for every sentence, table and chart."""

from __future__ import annotations

import math


def rate(value: float) -> str:
    """Requests per second, three significant digits: ``19.9``, ``586``, ``4,120``."""
    return digits(value, 3)


def duration(value_ms: float) -> str:
    """A time with its unit, two significant digits (three above 100): ``0.42 ms``, ``54 ms``, ``3.3 s``."""
    if value_ms >= 999.5:
        return f"{digits(value_ms / 1e3, 2)} s"
    return f"{digits(value_ms, 2)} ms"


def share(value: float) -> str:
    """A share as a per cent: ``0 %``, ``3.1 %``, ``100 %``. Never 0 % or 100 % unless it is exactly that."""
    per_cent = 100 * value
    if 0 < per_cent < 0.1:
        return "< 0.1 %"
    if 99.5 <= per_cent < 100:
        return "> 99 %"
    return f"{digits(per_cent, 2)} %"


def count(value: float) -> str:
    """A whole number with thousands separated."""
    return f"{value:,.0f}"


def times(ratio: float) -> str:
    """A ratio: ``0.034 ×``, ``1.02 ×``, ``29.4 ×``."""  # noqa: RUF002
    return f"{digits(ratio, 3)} ×"  # noqa: RUF001


def digits(value: float, wanted: int) -> str:
    """``value`` with ``wanted`` significant digits, more where its whole part has more."""
    return f"{value:,.{decimals(value, wanted)}f}"


def decimals(value: float, wanted: int) -> int:
    """Decimals that show ``wanted`` significant digits; none where the whole part already has as many."""
    if value == 0 or not math.isfinite(value):
        return 0
    leading = math.floor(math.log10(abs(value)))
    rounded = round(value, wanted - 1 - leading)
    return max(0, wanted - 1 - math.floor(math.log10(abs(rounded))))
