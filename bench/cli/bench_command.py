"""``bench SCENARIO...``: measures scenarios of the catalogue."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from bench.cli.measuring import Length, alone_on_machine, console, make_invocation, make_plan_of, measure_plan
from bench.cli.option_types import (
    MAX_USERS,
    PLACE,
    POSITIVE,
    RESULTS,
    SWEEP,
    WAIT,
    command_words,
    recorded_command,
    run_name,
)
from bench.cli.own_services import own_service_urls, own_services, with_own_services
from bench.model import PROFILES, Load, Scenario
from bench.model.errors import UsageError
from bench.planning import catalogue


@dataclass(frozen=True)
class BenchOptions:
    """The options of the command. None where the scenario or the profile decides."""

    scenarios: tuple[str, ...] = ()
    profile: str = "standard"
    variants: tuple[str, ...] = ()
    rounds: int | None = None
    users: int | None = None
    sweep: tuple[int, ...] = ()
    rate: float | None = None
    measure_s: float | None = None
    seed: int | None = None
    run: str | None = None
    check: bool = False
    database_url: str | None = None
    redis_url: str | None = None
    wait: bool = False
    apps: Path = catalogue.APPS
    results: Path = Path("results")

    def __post_init__(self) -> None:
        if self.users is not None and self.rate is not None:
            raise UsageError("--users and --rate exclude each other: users loop, arrivals follow a schedule")
        if self.sweep and self.rate is not None:
            raise UsageError("--sweep and --rate exclude each other: a sweep is over numbers of looping users")

    def command(self, scenarios: Sequence[str], seed: int) -> str:
        """The command line that measures ``scenarios`` again with ``seed``."""
        words = command_words(bench_command, replace(self, scenarios=(), seed=seed))
        return recorded_command("bench", words, scenarios)


@click.command("bench")
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="standard", show_default=True, help="Length.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; repeatable.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Number of rounds [default: the profile's]")
@click.option("--users", type=click.IntRange(1, MAX_USERS), help="Concurrent users [default: the scenario's]")
@click.option("--sweep", type=SWEEP, default=(), help="Also measure with these numbers of users: 1,8,32,128.")
@click.option("--rate", type=POSITIVE, help="Open model: arrivals a second, in place of looping users.")
@click.option("--measure-s", type=POSITIVE, help="Seconds measured for each variant and round.")
@click.option("--seed", type=click.IntRange(min=0), help="Random seed for order and arrivals. Always recorded.")
@click.option("--run", metavar="NAME", help="Name of the run's folder. The same name resumes the run.")
@click.option("--check", is_flag=True, help="Exit with status 1 if a claim is refuted.")
@own_services
@WAIT
@click.option("--apps", type=PLACE, default=catalogue.APPS, help="Folder with your own scenarios, like apps/.")
@RESULTS
def bench_command(**values: Any) -> None:
    """Measure scenarios (all, if none is named) and draw the page. With --app: your own apps, see below.

    \b
    async-bench bench blocking cpu --profile quick
    async-bench bench --app shop.main:app --path /report --rev main --rev HEAD
    async-bench bench --app shop.main:app --help        lists the options for your own apps
    """
    options = BenchOptions(**values)
    apps = options.apps.absolute()
    names = options.scenarios or catalogue.names(apps)
    scenarios = [catalogue.load(name, apps) for name in names]  # a wrong name is refused before anything starts
    catalogue.check_variants(options.variants, apps)
    folder = options.results.absolute() / run_name(options.run)
    urls = own_service_urls(options.database_url, options.redis_url)
    scenarios = [with_own_services(scenario, urls) for scenario in scenarios]
    sys.exit(max((_measured(scenario, options, folder) for scenario in scenarios), default=0))


def _measured(whole: Scenario, options: BenchOptions, folder: Path) -> int:
    """Measure one scenario. Returns the exit status."""
    if missing := missing_packages(whole.extra):
        needs = f"{whole.name} needs {', '.join(missing)}: install async-bench[{whole.extra}]"
        if options.scenarios:
            raise UsageError(needs)
        console.print(f"skipped: {needs}", markup=False)
        return 0
    scenario = catalogue.narrowed(whole, options.variants)
    if scenario is None:
        console.print(f"{whole.name}: skipped, it has no variant {' or '.join(options.variants)}")
        return 0
    load, sweep = _load(whole, options), options.sweep
    if sweep and whole.rate_rps is not None:
        console.print(f"{whole.name}: not swept, its load follows a schedule")
        sweep = ()
    length = Length(options.profile, options.rounds, options.measure_s, options.seed, sweep)
    plan = make_plan_of(scenario, load, length, folder)
    invocation = make_invocation(options.profile, replace(options, sweep=sweep).command)
    with alone_on_machine(f"bench {scenario.name}", folder, options.wait):
        return measure_plan(plan, folder, invocation, options.check)


def _load(scenario: Scenario, options: BenchOptions) -> Load:
    if options.users is not None and scenario.rate_rps is not None:
        raise UsageError(f"--users does not go with {scenario.name}: its load follows a schedule, use --rate")
    if options.rate is not None:
        return Load(rate_rps=options.rate)
    return Load(users=options.users) if options.users is not None else scenario.default_load


def missing_packages(extra: str) -> list[str]:
    """Distributions of an extra of async-bench that are not installed. Empty in a checkout, where nox installs them."""
    try:
        requirements = metadata.requires("async-bench") or []
    except metadata.PackageNotFoundError:
        return []
    needed = [each for each in requirements if extra and f'extra == "{extra}"' in each.replace("'", '"')]
    names = [re.split(r"[\s;\[<>=!~(]", each, maxsplit=1)[0] for each in needed]
    return [name for name in names if not _is_installed(name)]


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
