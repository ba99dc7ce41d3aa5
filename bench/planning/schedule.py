"""Plans a run: scenario x load x rounds x seed -> rounds -> groups -> turns. Pure: the same seed, the same plan."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from bench.model import Load, Plan, Round, Scenario, ServerGroup, Turn, Variant

MIN_LATENCIES_MEASURED = 4
"""A trial lasts at least this many predicted latencies. In a shorter one the edges weigh as much as the middle."""
MAX_EDGE_ERROR = 0.05
"""Largest standard error of Little's law in a trial of one turn. The edges of the measured part cut the requests of N users
at random ages, so that the error of n requests is √(N / 3) / n (docs/statistics.md)."""
CPU_SLACK = 2.5
"""How much slower than the fast core of an ``UpperBound`` of kind ``cpu`` a machine may be, for turns and trials to be long
enough. In a turn of four latencies a third of the requests are cut by its end, and the mean latency was up to 9 % off what
Little's law gives; in one of ten latencies it is a tenth of them."""
LATENCIES_WARMUP = 2
MIN_WARMUP_S = 1.0
"""Of a variant in a group to itself. In its first second a fresh server imports, starts threads and fills caches."""
MIN_SHARED_WARMUP_S = 0.3
"""Of each variant in a shared group. Its server has then been idle during the other variants' first turns, and the
start of every later turn is discarded, too."""
MAX_TURN_S = 1.0
LATENCIES_PER_TURN = 10
"""Measured in a turn, as far as MAX_TURN_S allows. Short, since the machine's speed changes between turns: on a noisy
host identical variants differed by 10 % a round with turns of 0.5 s, by 5 % with 0.12 s, for the same time measured. No
shorter, since every turn ends with a wait of one latency for its last answer."""
MIN_TURN_MEASURE_S = 0.05
"""Measured in a turn. A few thousand requests a second come in bursts, which the edges of a shorter turn would cut."""
MIN_ARRIVALS_PER_TURN = 20
"""In the open model. A turn with next to no arrivals says nothing."""
MIN_TURN_WARMUP_S, MAX_TURN_WARMUP_S = 0.02, 0.1
"""Discarded at the start of every turn: two latencies, within these limits, until the users have moved to the server
and their bursts have spread. Never less than one latency."""


def make_plan(
    scenario: Scenario, load: Load, rounds: int, measure_s: float, seed: int, sweep: Sequence[Load] = ()
) -> Plan:
    """Plan ``rounds`` of randomised complete blocks, each of which measures every variant for about ``measure_s``.

    Variants with short latencies share a group and take turns, unless they are exclusive. ``sweep`` are more loads:
    each of them gets as many rounds, in an order that is drawn anew for each round number.
    """
    more_loads = tuple(each for each in dict.fromkeys(sweep) if each != load)
    made: list[Round] = []
    for number in range(1, rounds + 1):
        loads = [load, *more_loads]
        random.Random(f"{seed}/{scenario.name}/loads/{number}").shuffle(loads)
        made += [_round(scenario, each, number, measure_s, seed) for each in loads]
    return Plan(scenario, load, seed, measure_s, tuple(made), more_loads)


def with_control(scenario: Scenario, load: Load) -> Scenario:
    """The scenario with an A/A control of one of its fixes: the difference between the two is the noise.

    The control repeats the last fix that shares a group, since most comparisons are made there. Without one it repeats
    the last fix without sidecars, because sidecars leave data behind that the control would find. The scenario stays as
    it is when it has a control already, or no such fix.
    """
    if any(variant.control_of for variant in scenario.variants):
        return scenario
    fixes = [variant for variant in scenario.variants if variant.role == "fix" and not variant.sidecars]
    candidates = [variant for variant in fixes if _shares(variant, load)] or fixes
    if not candidates:
        return scenario
    fix = candidates[-1]
    control = replace(
        fix,
        name=f"{fix.name}_control",
        summary=f"{fix.summary} (A/A control)",
        same_file_as=fix.module,
        control_of=fix.name,
    )
    return replace(scenario, variants=(*scenario.variants, control))


def predicted_latency_s(variant: Variant, load: Load) -> float | None:
    """Latency of a request under ``load``, by the variant's bound or by what a try showed. None without either."""
    return variant.expected_latency_s if variant.bound is None else variant.bound.min_latency_s(load.users)


def _round(scenario: Scenario, load: Load, number: int, measure_s: float, seed: int) -> Round:
    draw = random.Random(f"{seed}/{scenario.name}/{load.name}/{number}")
    shared_out = _shared_out(scenario, load)
    for variants in shared_out:
        draw.shuffle(variants)
    draw.shuffle(shared_out)
    groups: list[ServerGroup] = []
    for index, variants in enumerate(shared_out, start=1):
        names, group_seed = tuple(variant.name for variant in variants), draw.getrandbits(32)
        turns = _turns(scenario, variants, load, measure_s, group_seed)
        groups.append(ServerGroup(scenario.name, number, index, names, load, turns, group_seed))
    return Round(scenario.name, load, number, tuple(groups))


def _shared_out(scenario: Scenario, load: Load) -> list[list[Variant]]:
    """The variants of each group."""
    sharing = [variant for variant in scenario.variants if _shares(variant, load)]
    single = [[variant] for variant in scenario.variants if variant not in sharing]
    return [*single, sharing] if sharing else single


def _shares(variant: Variant, load: Load) -> bool:
    latency_s = predicted_latency_s(variant, load)
    if variant.exclusive or latency_s is None:
        return False
    return _turn_warmup_s(latency_s, latency_s) + MIN_LATENCIES_MEASURED * latency_s <= MAX_TURN_S


def _turn_warmup_s(latency_s: float, latency_here_s: float) -> float:
    """From the predicted latency, and the one that it may be on this machine."""
    return max(MIN_TURN_WARMUP_S, min(MAX_TURN_WARMUP_S, LATENCIES_WARMUP * latency_here_s), latency_s)


def _turns(scenario: Scenario, variants: list[Variant], load: Load, measure_s: float, seed: int) -> tuple[Turn, ...]:
    if len(variants) == 1:
        return (_single_turn(scenario, variants[0], load, measure_s),)
    return _alternating_turns(variants, load, measure_s, seed, scenario.min_passes)


def _single_turn(scenario: Scenario, variant: Variant, load: Load, measure_s: float) -> Turn:
    latency_s = predicted_latency_s(variant, load) or 0.0
    warmup_s = max(MIN_WARMUP_S, scenario.min_warmup_s, LATENCIES_WARMUP * latency_s)
    measured_s = max(measure_s, MIN_LATENCIES_MEASURED * latency_s, _enough_requests_s(variant, load))
    return Turn(variant.name, 1, warmup_s, measured_s, latency_s)


def _enough_requests_s(variant: Variant, load: Load) -> float:
    """How long looping users need for so many requests that the edges do not matter; 0 where that is not known."""
    if load.users is None or variant.bound is None:
        return 0.0
    request_s = _slack(variant) * variant.bound.min_latency_s(load.users) / load.users
    return math.sqrt(load.users / 3) / MAX_EDGE_ERROR * request_s


def _slack(variant: Variant) -> float:
    """How much longer than predicted an answer may take on a slow machine."""
    return CPU_SLACK if variant.bound is not None and variant.bound.kind == "cpu" else 1.0


def _alternating_turns(
    variants: list[Variant], load: Load, measure_s: float, seed: int, min_passes: int
) -> tuple[Turn, ...]:
    latencies_s = {variant.name: predicted_latency_s(variant, load) or 0.0 for variant in variants}
    slowest_s = max(latencies_s.values())
    slowest_here_s = max(_slack(variant) * latencies_s[variant.name] for variant in variants)
    warmup_s = _turn_warmup_s(slowest_s, slowest_here_s)
    first_warmup_s = max(MIN_SHARED_WARMUP_S, LATENCIES_WARMUP * slowest_s)
    arrivals_s = 0.0 if load.rate_rps is None else MIN_ARRIVALS_PER_TURN / load.rate_rps
    longest_s = min(MAX_TURN_S - warmup_s, max(MIN_TURN_MEASURE_S, LATENCIES_PER_TURN * slowest_here_s, arrivals_s))
    passes = math.ceil(measure_s / longest_s - 1e-9)  # 2.4 / 0.4 is a little more than 6
    turn_s = max(measure_s / passes, MIN_LATENCIES_MEASURED * slowest_s)
    turns = [Turn(name, 0, first_warmup_s, 0.0, latencies_s[name]) for name in _first_pass(latencies_s)]
    draw = random.Random(seed)
    names = _first_pass(latencies_s)
    for number in range(1, max(passes, min_passes) + 1):
        # Every other pass is the mirror of the one before, so that a steady drift cancels out.
        if number % 2:
            draw.shuffle(names)
        else:
            names.reverse()
        turns += [Turn(name, number, warmup_s, turn_s, latencies_s[name]) for name in names]
    return tuple(turns)


def _first_pass(latencies_s: dict[str, float]) -> list[str]:
    """Order of the warm-up. The servers were started in the opposite order."""
    return list(reversed(latencies_s))
