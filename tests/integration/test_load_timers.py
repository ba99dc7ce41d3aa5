"""Alarms ring once, never early, and leave nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any

import gevent
import psutil
import pytest
from load_world import nothing_falls_into_the_hub, run_for, until  # noqa: F401

from bench.load.timers import HubTimer, Timer, TimerfdTimer, timer

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")


class Clock:
    """An timer, and when it rang."""

    def __init__(self, kind: type) -> None:
        self.rang_s: list[float] = []
        self.timer: Timer = kind(gevent.get_hub().loop, lambda: self.rang_s.append(perf_counter()))


@pytest.fixture(params=[pytest.param(TimerfdTimer, marks=linux_only), HubTimer])
def clock(request: pytest.FixtureRequest) -> Iterator[Clock]:
    clock = Clock(request.param)
    yield clock
    clock.timer.close()


@pytest.mark.parametrize("ahead_s", [0.0003, 0.01, 0.1])
def test_it_rings_once_and_not_early(clock: Clock, ahead_s: float) -> None:
    for number in range(1, 4):
        due_s = perf_counter() + ahead_s
        clock.timer.set(due_s)
        until(lambda: len(clock.rang_s) == number, "a ring")  # noqa: B023
        assert clock.rang_s[-1] >= due_s
    run_for(0.05)
    assert len(clock.rang_s) == 3


def test_a_stale_loop_does_not_make_it_early(clock: Clock) -> None:
    """A hub that was busy has an old idea of the time; a timer counted from it would ring too soon."""
    busy_until_s = perf_counter() + 0.1
    while perf_counter() < busy_until_s:
        pass
    due_s = perf_counter() + 0.1
    clock.timer.set(due_s)
    until(lambda: clock.rang_s, "a ring")
    assert clock.rang_s[0] >= due_s


@pytest.mark.parametrize("first_s", [0.02, 0.3, 600])
def test_setting_it_again_moves_it(clock: Clock, first_s: float) -> None:
    now_s = perf_counter()
    clock.timer.set(now_s + first_s)
    clock.timer.set(now_s + 0.1)
    until(lambda: clock.rang_s, "a ring")
    assert clock.rang_s[0] >= now_s + 0.1
    run_for(0.3)
    assert len(clock.rang_s) == 1


def test_setting_it_again_between_ringing_and_hearing_moves_it(clock: Clock) -> None:
    clock.timer.set(perf_counter() + 0.01)
    busy_until_s = perf_counter() + 0.05
    while perf_counter() < busy_until_s:  # it is due, but the hub cannot say so
        pass
    due_s = perf_counter() + 0.1
    clock.timer.set(due_s)
    until(lambda: clock.rang_s, "a ring")
    assert clock.rang_s[0] >= due_s
    run_for(0.05)
    assert len(clock.rang_s) == 1


@pytest.mark.parametrize("kind", [pytest.param(TimerfdTimer, marks=linux_only), HubTimer])
def test_one_that_rings_can_move_another_that_is_due_in_the_same_breath(kind: type) -> None:
    rang: list[tuple[str, float]] = []
    moved_to_s: list[float] = []
    bells: dict[str, Any] = {}

    def ring(name: str, other: str) -> None:
        rang.append((name, perf_counter()))
        if not moved_to_s:
            moved_to_s.append(perf_counter() + 0.1)
            bells[other].set(moved_to_s[0])

    for name, other in (("a", "b"), ("b", "a")):
        bells[name] = kind(gevent.get_hub().loop, partial(ring, name, other))
        bells[name].set(perf_counter())
    busy_until_s = perf_counter() + 0.01
    while perf_counter() < busy_until_s:  # both are due before the hub looks
        pass
    until(lambda: len(rang) == 2, "both rings")
    for bell in bells.values():
        bell.close()
    assert rang[0][0] != rang[1][0]
    assert rang[1][1] >= moved_to_s[0]


@pytest.mark.parametrize("moment", ["just gone", "at boot", "before boot"])
def test_a_moment_that_has_passed_rings_at_once(clock: Clock, moment: str) -> None:
    clock.timer.set({"just gone": perf_counter() - 1e-6, "at boot": 0.0, "before boot": -1.5}[moment])
    until(lambda: clock.rang_s, "a ring")
    run_for(0.02)
    assert len(clock.rang_s) == 1


def test_it_can_be_set_while_it_rings() -> None:
    """As the open pool does with every arrival."""
    rang: list[float] = []

    def ring() -> None:
        rang.append(perf_counter())
        if len(rang) < 50:
            bell.set(perf_counter() + 0.0001)

    for kind in (TimerfdTimer, HubTimer) if sys.platform == "linux" else (HubTimer,):
        rang.clear()
        bell: Any = kind(gevent.get_hub().loop, ring)
        bell.set(perf_counter())
        until(lambda: len(rang) == 50, "fifty rings")
        bell.close()


def test_closed_it_never_rings(clock: Clock) -> None:
    clock.timer.set(perf_counter() + 0.02)
    clock.timer.close()
    clock.timer.close()
    clock.timer.set(perf_counter())
    run_for(0.1)
    assert clock.rang_s == []


def test_no_descriptor_is_left_behind() -> None:
    gevent.sleep(0)  # the hub has what it needs
    before = psutil.Process().num_fds()
    for kind in (TimerfdTimer, HubTimer) if sys.platform == "linux" else (HubTimer,):
        for _ in range(50):
            bell = kind(gevent.get_hub().loop, lambda: None)
            bell.set(perf_counter() + 60)
            bell.close()
    after = psutil.Process().num_fds()
    assert after == before


def test_the_system_decides_which_alarm_it_is() -> None:
    bell = timer(gevent.get_hub().loop, lambda: None)
    bell.close()
    assert isinstance(bell, TimerfdTimer if sys.platform == "linux" else HubTimer)
