"""Plans: complete blocks, in a seeded random order, long enough for the laws."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model import PROFILES, Load, Plan, Scenario, ServerGroup, Sidecar, Turn, Variant
from bench.model.bounds import UpperBound, awaited, blocked_loop, threadpool
from bench.planning.schedule import (
    LATENCIES_MEASURED,
    LATENCIES_WARMUP,
    LONGEST_TURN_S,
    SHARED_WARMUP_S,
    TURN_WARMUP_S,
    WARMUP_S,
    make_plan,
    predicted_latency_s,
    with_twin,
)

NEARLY = 1 - 1e-9
USERS_32 = Load(users=32)


def scenario(**laws: UpperBound | None) -> Scenario:
    return Scenario("made_up", "?", tuple(Variant(name, "fix", name, law) for name, law in laws.items()), "/")


FOUR = scenario(trap=blocked_loop(0.05), awaits=awaited(0.05), defs=threadpool(0.05), pool=threadpool(0.05))

laws = st.one_of(
    st.none(),
    st.floats(0.001, 2).map(blocked_loop),
    st.floats(0.001, 2).map(awaited),
    st.builds(threadpool, st.floats(0.001, 2), st.integers(1, 100)),
)
loads = st.one_of(
    st.integers(1, 64).map(lambda users: Load(users=users)), st.floats(0.1, 5000).map(lambda rate: Load(rate_rps=rate))
)
arguments = st.fixed_dictionaries(
    {
        "scenario": st.lists(laws, min_size=1, max_size=7).map(
            lambda some: scenario(**{f"v{n}": law for n, law in enumerate(some)})
        ),
        "load": loads,
        "rounds": st.integers(1, 4),
        "measure_s": st.floats(0.01, 20),
        "seed": st.integers(0, 2**32),
        "together": st.booleans(),
        "sweep": st.lists(loads, max_size=3),
    }
)
plans = arguments.map(lambda given: make_plan(**given))


def lineups(plan: Plan) -> list[ServerGroup]:
    return [lineup for made in plan.rounds for lineup in made.lineups]


def order(plan: Plan) -> list[tuple[str, ...]]:
    return [tuple(turn.variant for turn in lineup.turns) for lineup in lineups(plan)]


def latency_s(plan: Plan, lineup: ServerGroup, variant: str) -> float:
    return predicted_latency_s(plan.scenario.variant(variant), lineup.load) or 0.0


# The order


@given(arguments)
def test_the_same_seed_makes_the_same_plan(given: dict[str, Any]) -> None:
    assert make_plan(**given) == make_plan(**given)


def test_more_rounds_are_the_same_rounds_and_then_some() -> None:
    assert make_plan(FOUR, USERS_32, 5, 1, 3).rounds[:2] == make_plan(FOUR, USERS_32, 2, 1, 3).rounds


def test_another_seed_makes_another_order() -> None:
    assert order(make_plan(FOUR, USERS_32, 3, 1, 1)) != order(make_plan(FOUR, USERS_32, 3, 1, 2))


def test_each_round_lineup_and_rotation_has_an_order_of_its_own() -> None:
    plan = make_plan(FOUR, USERS_32, 5, 3, 1)
    shared = [lineup for lineup in lineups(plan) if len(lineup.variants) > 1]
    rotations = {
        (lineup.round, turn.rotation): tuple(t.variant for t in lineup.turns if t.rotation == turn.rotation)
        for lineup in shared
        for turn in lineup.turns
    }
    for fixed in (0, 1):  # of one round, the rotations differ; of one rotation, the rounds do
        assert len({order for key, order in rotations.items() if key[fixed] == 1}) > 1
    assert len({lineup.variants for lineup in shared}) > 1  # in which the servers are started
    assert len({lineup.seed for lineup in lineups(plan)}) == len(lineups(plan))


@given(plans)
def test_every_variant_comes_once_a_round(plan: Plan) -> None:
    for made in plan.rounds:
        assert sorted(name for lineup in made.lineups for name in lineup.variants) == sorted(plan.variants)
        assert [lineup.number for lineup in made.lineups] == list(range(1, len(made.lineups) + 1))
        assert all(lineup.round == made.number and lineup.load == made.load for lineup in made.lineups)


@given(plans)
def test_every_load_has_a_round_of_every_number(plan: Plan) -> None:
    swept = {plan.load, *plan.sweep}
    assert len(swept) == 1 + len(plan.sweep)
    assert [made.number for made in plan.rounds] == sorted(list(range(1, plan.repeats + 1)) * len(swept))
    assert {(made.load, made.number) for made in plan.rounds} == {
        (load, number) for load in swept for number in range(1, plan.repeats + 1)
    }


def test_a_sweeps_loads_come_in_an_order_of_their_own_each_time() -> None:
    plan = make_plan(FOUR, USERS_32, 6, 1.0, 1, sweep=[Load(users=users) for users in (1, 8, 32, 128)])
    assert [load.name for load in plan.sweep] == ["users-1", "users-8", "users-128"]
    orders = {tuple(made.load for made in plan.rounds if made.number == number) for number in range(1, 7)}
    assert len(orders) > 1
    assert len({lineup.name for lineup in lineups(plan)}) == len(lineups(plan))


@given(plans)
def test_every_rotation_has_every_variant_of_its_lineup_once(plan: Plan) -> None:
    for lineup in lineups(plan):
        rotations = [turn.rotation for turn in lineup.turns]
        assert rotations == sorted(rotations)
        for number in set(rotations):
            taken = sorted(turn.variant for turn in lineup.turns if turn.rotation == number)
            assert taken == sorted(lineup.variants)


def share_first(plans: list[Plan], variant: str) -> float:
    firsts = [made.lineups[0].turns[0].variant for plan in plans for made in plan.rounds]
    return firsts.count(variant) / len(firsts)


def test_over_many_seeds_each_variant_is_equally_often_in_each_place() -> None:
    quick = scenario(a=awaited(0.05), b=awaited(0.05), c=awaited(0.05), d=awaited(0.05))
    many = [make_plan(quick, USERS_32, 3, 1, seed) for seed in range(700)]
    rotations = [
        [turn.variant for turn in lineup.turns if turn.rotation == number]
        for plan in many
        for lineup in lineups(plan)
        for number in (0, 1, 2)
    ]
    for place in range(4):
        counts = Counter(rotation[place] for rotation in rotations)
        # 6,300 rotations; the standard deviation of a share is 0.55 %, and the seeds are fixed.
        assert all(abs(counts[name] / len(rotations) - 0.25) < 0.025 for name in "abcd"), (place, counts)


def test_over_many_seeds_slow_and_shared_lineups_come_first_equally_often() -> None:
    slow = scenario(a=blocked_loop(0.05), b=blocked_loop(0.05), c=awaited(0.05), d=awaited(0.05))
    many = [make_plan(slow, USERS_32, 3, 1, seed) for seed in range(500)]
    assert share_first(many, "a") == pytest.approx(1 / 3, abs=0.05)
    assert share_first(many, "b") == pytest.approx(1 / 3, abs=0.05)
    assert share_first(many, "c") == pytest.approx(1 / 6, abs=0.05)


# Who shares


def test_slow_variants_are_alone_and_quick_ones_share() -> None:
    together = {frozenset(lineup.variants) for lineup in lineups(make_plan(FOUR, USERS_32, 3, 1, 1))}
    assert together == {frozenset({"trap"}), frozenset({"awaits", "defs", "pool"})}


def test_a_variant_without_a_law_is_alone() -> None:
    unknown = scenario(a=awaited(0.05), b=awaited(0.05), c=None)
    together = {frozenset(lineup.variants) for lineup in lineups(make_plan(unknown, USERS_32, 1, 1, 1))}
    assert together == {frozenset({"c"}), frozenset({"a", "b"})}


def test_all_are_alone_when_taking_turns_is_switched_off() -> None:
    assert all(len(lineup.variants) == 1 for lineup in lineups(make_plan(FOUR, USERS_32, 2, 1, 1, together=False)))


def test_a_variant_that_does_not_fall_quiet_is_alone() -> None:
    restless = Variant("restless", "fix", "restless", awaited(0.05), exclusive=True)
    quick = scenario(a=awaited(0.05), b=awaited(0.05))
    some = replace(quick, variants=(*quick.variants, restless))
    together = {frozenset(lineup.variants) for lineup in lineups(make_plan(some, USERS_32, 1, 1, 1))}
    assert together == {frozenset({"restless"}), frozenset({"a", "b"})}


def test_a_scenario_may_ask_for_a_longer_warm_up_of_what_is_alone() -> None:
    slow = replace(scenario(slow=None), warmup_s=2.5)
    (made,) = lineups(make_plan(slow, USERS_32, 1, 1, 1))
    assert [turn.warmup_s for turn in made.turns] == [2.5]


@pytest.mark.parametrize(("wait_s", "shares"), [(0.19, True), (0.21, False)])
def test_what_does_not_fit_into_the_longest_turn_is_alone(wait_s: float, shares: bool) -> None:
    pair = scenario(a=awaited(wait_s), b=awaited(wait_s))
    assert all((len(lineup.variants) > 1) == shares for lineup in lineups(make_plan(pair, USERS_32, 1, 1, 1)))


# Twins


def test_the_last_fix_of_those_that_share_a_lineup_gets_a_twin() -> None:
    two = scenario(first=awaited(0.05), last=awaited(0.05), slow=blocked_loop(0.05))
    (*before, twin) = with_twin(two, USERS_32).variants
    assert tuple(before) == two.variants
    assert (twin.name, twin.module, twin.twin) == ("last_twin", "last", "last")
    assert (twin.bound, twin.role) == (awaited(0.05), "fix")
    (together,) = {
        frozenset(lineup.variants)
        for lineup in make_plan(with_twin(two, USERS_32), USERS_32, 1, 1, 1).rounds[0].lineups
        if len(lineup.variants) > 1
    }
    assert together == {"first", "last", "last_twin"}


def test_a_twin_is_served_as_the_variant_is() -> None:
    served = Variant("b", "fix", "b", awaited(0.05), uvicorn_options=("--loop", "uvloop"), file="a")
    (*_, twin) = with_twin(Scenario("made_up", "?", (served,), "/"), USERS_32).variants
    assert (twin.uvicorn_options, twin.module, twin.twin) == (served.uvicorn_options, "a", "b")


def test_where_none_shares_the_twin_is_of_a_fix_without_companions() -> None:
    quiet = Variant("quiet", "fix", "quiet", None)
    queue = Variant("queue", "fix", "queue", None, sidecars=(Sidecar("worker", ("python",), "ready"),))
    (*_, twin) = with_twin(Scenario("made_up", "?", (quiet, queue), "/"), USERS_32).variants
    assert twin.twin == "quiet"


def test_a_scenario_with_a_twin_or_without_a_fix_stays_as_it_is() -> None:
    once = with_twin(FOUR, USERS_32)
    assert with_twin(once, USERS_32) == once
    unfixed = replace(FOUR, variants=(Variant("trap", "trap", "trap", awaited(0.05)),))
    assert with_twin(unfixed, USERS_32) == unfixed


# How long


@given(plans)
def test_every_variant_is_measured_long_enough(plan: Plan) -> None:
    for lineup in lineups(plan):
        for name in lineup.variants:
            measured_s = sum(turn.measure_s for turn in lineup.turns if turn.variant == name)
            assert measured_s >= NEARLY * plan.measure_s
            assert measured_s >= NEARLY * LATENCIES_MEASURED * latency_s(plan, lineup, name)


@given(plans)
def test_a_lineup_of_one_warms_up_and_then_measures(plan: Plan) -> None:
    for lineup in lineups(plan):
        if len(lineup.variants) > 1:
            continue
        (turn,) = lineup.turns
        predicted_s = latency_s(plan, lineup, turn.variant)
        assert turn.rotation == 1
        assert turn.warmup_s == pytest.approx(max(WARMUP_S, LATENCIES_WARMUP * predicted_s))
        assert turn.stagger_s == pytest.approx(predicted_s)


@given(plans)
def test_a_shared_lineup_warms_up_for_a_rotation_and_takes_short_turns(plan: Plan) -> None:
    for lineup in lineups(plan):
        if len(lineup.variants) == 1:
            continue
        first = [turn for turn in lineup.turns if turn.rotation == 0]
        for turn in first:
            assert turn.measure_s == 0
            assert turn.warmup_s >= max(SHARED_WARMUP_S, LATENCIES_WARMUP * latency_s(plan, lineup, turn.variant))
        later = [turn for turn in lineup.turns if turn.rotation > 0]
        assert later
        for turn in later:
            assert turn.measure_s >= NEARLY * LATENCIES_MEASURED * latency_s(plan, lineup, turn.variant)
            assert turn.warmup_s >= NEARLY * max(TURN_WARMUP_S[0], latency_s(plan, lineup, turn.variant))
            assert turn.warmup_s + turn.measure_s <= LONGEST_TURN_S / NEARLY
        assert len({(turn.warmup_s, turn.measure_s) for turn in later}) == 1  # nobody is given more than another


@given(plans)
def test_turns_are_no_longer_than_what_was_asked_for_needs(plan: Plan) -> None:
    for lineup in lineups(plan):
        if len(lineup.variants) == 1:
            continue
        rotations = max(turn.rotation for turn in lineup.turns)
        slowest_s = max(latency_s(plan, lineup, name) for name in lineup.variants)
        longest_s = max(plan.measure_s / rotations, LATENCIES_MEASURED * slowest_s)
        assert all(turn.measure_s <= longest_s / NEARLY for turn in lineup.turns)


@pytest.mark.parametrize(
    ("service_s", "load", "turn"),
    [
        (0.0001, USERS_32, (0.02, 0.05, 40)),  # 3.2 ms: a turn of ten latencies would have next to no middle
        (0.0003, USERS_32, (0.02, 2 / 21, 21)),  # 9.6 ms: ten latencies
        (0.001, USERS_32, (0.064, 2 / 7, 7)),
        (0.0016, USERS_32, (0.1, 0.5, 4)),  # 51 ms
        (0.004, USERS_32, (0.128, 2 / 3, 3)),  # 128 ms: as many latencies as fit into the longest turn
        (0.001, Load(rate_rps=100), (0.02, 0.2, 10)),  # 20 arrivals
        (0.001, Load(rate_rps=1), (0.02, 2 / 3, 3)),
    ],
)
def test_turns_are_as_short_as_the_latency_allows(service_s: float, load: Load, turn: tuple[float, float, int]) -> None:
    law = UpperBound("1/c", service_s, 1, "cpu")
    (lineup,) = make_plan(scenario(a=law, b=law), load, 1, 2.0, 1).rounds[0].lineups
    last = lineup.turns[-1]
    assert (last.warmup_s, last.measure_s, last.rotation) == pytest.approx(turn)


def test_a_turns_seconds_add_up() -> None:
    turns = (Turn("a", 0, 1.0, 0.0), Turn("a", 1, 0.1, 0.4))
    assert ServerGroup("s", 1, 1, ("a",), USERS_32, turns, 1).load_s == pytest.approx(1.5)


def test_the_trap_is_stretched_to_its_law() -> None:
    (trap,) = [lineup for lineup in make_plan(FOUR, USERS_32, 1, 1, 1).rounds[0].lineups if "trap" in lineup.variants]
    assert trap.turns == (Turn("trap", 1, 3.2, pytest.approx(6.4), 1.6),)


def test_the_profiles_are_the_documented_ones() -> None:
    documented = {"quick": (1, 2.0), "standard": (5, 2.0), "thorough": (12, 6.0)}
    assert {name: (profile.rounds, profile.measure_s) for name, profile in PROFILES.items()} == documented
    assert [name for name, profile in PROFILES.items() if profile.twins] == ["thorough"]


@pytest.mark.parametrize(("users", "rate_rps"), [(None, None), (32, 500.0)])
def test_a_load_is_one_of_users_and_arrivals(users: int | None, rate_rps: float | None) -> None:
    with pytest.raises(ValueError, match="either a number of users or an arrival rate"):
        Load(users, rate_rps)


@pytest.mark.parametrize(
    ("load", "name", "model"),
    [
        (Load(users=32), "users-32", "closed"),
        (Load(rate_rps=500), "rate-500", "open"),
        (Load(rate_rps=0.5), "rate-0.5", "open"),
    ],
)
def test_a_load_is_named_as_its_folder(load: Load, name: str, model: str) -> None:
    assert (load.name, load.model) == (name, model)
