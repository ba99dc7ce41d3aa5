"""Plans: complete blocks, in a seeded random order, long enough for the bounds."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model import PROFILES, Load, Plan, Scenario, ServerGroup, Sidecar, Turn, UpperBound, Variant
from bench.model.bounds import awaited, blocked_loop, gil_bound, threadpool
from bench.planning.schedule import (
    LATENCIES_WARMUP,
    MAX_TURN_S,
    MIN_LATENCIES_MEASURED,
    MIN_SHARED_WARMUP_S,
    MIN_TURN_WARMUP_S,
    MIN_WARMUP_S,
    make_plan,
    predicted_latency_s,
    with_control,
)

NEARLY = 1 - 1e-9
USERS_32 = Load(users=32)


def scenario(**bounds: UpperBound | None) -> Scenario:
    return Scenario("made_up", "?", tuple(Variant(name, "fix", name, bound) for name, bound in bounds.items()), "/")


FOUR = scenario(trap=blocked_loop(0.05), awaits=awaited(0.05), defs=threadpool(0.05), pool=threadpool(0.05))

bounds = st.one_of(
    st.none(),
    st.floats(0.001, 2).map(blocked_loop),
    st.floats(0.001, 2).map(awaited),
    st.builds(threadpool, st.floats(0.001, 2), st.integers(1, 100)),
)
variants = st.builds(Variant, st.just(""), st.just("fix"), st.just("?"), bounds, exclusive=st.booleans())
loads = st.one_of(
    st.integers(1, 64).map(lambda users: Load(users=users)), st.floats(0.1, 5000).map(lambda rate: Load(rate_rps=rate))
)
arguments = st.fixed_dictionaries(
    {
        "scenario": st.lists(variants, min_size=1, max_size=7).map(
            lambda some: Scenario("made_up", "?", tuple(replace(v, name=f"v{n}") for n, v in enumerate(some)), "/")
        ),
        "load": loads,
        "rounds": st.integers(1, 4),
        "measure_s": st.floats(0.01, 20),
        "seed": st.integers(0, 2**32),
        "sweep": st.lists(loads, max_size=3),
    }
)
plans = arguments.map(lambda given: make_plan(**cast("dict[str, Any]", given)))


def groups(plan: Plan) -> list[ServerGroup]:
    return [group for made in plan.rounds for group in made.groups]


def grouping(scenario: Scenario, rounds: int = 1) -> set[frozenset[str]]:
    """Which variants share a group."""
    return {frozenset(group.variants) for group in groups(make_plan(scenario, USERS_32, rounds, 1, 1))}


def order(plan: Plan) -> list[tuple[str, ...]]:
    return [tuple(turn.variant for turn in group.turns) for group in groups(plan)]


def latency_s(plan: Plan, group: ServerGroup, variant: str) -> float:
    return predicted_latency_s(plan.scenario.variant(variant), group.load) or 0.0


# The order


@given(arguments)
def test_the_same_seed_makes_the_same_plan(given: dict[str, Any]) -> None:
    assert make_plan(**given) == make_plan(**given)


def test_more_rounds_begin_with_the_same_rounds() -> None:
    assert make_plan(FOUR, USERS_32, 5, 1, 3).rounds[:2] == make_plan(FOUR, USERS_32, 2, 1, 3).rounds


def test_another_seed_makes_another_order() -> None:
    assert order(make_plan(FOUR, USERS_32, 3, 1, 1)) != order(make_plan(FOUR, USERS_32, 3, 1, 2))


def test_each_round_group_and_pass_has_its_own_order() -> None:
    plan = make_plan(FOUR, USERS_32, 5, 3, 1)
    shared = [group for group in groups(plan) if len(group.variants) > 1]
    passes = {
        (group.round, turn.pass_number): tuple(t.variant for t in group.turns if t.pass_number == turn.pass_number)
        for group in shared
        for turn in group.turns
    }
    for fixed in (0, 1):  # in one round the passes differ; in one pass the rounds differ
        assert len({order for key, order in passes.items() if key[fixed] == 1}) > 1
    assert len({group.variants for group in shared}) > 1  # the order in which the servers are started
    assert len({group.seed for group in groups(plan)}) == len(groups(plan))


@given(plans)
def test_every_variant_is_in_every_round_once(plan: Plan) -> None:
    for made in plan.rounds:
        assert sorted(name for group in made.groups for name in group.variants) == sorted(plan.variants)
        assert [group.number for group in made.groups] == list(range(1, len(made.groups) + 1))
        assert all(group.round == made.number and group.load == made.load for group in made.groups)


@given(plans)
def test_every_load_has_a_round_of_every_number(plan: Plan) -> None:
    swept = {plan.load, *plan.sweep}
    assert len(swept) == 1 + len(plan.sweep)
    assert [made.number for made in plan.rounds] == sorted(list(range(1, plan.rounds_per_load + 1)) * len(swept))
    assert {(made.load, made.number) for made in plan.rounds} == {
        (load, number) for load in swept for number in range(1, plan.rounds_per_load + 1)
    }


def test_the_order_of_a_sweeps_loads_differs_from_round_to_round() -> None:
    plan = make_plan(FOUR, USERS_32, 6, 1.0, 1, sweep=[Load(users=users) for users in (1, 8, 32, 128)])
    assert [load.name for load in plan.sweep] == ["users-1", "users-8", "users-128"]
    orders = {tuple(made.load for made in plan.rounds if made.number == number) for number in range(1, 7)}
    assert len(orders) > 1
    assert len({group.name for group in groups(plan)}) == len(groups(plan))


@given(plans)
def test_every_pass_has_every_variant_of_its_group_once(plan: Plan) -> None:
    for group in groups(plan):
        passes = [turn.pass_number for turn in group.turns]
        assert passes == sorted(passes)
        for number in set(passes):
            taken = sorted(turn.variant for turn in group.turns if turn.pass_number == number)
            assert taken == sorted(group.variants)


def share_first(plans: list[Plan], variant: str) -> float:
    firsts = [made.groups[0].turns[0].variant for plan in plans for made in plan.rounds]
    return firsts.count(variant) / len(firsts)


def test_over_many_seeds_each_variant_is_equally_often_in_each_place() -> None:
    quick = scenario(a=awaited(0.05), b=awaited(0.05), c=awaited(0.05), d=awaited(0.05))
    many = [make_plan(quick, USERS_32, 3, 1, seed) for seed in range(700)]
    passes = [
        [turn.variant for turn in group.turns if turn.pass_number == number]
        for plan in many
        for group in groups(plan)
        for number in (0, 1, 2)
    ]
    for place in range(4):
        counts = Counter(taken[place] for taken in passes)
        # 6,300 passes; the standard deviation of a share is 0.55 %, and the seeds are fixed.
        assert all(abs(counts[name] / len(passes) - 0.25) < 0.025 for name in "abcd"), (place, counts)


def test_over_many_seeds_slow_and_shared_groups_come_first_equally_often() -> None:
    slow = scenario(a=blocked_loop(0.05), b=blocked_loop(0.05), c=awaited(0.05), d=awaited(0.05))
    many = [make_plan(slow, USERS_32, 3, 1, seed) for seed in range(500)]
    assert share_first(many, "a") == pytest.approx(1 / 3, abs=0.05)
    assert share_first(many, "b") == pytest.approx(1 / 3, abs=0.05)
    assert share_first(many, "c") == pytest.approx(1 / 6, abs=0.05)


# Which variants share a group


def test_slow_variants_are_alone_and_quick_ones_share() -> None:
    assert grouping(FOUR, rounds=3) == {frozenset({"trap"}), frozenset({"awaits", "defs", "pool"})}


def test_a_slow_computation_alone_is_measured_for_enough_requests() -> None:
    """0.1 s of CPU on a fast core, 0.25 s on a slow one: √(4 / 3) / 0.05 = 23 requests take 5.8 s."""
    variant = Variant("computes", "fix", "?", gil_bound(0.1))
    plan = make_plan(Scenario("made_up", "?", (variant,), "/"), Load(users=4), 1, 2.0, 1)
    (turn,) = plan.rounds[0].groups[0].turns
    assert turn.measure_s == pytest.approx(math.sqrt(4 / 3) / 0.05 * 0.25)


def test_a_variant_without_a_bound_is_alone() -> None:
    unknown = scenario(a=awaited(0.05), b=awaited(0.05), c=None)
    assert grouping(unknown) == {frozenset({"c"}), frozenset({"a", "b"})}


def test_a_variant_whose_latency_was_tried_shares() -> None:
    tried = Variant("c", "fix", "c", expected_latency_s=0.05)
    quick = scenario(a=awaited(0.05), b=awaited(0.05))
    assert grouping(replace(quick, variants=(*quick.variants, tried))) == {frozenset({"a", "b", "c"})}


def test_an_exclusive_variant_is_alone() -> None:
    queue = Variant("queue", "fix", "queue", awaited(0.05), exclusive=True)
    quick = scenario(a=awaited(0.05), b=awaited(0.05))
    assert grouping(replace(quick, variants=(*quick.variants, queue))) == {frozenset({"queue"}), frozenset({"a", "b"})}


def test_a_scenario_may_lengthen_the_warm_up_of_a_single_variant() -> None:
    slow = replace(scenario(slow=None), min_warmup_s=2.5)
    (made,) = groups(make_plan(slow, USERS_32, 1, 1, 1))
    assert [turn.warmup_s for turn in made.turns] == [2.5]


@pytest.mark.parametrize(("wait_s", "shares"), [(0.19, True), (0.21, False)])
def test_a_variant_that_does_not_fit_into_the_longest_turn_is_alone(wait_s: float, shares: bool) -> None:
    pair = scenario(a=awaited(wait_s), b=awaited(wait_s))
    assert grouping(pair) == ({frozenset({"a", "b"})} if shares else {frozenset({"a"}), frozenset({"b"})})


# A/A controls


def test_the_last_fix_that_shares_a_group_gets_a_control() -> None:
    two = scenario(first=awaited(0.05), last=awaited(0.05), slow=blocked_loop(0.05))
    (*before, control) = with_control(two, USERS_32).variants
    assert tuple(before) == two.variants
    assert (control.name, control.module, control.control_of) == ("last_control", "last", "last")
    assert (control.bound, control.role) == (awaited(0.05), "fix")
    assert grouping(with_control(two, USERS_32)) == {frozenset({"first", "last", "last_control"}), frozenset({"slow"})}


def test_a_control_is_served_as_its_variant_is() -> None:
    served = Variant("b", "fix", "b", awaited(0.05), uvicorn_options=("--loop", "uvloop"), same_file_as="a")
    (*_, control) = with_control(Scenario("made_up", "?", (served,), "/"), USERS_32).variants
    assert (control.uvicorn_options, control.module, control.control_of) == (served.uvicorn_options, "a", "b")


def test_where_no_variant_shares_a_fix_without_sidecars_gets_the_control() -> None:
    plain = Variant("plain", "fix", "plain", None)
    queue = Variant("queue", "fix", "queue", None, sidecars=(Sidecar("worker", ("python",), "ready"),))
    (*_, control) = with_control(Scenario("made_up", "?", (plain, queue), "/"), USERS_32).variants
    assert control.control_of == "plain"


def test_a_scenario_with_a_control_or_without_a_fix_stays_as_it_is() -> None:
    once = with_control(FOUR, USERS_32)
    assert with_control(once, USERS_32) == once
    unfixed = replace(FOUR, variants=(Variant("trap", "trap", "trap", awaited(0.05)),))
    assert with_control(unfixed, USERS_32) == unfixed


# How long


@given(plans)
def test_every_variant_is_measured_long_enough(plan: Plan) -> None:
    for group in groups(plan):
        for name in group.variants:
            measured_s = sum(turn.measure_s for turn in group.turns if turn.variant == name)
            assert measured_s >= NEARLY * plan.measure_s
            assert measured_s >= NEARLY * MIN_LATENCIES_MEASURED * latency_s(plan, group, name)


@given(plans)
def test_a_group_of_one_warms_up_and_then_measures(plan: Plan) -> None:
    for group in groups(plan):
        if len(group.variants) > 1:
            continue
        (turn,) = group.turns
        predicted_s = latency_s(plan, group, turn.variant)
        assert turn.pass_number == 1
        assert turn.warmup_s == pytest.approx(max(MIN_WARMUP_S, LATENCIES_WARMUP * predicted_s))
        assert turn.stagger_s == pytest.approx(predicted_s)


@given(plans)
def test_a_shared_group_warms_up_for_a_pass_and_takes_short_turns(plan: Plan) -> None:
    for group in groups(plan):
        if len(group.variants) == 1:
            continue
        first = [turn for turn in group.turns if turn.pass_number == 0]
        for turn in first:
            assert turn.measure_s == 0
            predicted_s = latency_s(plan, group, turn.variant)
            assert turn.warmup_s >= max(MIN_SHARED_WARMUP_S, LATENCIES_WARMUP * predicted_s)
        later = [turn for turn in group.turns if turn.pass_number > 0]
        assert later
        for turn in later:
            predicted_s = latency_s(plan, group, turn.variant)
            assert turn.measure_s >= NEARLY * MIN_LATENCIES_MEASURED * predicted_s
            assert turn.warmup_s >= NEARLY * max(MIN_TURN_WARMUP_S, predicted_s)
            assert turn.warmup_s + turn.measure_s <= MAX_TURN_S / NEARLY
        assert len({(turn.warmup_s, turn.measure_s) for turn in later}) == 1  # all variants get the same


@given(plans)
def test_turns_are_no_longer_than_the_measured_time_needs(plan: Plan) -> None:
    for group in groups(plan):
        if len(group.variants) == 1:
            continue
        passes = max(turn.pass_number for turn in group.turns)
        slowest_s = max(latency_s(plan, group, name) for name in group.variants)
        longest_s = max(plan.measure_s / passes, MIN_LATENCIES_MEASURED * slowest_s)
        assert all(turn.measure_s <= longest_s / NEARLY for turn in group.turns)


@pytest.mark.parametrize(
    ("service_s", "load", "turn"),
    [
        (0.00004, USERS_32, (0.02, 0.05, 40)),  # 1.3 ms: a turn of ten latencies would have next to no middle
        (0.0001, USERS_32, (0.02, 0.08, 25)),  # 3.2 ms, 8 on a slow machine: ten of those
        (0.0003, USERS_32, (0.048, 2 / 9, 9)),  # 9.6 ms, 24 on a slow machine
        (0.001, USERS_32, (0.1, 2 / 3, 3)),
        (0.004, USERS_32, (0.128, 2 / 3, 3)),  # 128 ms: as many latencies as fit into the longest turn
        (0.001, Load(rate_rps=100), (0.02, 0.2, 10)),  # 20 arrivals
        (0.001, Load(rate_rps=1), (0.02, 2 / 3, 3)),
    ],
)
def test_turns_are_as_short_as_the_latency_allows(service_s: float, load: Load, turn: tuple[float, float, int]) -> None:
    bound = UpperBound("1/c", service_s, 1, "cpu")
    (group,) = make_plan(scenario(a=bound, b=bound), load, 1, 2.0, 1).rounds[0].groups
    last = group.turns[-1]
    assert (last.warmup_s, last.measure_s, last.pass_number) == pytest.approx(turn)


def test_the_seconds_of_turns_add_up() -> None:
    turns = (Turn("a", 0, 1.0, 0.0), Turn("a", 1, 0.1, 0.4))
    assert ServerGroup("s", 1, 1, ("a",), USERS_32, turns, 1).load_s == pytest.approx(1.5)


def test_a_slow_variant_is_measured_longer() -> None:
    (trap,) = [group for group in make_plan(FOUR, USERS_32, 1, 1, 1).rounds[0].groups if "trap" in group.variants]
    (turn,) = trap.turns
    assert (turn.variant, turn.pass_number, turn.warmup_s, turn.stagger_s) == ("trap", 1, 3.2, 1.6)
    assert turn.measure_s == pytest.approx(6.4)


def test_the_profiles_are_the_documented_ones() -> None:
    documented = {"quick": (1, 2.0), "standard": (5, 2.0), "thorough": (12, 6.0)}
    assert {name: (profile.rounds, profile.measure_s) for name, profile in PROFILES.items()} == documented
    assert [name for name, profile in PROFILES.items() if profile.controls] == ["thorough"]


@pytest.mark.parametrize(("users", "rate_rps"), [(None, None), (32, 500.0)])
def test_a_load_is_either_users_or_arrivals(users: int | None, rate_rps: float | None) -> None:
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
