"""``bench --app MODULE:APP``: measures an endpoint of the user's own apps against each other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from bench.cli.measuring import Length, alone_on_machine, make_invocation, make_plan_of, measure_plan
from bench.cli.option_types import (
    INVOKED_FROM,
    MAX_USERS,
    PLACE,
    POSITIVE,
    RESULTS,
    WAIT,
    command_words,
    recorded_command,
    run_name,
)
from bench.model import PROFILES


@dataclass(frozen=True)
class AppOptions:
    """The options of the command."""

    apps: tuple[str, ...]
    path: str
    uvicorn: tuple[str, ...] = ()
    method: str = "GET"
    body: str = ""
    health: str | None = None
    revisions: tuple[str, ...] = ()
    locustfile: Path | None = None
    app_dir: Path | None = None
    python: Path | None = None
    env_file: Path | None = None
    factory: bool = False
    profile: str = "standard"
    rounds: int | None = None
    users: int = 32
    measure_s: float | None = None
    seed: int | None = None
    run: str | None = None
    check: bool = False
    wait: bool = False
    invoked_from: Path = Path()
    results: Path = Path("results")

    def command(self, _: Sequence[str], seed: int) -> str:
        """The command line that measures the same again with ``seed``."""
        return recorded_command("bench", command_words(app_command, replace(self, seed=seed)))


@click.command("bench")
@click.argument("uvicorn", nargs=-1, metavar="[-- UVICORN OPTIONS]")
@click.option("--app", "apps", multiple=True, required=True, metavar="MODULE:APP", help="App to measure; repeatable.")
@click.option("--path", required=True, metavar="PATH", help="Path that the users request.")
@click.option("--method", default="GET", show_default=True, help="Method of the requests.")
@click.option("--body", default="", metavar="JSON", help="JSON body of the requests.")
@click.option("--health", metavar="PATH", help="Path of the health check [default: the first usual one that answers]")
@click.option(
    "--rev", "revisions", multiple=True, metavar="REVISION", help="Git revision of the app to compare; repeatable."
)
@click.option("--locustfile", type=PLACE, help="Your own locustfile; verdicts are about --path.")
@click.option("--app-dir", type=PLACE, help="Folder to import the app from; its server runs there.")
@click.option("--python", type=PLACE, help="The app's own interpreter. Nothing is installed there.")
@click.option("--env-file", type=PLACE, help="File with variables for the app: NAME=value lines.")
@click.option("--factory", is_flag=True, help="MODULE:APP is a function that returns the app.")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="standard", show_default=True, help="Length.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Number of rounds [default: the profile's]")
@click.option(
    "--users", type=click.IntRange(1, MAX_USERS), default=32, show_default=True, help="Number of concurrent users."
)
@click.option("--measure-s", type=POSITIVE, help="Seconds measured for each app and round.")
@click.option("--seed", type=click.IntRange(min=0), help="Random seed for the order. Always recorded.")
@click.option("--run", metavar="NAME", help="Name of the run's folder. The same name resumes the run.")
@click.option("--check", is_flag=True, help="Exit with status 1 if one serves fewer requests than the first.")
@WAIT
@INVOKED_FROM
@RESULTS
def app_command(**values: Any) -> None:
    """Measure an endpoint of your own apps, or of one app at several git revisions, against each other."""
    from bench.cli import app_options
    from bench.compare import app_scenario

    options = AppOptions(**values)
    base = options.invoked_from.absolute()
    where = {"app_dir": options.app_dir, "python": options.python}
    apps = [app_options.served(each, **where, factory=options.factory, base=base) for each in options.apps]
    endpoint = app_scenario.EndpointUnderTest(
        app_options.paths([options.path])[0],
        options.method.upper(),
        options.body,
        options.users,
        app_options.path(options.health),
        app_options.variables(options.env_file, base),
        app_options.options(options.uvicorn),
        app_options.locustfile(options.locustfile, base),
    )
    folder = options.results.absolute() / run_name(options.run)
    alone = alone_on_machine(f"bench --app {' '.join(options.apps)}", folder, options.wait)
    with alone, app_scenario.apps_to_compare(apps, options.revisions) as named:
        scenario = app_scenario.app_scenario(named, endpoint)
        length = Length(options.profile, options.rounds, options.measure_s, options.seed)
        plan = make_plan_of(scenario, scenario.default_load, length, folder)
        sys.exit(measure_plan(plan, folder, make_invocation(options.profile, options.command), options.check))
