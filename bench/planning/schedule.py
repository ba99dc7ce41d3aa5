"""Plans a run: scenario x load x profile x seed -> rounds -> lineups -> turns. Pure: the same seed, the same plan."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from bench.model import Load, Plan, Round, Scenario, ServerGroup, Turn, Variant

LATENCIES_MEASURED = 4
"""A trial lasts at least so many predicted latencies: fewer, and its edges weigh as much as its middle."""
LATENCIES_WARMUP = 2
WARMUP_S = 1.0
"""Of a variant alone at least: a fresh server imports lazily, starts threads and fills caches in its first second."""
SHARED_WARMUP_S = 0.3
"""Of each variant in a shared lineup, likewise: its server then still idles for the others' first turns, and the start
of every later turn is thrown away, too."""
LONGEST_TURN_S = 1.0
LATENCIES_A_TURN = 10
"""Measured in a turn, as far as that bound allows. Short, since the machine's speed changes between turns: on a noisy
host identical variants differed by 10 % a round with turns of 0.5 s, by 5 % with 0.12 s, for the same time measured. No
shorter, since every turn ends with a wait of one latency until its last request is back."""
TURN_S = 0.05
"""Measured in a turn at least: a few thousand requests a second come in bursts, which its edges cut."""
ARRIVALS_A_TURN = 20
"""Where a timetable drives: a turn in which hardly anybody comes tells nothing."""
TURN_WARMUP_S = (0.02, 0.1)
"""Cut from every turn: two latencies, until the users have come over and their bursts have spread, but no less than the
first and no more than the second, unless a single latency is longer."""


def make_plan(
    scenario: Scenario,
    load: Load,
    rounds: int,
    measure_s: float,
    seed: int,
    together: bool = True,
    sweep: Sequence[Load] = (),
) -> Plan:
    """Plan ``rounds`` of randomised complete blocks, each measuring every variant for about ``measure_s`` seconds.

    ``together`` lets quick variants share a lineup and take turns. ``sweep`` are loads besides: each of them gets as
    many rounds, in an order that is drawn anew each time.
    """
    besides = tuple(each for each in dict.fromkeys(sweep) if each != load)
    made: list[Round] = []
    for number in range(1, rounds + 1):
        loads = [load, *besides]
        random.Random(f"{seed}/{scenario.name}/loads/{number}").shuffle(loads)
        made += [_round(scenario, each, number, measure_s, seed, together) for each in loads]
    return Plan(scenario, load, seed, measure_s, tuple(made), besides)


def with_twin(scenario: Scenario, load: Load) -> Scenario:
    """The scenario with a twin of one of its fixes: what two names for the same thing differ by is the noise floor.

    It is the last fix that shares a lineup, since most comparisons are made there, or else the last without companions,
    whose twin would find its leftovers. A scenario that has a twin, or no such fix, stays as it is.
    """
    if any(variant.twin for variant in scenario.variants):
        return scenario
    fixes = [variant for variant in scenario.variants if variant.role == "fix" and not variant.sidecars]
    candidates = [variant for variant in fixes if _shares(variant, load)] or fixes
    if not candidates:
        return scenario
    last = candidates[-1]
    twin = replace(
        last, name=f"{last.name}_twin", summary=f"{last.summary}, once more", file=last.module, twin=last.name
    )
    return replace(scenario, variants=(*scenario.variants, twin))


def predicted_latency_s(variant: Variant, load: Load) -> float | None:
    """What the variant's law says that a request takes under ``load``, or else what a try did; None where neither."""
    return variant.latency_s if variant.bound is None else variant.bound.latency_s(load.users)


def _round(scenario: Scenario, load: Load, number: int, measure_s: float, seed: int, together: bool) -> Round:
    draw = random.Random(f"{seed}/{scenario.name}/{load.name}/{number}")
    groups = _groups(scenario, load, together)
    for group in groups:
        draw.shuffle(group)
    draw.shuffle(groups)
    lineups = [
        _lineup(scenario, load, number, index, group, measure_s, draw.getrandbits(32))
        for index, group in enumerate(groups, start=1)
    ]
    return Round(scenario.name, load, number, tuple(lineups))


def _groups(scenario: Scenario, load: Load, together: bool) -> list[list[Variant]]:
    sharing = [variant for variant in scenario.variants if together and _shares(variant, load)]
    alone = [[v] for v in scenario.variants if v not in sharing]
    return [*alone, sharing] if sharing else alone


def _shares(variant: Variant, load: Load) -> bool:
    latency_s = predicted_latency_s(variant, load)
    if variant.exclusive or latency_s is None:
        return False
    return _turn_warmup_s(latency_s) + LATENCIES_MEASURED * latency_s <= LONGEST_TURN_S


def _turn_warmup_s(latency_s: float) -> float:
    least_s, most_s = TURN_WARMUP_S
    return max(least_s, min(most_s, 2 * latency_s), latency_s)


def _lineup(
    scenario: Scenario, load: Load, number: int, index: int, group: list[Variant], measure_s: float, seed: int
) -> ServerGroup:
    names = tuple(variant.name for variant in group)
    turns = _one_turn(scenario, group[0], load, measure_s) if len(group) == 1 else _turns(group, load, measure_s, seed)
    return ServerGroup(scenario.name, number, index, names, load, turns, seed)


def _one_turn(scenario: Scenario, variant: Variant, load: Load, measure_s: float) -> tuple[Turn, ...]:
    latency_s = predicted_latency_s(variant, load) or 0.0
    warmup_s = max(WARMUP_S, scenario.warmup_s, LATENCIES_WARMUP * latency_s)
    return (Turn(variant.name, 1, warmup_s, max(measure_s, LATENCIES_MEASURED * latency_s), latency_s),)


def _turns(group: list[Variant], load: Load, measure_s: float, seed: int) -> tuple[Turn, ...]:
    latencies = {variant.name: predicted_latency_s(variant, load) or 0.0 for variant in group}
    slowest_s = max(latencies.values())
    warmup_s = _turn_warmup_s(slowest_s)
    arrivals_s = 0.0 if load.rate_rps is None else ARRIVALS_A_TURN / load.rate_rps
    longest_s = min(LONGEST_TURN_S - warmup_s, max(TURN_S, LATENCIES_A_TURN * slowest_s, arrivals_s))
    rotations = math.ceil(measure_s / longest_s - 1e-9)  # 2.4 / 0.4 is a little more than 6
    turn_s = max(measure_s / rotations, LATENCIES_MEASURED * slowest_s)
    draw = random.Random(seed)
    names = list(latencies)
    turns = []
    for rotation in range(rotations + 1):
        # Every other rotation is the mirror of the one before: what drifts steadily cancels out.
        if rotation % 2:
            draw.shuffle(names)
        else:
            names.reverse()
        for name in names:
            first = rotation == 0  # the fresh server's warm-up: thrown away whole
            turns.append(
                Turn(
                    name,
                    rotation,
                    max(SHARED_WARMUP_S, LATENCIES_WARMUP * slowest_s) if first else warmup_s,
                    0.0 if first else turn_s,
                    latencies[name],
                )
            )
    return tuple(turns)
