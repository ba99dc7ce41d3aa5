"""Reads and checks the form of the web UI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from locust.util.timespan import parse_timespan

MAX_RATE_RPS = 1e6
MAX_DURATION_S = 600.0
"""A load without a duration ends after ten minutes."""


class BadForm(ValueError):
    """A field has a value that is not allowed. The message says what is."""


@dataclass(frozen=True)
class MeasurementForm:
    """A measurement: ``users`` who wait for each answer, or ``rate_rps`` arrivals a second."""

    choice: str
    """``scenario/variant``"""
    users: int
    spawn_rate: float
    rate_rps: float | None
    duration_s: float
    """Seconds that are measured, after the warm-up."""


def read(form: Mapping[str, str], choices: Mapping[str, float | None], max_users: int) -> MeasurementForm:
    """Read the form of Locust's UI. ``choices`` are the variants with their scenarios' arrival rates. BadForm says why not."""
    choice = form.get("variant", "")
    if choice not in choices:
        raise BadForm(f"there is no variant {choice!r}; the list offers {len(choices)}")
    rate = form.get("arrival_rate", "").strip()
    rate_rps = _positive("the arrival rate", rate, MAX_RATE_RPS) if rate else choices[choice]
    return MeasurementForm(
        choice,
        _users(form.get("user_count", ""), max_users),
        _positive("the spawn rate", form.get("spawn_rate", ""), MAX_RATE_RPS),
        rate_rps,
        _duration_s(form.get("run_time", "").strip()),
    )


def _users(text: str, maximum: int) -> int:
    try:
        users = int(text)
    except ValueError:
        users = 0
    if not 1 <= users <= maximum:
        raise BadForm(f"the number of users is a whole number from 1 to {maximum}, not {text!r}")
    return users


def _positive(name: str, text: str, maximum: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= maximum:
        raise BadForm(f"{name} is a number above 0 and up to {maximum:g} a second, not {text!r}")
    return number


def _duration_s(text: str) -> float:
    if not text:
        return MAX_DURATION_S
    try:
        seconds = float(parse_timespan(text))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_DURATION_S:
        raise BadForm(
            f"the run time is a duration such as 10, 20s or 1m30s, up to {MAX_DURATION_S / 60:g} minutes, not {text!r}"
        )
    return seconds
