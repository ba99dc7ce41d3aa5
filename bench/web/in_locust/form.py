"""What the form of the web UI asks for: read, checked, and refused in one line where it is not allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from locust.util.timespan import parse_timespan

RATE_MOST_RPS = 1e6
DURATION_MOST_S = 600.0
"""A load that is started without a duration ends after ten minutes: whoever started it has gone home."""


class BadForm(ValueError):
    """What was asked for is not allowed; the message says what is."""


@dataclass(frozen=True)
class MeasurementRequest:
    """One measurement as the form asks for it: ``users`` who loop, or ``rate_rps`` arrivals a second."""

    choice: str
    """``scenario/variant``"""
    users: int
    spawn_rate: float
    rate_rps: float | None
    duration_s: float
    """Seconds that are measured, after the warm-up."""


def read(form: Mapping[str, str], choices: Mapping[str, float | None], users_most: int) -> MeasurementRequest:
    """The form of Locust's UI. ``choices`` are the variants, each with the arrival rate that its scenario has."""
    choice = form.get("variant", "")
    if choice not in choices:
        raise BadForm(f"there is no variant {choice!r}; the list offers {len(choices)}")
    rate = form.get("arrival_rate", "").strip()
    rate_rps = _positive("the arrival rate", rate, RATE_MOST_RPS) if rate else choices[choice]
    return MeasurementRequest(
        choice,
        _users(form.get("user_count", ""), users_most),
        _positive("the spawn rate", form.get("spawn_rate", ""), RATE_MOST_RPS),
        rate_rps,
        _duration_s(form.get("run_time", "").strip()),
    )


def _users(said: str, most: int) -> int:
    try:
        users = int(said)
    except ValueError:
        users = 0
    if not 1 <= users <= most:
        raise BadForm(f"the number of users is a whole number from 1 to {most}, not {said!r}")
    return users


def _positive(what: str, said: str, most: float) -> float:
    try:
        number = float(said)
    except ValueError:
        number = math.nan
    if not 0 < number <= most:
        raise BadForm(f"{what} is a number above 0 and up to {most:g} a second, not {said!r}")
    return number


def _duration_s(said: str) -> float:
    if not said:
        return DURATION_MOST_S
    try:
        seconds = float(parse_timespan(said))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= DURATION_MOST_S:
        raise BadForm(f"the run time is as 10, 20s or 1m30s, up to {DURATION_MOST_S / 60:g} minutes, not {said!r}")
    return seconds
