"""Numbers and names as a reader sees them: sensible digits, units, and nothing that a hostile name could do."""

from __future__ import annotations

import math
import re
import unicodedata

from bench.analysis.numbers import count as count
from bench.analysis.numbers import decimals
from bench.analysis.numbers import digits as digits
from bench.analysis.numbers import duration as duration
from bench.analysis.numbers import rate as rate
from bench.analysis.numbers import share as share
from bench.analysis.numbers import times as times
from bench.analysis.summary import Figure
from bench.analysis.tables import VariantInfo

DASH = "–"  # noqa: RUF001 (an en dash on purpose)

NAME_LIMIT = 40
TEXT_LIMIT = 400
LINE_LIMIT = 300
"""Of a log or a program: what a long line says, it says at its beginning."""

VANISHING = 1e-6
"""Share of a figure below which half of its interval is what rounding left."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def clean(text: object, limit: int = TEXT_LIMIT) -> str:
    """One line of harmless text: control and direction-changing characters made visible, at most ``limit`` long."""
    return clip("".join(_visible(character) for character in str(text)[: limit + 1]), limit)


def clean_lines(text: str, limit: int = 4000) -> str:
    """The tail of a log: lines kept, terminal colours dropped, the rest made harmless as in ``clean``."""
    plain = _ESCAPES.sub("", text.replace("\r\n", "\n")).replace("\t", "    ")
    lines = "\n".join(clean(line, LINE_LIMIT) for line in plain.split("\n"))
    return lines if len(lines) <= limit else "…" + lines[-limit:]


def clip(text: str, limit: int) -> str:
    """``text``, or its beginning with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def name_of(variant: VariantInfo) -> str:
    """A variant's name, short enough for a chart."""
    return clean(variant.name, NAME_LIMIT)


def summary_of(variant: VariantInfo) -> str:
    """What a variant is in a few words: ``time.sleep in async def``."""
    return clean(variant.summary, NAME_LIMIT)


def of_ceiling(value: float, ceiling: float) -> str:
    """What share of a ceiling was reached; a measurement may come out above it."""
    return share(value / ceiling) if value < ceiling else f"{100 * value / ceiling:.0f} %"


def latency(figure: Figure) -> str:
    """A latency figure: ``54 ms``, or ``> 6.3 s`` for a lower bound."""
    return f"> {duration(figure.value)}" if figure.at_least else duration(figure.value)


def latency_words(figure: Figure) -> str:
    """The same within a sentence: ``more than 6.3 s``."""
    return f"more than {duration(figure.value)}" if figure.at_least else duration(figure.value)


def plural(n: int, noun: str) -> str:
    """The noun as it goes with ``n``."""
    return noun if n == 1 else f"{noun}s"


def span(low: str, high: str) -> str:
    """``550 to 586``; one of them where they read the same; the unit once."""
    if low == high:
        return low
    low_number, _, low_unit = low.rpartition(" ")
    return f"{low_number} to {high}" if low_number and high.endswith(f" {low_unit}") else f"{low} to {high}"


def with_half_width(figure: Figure) -> str:
    """``586 ± 10``: the mean of the rounds and half its 95 % interval, to the digits that the interval supports.

    At most five of them: more would suggest a precision that five rounds do not have.
    """
    if figure.ci_low is None or figure.ci_high is None:
        return rate(figure.value)
    half = (figure.ci_high - figure.ci_low) / 2
    telling = half > VANISHING * abs(figure.value)
    most = decimals(figure.value, 5)
    places = min(decimals(half, _interval_digits(half)), most) if telling else decimals(figure.value, 3)
    return f"{figure.value:,.{places}f} ± {half:,.{places}f}"


def _interval_digits(half: float) -> int:
    """Two digits for an uncertainty that begins with 1 or 2, one for others: ± 0.29, ± 5 (the physicists' custom)."""
    return 2 if half / 10 ** math.floor(math.log10(half)) < 3 else 1


def _visible(character: str) -> str:
    """Control, format (direction marks among them), surrogate and unassigned characters become a visible stand-in."""
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character)[0] == "C" else character
