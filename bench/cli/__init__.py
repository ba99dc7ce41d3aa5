"""The commands behind the nox sessions: ``python -m bench run SCENARIO``, ``python -m bench report RUN`` and others.

Exit statuses: 0 all well; 1 something could not be measured, or not be trusted, or, with --check, a claim was refuted;
2 what was asked for is not allowed, and nothing was started; 130 interrupted.
"""

from __future__ import annotations

import math
import re
import secrets
import shlex
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from bench.calibrate.rows import PARTS
from bench.model import PROFILES, Load, Plan, Profile, Round, Scenario, ServerGroup
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.results import files, layout, schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.doctor.scan import ScanRequest
    from bench.results.schema import TrialRecord
    from bench.running.group import OnPhase
    from bench.running.run_record import Invocation

console = Console()

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_USERS = 1000
"""Each user has a connection, and a process usually 1,024 open files."""


class _Positive(click.FloatRange):
    """A positive number. The upper bound refuses 'inf', which is a float; 'nan' is one, too, within any bounds."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=1e6)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a positive number.", param, ctx)
        return number


POSITIVE = _Positive()


class _Sweep(click.ParamType[tuple[int, ...]]):
    """Numbers of users between commas."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if not all(
            word.isascii() and word.isdigit() and len(word) < 9 and 1 <= int(word) <= MAX_USERS for word in words
        ):
            self.fail(
                f"{value!r} is not numbers of users (1 to {MAX_USERS}) between commas, as in 1,8,32,128.", param, ctx
            )
        return tuple(sorted({int(word) for word in words}))


SWEEP = _Sweep()


class _Categories(click.ParamType[tuple[str, ...]]):
    """Categories of a server's state between commas, with hyphens: loop-blocked,threadpool-exhausted."""

    name = "CATEGORY,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        known = {category.lower().replace(" ", "-"): category for category in schema.CATEGORIES}
        words = str(value).split(",")
        if not all(word in known for word in words):
            self.fail(f"{value!r} is not among {', '.join(known)}, between commas.", param, ctx)
        return tuple(dict.fromkeys(words))


CATEGORY_NAMES = _Categories()
PLACE = click.Path(path_type=Path)

NOT_ALL_WELL = 1
"""Exit status where a trial could not be measured, or not be trusted."""


class Commands(click.Group):
    """``bench --app`` measures the user's own apps: it has options of its own, so it is a command of its own."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names."""
        if args[:1] == ["bench"] and any(word == "--app" or word.startswith("--app=") for word in args):
            return "bench", own_command, args[1:]
        return super().resolve_command(ctx, args)


HELP = """Measure which concurrency pattern a FastAPI endpoint needs, and what the wrong one costs.

\b
Examples:
  async-bench bench blocking --profile quick
  async-bench bench --app shop.main:app --path /report --rev main --rev HEAD
  async-bench doctor shop.main:app --app-dir backend
  async-bench web blocking
  async-bench report results/latest
  async-bench calibrate --part noise

Results go to ./results, or to --results DIR. `async-bench COMMAND --help` lists the options of a command.
"""


@click.group(cls=Commands, help=HELP)
@click.version_option(package_name="async-bench", message="%(version)s")
def app() -> None:
    pass


RESULTS = click.option(
    "--results", type=PLACE, default=Path("results"), show_default=True, help="Folder for the results."
)


@app.command("bench")
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="standard", show_default=True, help="Length.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; repeatable.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Number of rounds [default: the profile's]")
@click.option("--users", type=click.IntRange(1, MAX_USERS), help="Concurrent users [default: the scenario's]")
@click.option("--sweep", type=SWEEP, default=(), help="Also measure with these numbers of users: 1,8,32,128.")
@click.option("--rate", type=POSITIVE, help="Open model: arrivals a second, in place of looping users.")
@click.option("--measure-s", type=POSITIVE, help="Seconds measured for each variant and round.")
@click.option("--seed", type=click.IntRange(min=0), help="Random seed for order and arrivals. Always recorded.")
@click.option("--run", "name", metavar="NAME", help="Name of the run's folder. The same name resumes the run.")
@click.option("--check", is_flag=True, help="Exit with status 1 if a claim is refuted.")
@click.option("--apps", type=PLACE, default=catalogue.APPS, help="Folder with your own scenarios, like apps/.")
@RESULTS
def bench_command(
    scenarios: tuple[str, ...],
    profile: str,
    variants: tuple[str, ...],
    rounds: int | None,
    users: int | None,
    sweep: tuple[int, ...],
    rate: float | None,
    measure_s: float | None,
    seed: int | None,
    name: str | None,
    check: bool,
    apps: Path,
    results: Path,
) -> None:
    """Measure scenarios (all, if none is named) and draw the page. With --app: your own apps, see below.

    \b
    async-bench bench blocking cpu --profile quick
    async-bench bench --app shop.main:app --path /report --rev main --rev HEAD
    async-bench bench --app shop.main:app --help        lists the options for your own apps
    """
    if users is not None and rate is not None:
        raise UsageError("--users and --rate exclude each other: users loop, arrivals follow a schedule")
    if sweep and rate is not None:
        raise UsageError("--sweep and --rate exclude each other: a sweep is over numbers of looping users")
    apps = apps.absolute()
    names = scenarios or catalogue.names(apps)
    for name_ in names:  # a wrong name is refused before anything starts
        catalogue.load(name_, apps)
    catalogue.check_variants(variants, apps)
    asked = Asked(profile, variants, rounds, users, sweep, rate, measure_s, seed, check, apps)
    folder = results.absolute() / _run_name(name)
    statuses = [_bench(each, asked, folder, named=bool(scenarios)) for each in names]
    sys.exit(max(statuses, default=0))


@dataclass(frozen=True)
class Asked:
    """The options of ``bench``, apart from the scenario and the folder."""

    profile: str
    variants: tuple[str, ...]
    rounds: int | None
    users: int | None
    sweep: tuple[int, ...]
    rate: float | None
    measure_s: float | None
    seed: int | None
    check: bool
    apps: Path


def _bench(scenario: str, asked: Asked, folder: Path, *, named: bool) -> int:
    """Measure one scenario; the exit status."""
    profile, variants, rounds, users = asked.profile, asked.variants, asked.rounds, asked.users
    sweep, rate, measure_s, seed, check = asked.sweep, asked.rate, asked.measure_s, asked.seed, asked.check
    whole = catalogue.load(scenario, asked.apps)
    if missing := missing_packages(whole.extra):
        needs = f"{scenario} needs {', '.join(missing)}: install async-bench[{whole.extra}]"
        if named:
            raise UsageError(needs)
        console.print(f"skipped: {needs}", markup=False)
        return 0
    narrowed = catalogue.narrowed(whole, variants)
    if narrowed is None:
        console.print(f"{scenario}: skipped, it has no variant {' or '.join(variants)}")
        return 0
    if users is not None and whole.rate_rps is not None:
        raise UsageError(f"--users does not go with {scenario}: its load follows a schedule, use --rate")
    if sweep and whole.rate_rps is not None:
        console.print(f"{scenario}: not swept, its load follows a schedule")
        sweep = ()
    load = Load(rate_rps=rate) if rate is not None else Load(users=users) if users is not None else whole.default_load
    plan = _plan(narrowed, load, PROFILES[profile], rounds, measure_s, seed, folder, sweep)
    options = {
        "--profile": profile,
        "--rounds": rounds,
        "--users": users,
        "--sweep": ",".join(map(str, sweep)) or None,
        "--rate": rate,
        "--measure-s": measure_s,
    }
    words = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
    words += [word for variant in variants for word in ("--variant", variant)]
    return _measure(plan, folder, profile, words, check)


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


def _run_name(name: str | None) -> str:
    if name is None:
        return time.strftime("%Y-%m-%d_%H%M%S")
    if not RUN_NAME.fullmatch(name) or name == "latest":
        raise UsageError(f"a run's name is letters, digits, '.', '_' and '-' (and not 'latest'), not {name!r}")
    return name


def _plan(
    scenario: Scenario,
    load: Load,
    profile: Profile,
    rounds: int | None,
    measure_s: float | None,
    seed: int | None,
    folder: Path,
    sweep: tuple[int, ...],
) -> Plan:
    from bench.planning.schedule import make_plan, with_control
    from bench.running.run_record import seed_of

    if profile.controls:
        scenario = with_control(scenario, load)
    if seed is None:
        seed = seed_of(folder)
    if seed is None:
        seed = secrets.randbelow(1_000_000)
    loads = [Load(users=users) for users in sweep]
    return make_plan(scenario, load, rounds or profile.rounds, measure_s or profile.measure_s, seed, loads)


def _measure(plan: Plan, folder: Path, profile: str, options: list[str], check: bool) -> int:
    from bench.results.layout import logs_folder
    from bench.running.campaign import RoundHooks, measurement_lock, run_campaign, variants_without_evidence
    from bench.running.cores import cores_for
    from bench.running.group import run_group
    from bench.running.progress import CampaignProgress
    from bench.running.run_record import open_run
    from bench.running.services import Services

    _make_folder(folder.parent)
    with measurement_lock(folder.parent):
        _make_folder(folder)
        open_run(folder, plan, _invocation(profile, options))
        layout.point_latest(folder.parent, folder)
        scenario, cores = plan.scenario, cores_for(plan.scenario.parallel)
        services = Services(scenario.services, logs_folder(folder, scenario.name), cores.server if cores else None)

        def measure(group: ServerGroup, on_phase: OnPhase) -> list[TrialRecord]:
            return run_group(scenario, group, folder, on_phase, services)

        def after_round(_: Round) -> None:
            """A run that takes long has a page soon."""
            page = folder / "index.html"
            if len(plan.rounds) > 1 and not page.is_file():
                _draw(folder, quiet=True)
                console.print(f"first figures, one round: {page}", soft_wrap=True, highlight=False)

        with services, CampaignProgress(console, scenario.name) as progress:
            run_campaign(plan, folder, measure, progress, RoundHooks(services.reset, after_round))
    lacking = variants_without_evidence(folder, plan)
    if lacking:
        console.print(
            f"{scenario.name}: too few valid rounds of {', '.join(lacking)}. Close other programs and run the command "
            f"again with --run {folder.name}: it measures what is missing. Or give more --rounds.",
            soft_wrap=True,
        )
    drawn = _draw(folder, "--scenario", scenario.name, *(["--check"] if check else []))
    if drawn == NOT_ALL_WELL and not check:
        drawn = 0  # the report speaks of earlier rounds, too; this command's own trials decide its status
    return NOT_ALL_WELL if lacking else drawn


def _draw(folder: Path, *options: str, quiet: bool = False) -> int:
    """Draw in a process of its own, on this terminal: the measuring half has no pandas. Its exit status."""
    from bench.running.processes import run_in_foreground

    return run_in_foreground([sys.executable, "-m", "bench", "report", str(folder), *options], catalogue.ROOT, quiet)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"the results cannot be written to {folder}: {error.strerror or error}") from None


def _invocation(profile: str, options: list[str]) -> Invocation:
    from bench.running.fingerprint import fingerprint, git_state
    from bench.running.run_record import Invocation

    def command(scenarios: Sequence[str], seed: int) -> str:
        sessions = [f"bench({name})" for name in scenarios]
        return shlex.join(["nox", "-s", *sessions, "--", *options, "--seed", str(seed)])

    return Invocation(profile, command, fingerprint(), git_state(catalogue.ROOT))


def _web_invocation(scenarios: tuple[str, ...]) -> Invocation:
    from bench.running.fingerprint import fingerprint, git_state
    from bench.running.run_record import Invocation
    from bench.web.run_registry import PROFILE

    command = shlex.join(["nox", "-s", "web", *(["--", *scenarios] if scenarios else [])])
    return Invocation(PROFILE, lambda *_: command, fingerprint(), git_state(catalogue.ROOT))


def _doctor_command(request: ScanRequest, seed: int) -> str:
    """Measures again; what only the user knows (files, headers) is left to the user."""
    from bench.doctor.scan import ScanRequest

    app = ["--url", request.app.url] if request.app.url else [request.app.target]
    factory = ["--factory"] if request.app.factory else []
    users = ["--users", str(request.users)] if request.users != ScanRequest.users else []
    options = ["--", *request.options] if request.options else []
    return shlex.join(["nox", "-s", "doctor", "--", *app, *factory, *users, "--seed", str(seed), *options])


@click.command("bench")
@click.argument("uvicorn", nargs=-1, metavar="[-- UVICORN OPTIONS]")
@click.option(
    "--app", "targets", multiple=True, required=True, metavar="MODULE:APP", help="App to measure; repeatable."
)
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
@click.option("--run", "name", metavar="NAME", help="Name of the run's folder. The same name resumes the run.")
@click.option("--check", is_flag=True, help="Exit with status 1 if one serves fewer requests than the first.")
@click.option("--invoked-from", type=PLACE, default=Path(), hidden=True)
@RESULTS
def own_command(
    uvicorn: tuple[str, ...],
    targets: tuple[str, ...],
    path: str,
    method: str,
    body: str,
    health: str | None,
    revisions: tuple[str, ...],
    locustfile: Path | None,
    app_dir: Path | None,
    python: Path | None,
    env_file: Path | None,
    factory: bool,
    profile: str,
    rounds: int | None,
    users: int,
    measure_s: float | None,
    seed: int | None,
    name: str | None,
    check: bool,
    invoked_from: Path,
    results: Path,
) -> None:
    """Measure an endpoint of your own apps, or of one app at several git revisions, against each other."""
    from bench.cli import app_options
    from bench.compare import app_scenario
    from bench.running.campaign import measurement_lock

    base = invoked_from.absolute()
    apps = [app_options.served(each, app_dir=app_dir, python=python, factory=factory, base=base) for each in targets]
    asked = app_scenario.EndpointUnderTest(
        app_options.paths([path])[0],
        method.upper(),
        body,
        users,
        app_options.path(health),
        app_options.variables(env_file, base),
        app_options.options(uvicorn),
        app_options.locustfile(locustfile, base),
    )
    folder = results.absolute() / _run_name(name)
    words = ["--profile", profile, *(word for each in targets for word in ("--app", each)), "--path", path]
    words += [word for each in revisions for word in ("--rev", each)]
    _make_folder(folder.parent)
    with app_scenario.apps_to_compare(apps, revisions) as named:
        with measurement_lock(folder.parent):
            scenario = app_scenario.app_scenario(named, asked)
        plan = _plan(scenario, scenario.default_load, PROFILES[profile], rounds, measure_s, seed, folder, ())
        sys.exit(_measure(plan, folder, profile, words, check))


@app.command("doctor")
@click.argument("words", nargs=-1, metavar="MODULE:APP [-- UVICORN OPTIONS]")
@click.option("--url", help="Measure a server that runs already, without the probe.")
@click.option("--app-dir", type=PLACE, help="Folder to import the app from; its server runs there.")
@click.option("--python", type=PLACE, help="The app's own interpreter. Nothing is installed there.")
@click.option("--env-file", type=PLACE, help="File with variables for the app: NAME=value lines.")
@click.option("--factory", is_flag=True, help="MODULE:APP is a function that returns the app.")
@click.option("--openapi", metavar="PATH", help="Path of the OpenAPI document [default: as the app says]")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="Measure this path only; repeatable.")
@click.option("--include", multiple=True, metavar='"POST /x"', help="Also measure this unsafe operation; repeatable.")
@click.option("--exclude", multiple=True, metavar='"GET /x"', help="Skip this operation; repeatable.")
@click.option("--params", type=PLACE, help="JSON file with parameter values, by name or operation.")
@click.option(
    "--header", "headers", multiple=True, metavar='"Name: value"', help="Header sent with every request; repeatable."
)
@click.option("--prober", metavar="PATH", help="Path of the health probe [default: the fastest endpoint]")
@click.option(
    "--users",
    type=click.IntRange(1, MAX_USERS),
    default=32,
    show_default=True,
    help="Concurrent users at each endpoint.",
)
@click.option("--measure-s", type=POSITIVE, default=3.0, show_default=True, help="Seconds measured at each endpoint.")
@click.option("--fail-on", type=CATEGORY_NAMES, default=(), help="Exit with status 1 if one of these is found.")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Random seed for the load.")
@click.option("--run", "name", metavar="NAME", help="Name of the run's folder.")
@click.option("--invoked-from", type=PLACE, default=Path(), hidden=True)
@RESULTS
def doctor_command(
    words: tuple[str, ...],
    url: str | None,
    app_dir: Path | None,
    python: Path | None,
    env_file: Path | None,
    factory: bool,
    openapi: str | None,
    paths: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    params: Path | None,
    headers: tuple[str, ...],
    prober: str | None,
    users: int,
    measure_s: float,
    fail_on: tuple[str, ...],
    seed: int,
    name: str | None,
    invoked_from: Path,
    results: Path,
) -> None:
    """Measure an app as it is, and name the lines that hold it up: one page, with what each costs the others."""
    from bench.cli import app_options
    from bench.doctor.scan import ScanRequest

    base = invoked_from.absolute()
    if url is not None:
        own = {"MODULE:APP": words, "--fail-on": fail_on, "--app-dir": app_dir, "--python": python}
        app_options.check_alone("--url", {**own, "--env-file": env_file, "--factory": factory})
        served = app_options.running(url)
    else:
        target = app_options.first(words)
        served = app_options.served(target, app_dir=app_dir, python=python, factory=factory, base=base)
    asked = ScanRequest(
        served,
        app_options.variables(env_file, base),
        app_options.options(words[1:]),
        app_options.wishes(include, exclude, params, headers, base),
        app_options.path(openapi),
        app_options.paths(paths),
        prober,
        users,
        measure_s,
    )
    folder = results.absolute() / _run_name(name)
    if (folder / "run.json").exists():
        raise UsageError(f"there is a run {folder.name!r} already; choose another --run")
    sys.exit(_examine(asked, folder, seed, fail_on))


def _examine(asked: ScanRequest, folder: Path, seed: int, fail_on: tuple[str, ...]) -> int:
    from bench.doctor.scan import ScanRun, discover, scan
    from bench.doctor.scan_progress import ScanProgress
    from bench.running.campaign import measurement_lock
    from bench.running.fingerprint import fingerprint, git_state

    _make_folder(folder.parent)
    with measurement_lock(folder.parent):
        discovery = discover(asked)
        _make_folder(folder)
        layout.point_latest(folder.parent, folder)
        with ScanProgress(console) as show:
            run = ScanRun(folder, seed, fingerprint(), git_state(catalogue.ROOT), _doctor_command(asked, seed))
            well = scan(asked, discovery, run, show.begin)
    drawn = _draw(folder, *(("--fail-on", ",".join(fail_on)) if fail_on else ()))
    return drawn or (0 if well else NOT_ALL_WELL)


@app.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Draw every chart again, even if nothing changed.")
@click.option("--trials", type=click.Path(path_type=Path), hidden=True, help="Write each trial's figures there, first.")
@click.option("--check", is_flag=True, help="Exit with status 1 if a claim is refuted.")
@click.option("--scenario", help="Draw everything, but print and check this scenario only.")
@click.option("--fail-on", type=CATEGORY_NAMES, default=(), help="Exit with status 1 if the doctor found one of these.")
def report_command(
    run: Path, force: bool, check: bool, scenario: str | None, trials: Path | None, fail_on: tuple[str, ...]
) -> None:
    """Draw a run, or the calibration, again from its files, without measuring."""
    is_run = (run / "run.json").is_file()
    if not is_run and not (run / "calibration.json").is_file():
        raise UsageError(f"{run} is neither a run nor a calibration: it has no run.json and no calibration.json")
    from bench.report.draw import draw, draw_calibration, is_checkup
    from bench.report.formats.trials import write_trials
    from bench.report.text.terminal import claims_table

    if is_run and is_checkup(run):
        sys.exit(_report_checkup(run, fail_on))
    if not is_run:
        console.print(str(draw_calibration(run)), soft_wrap=True, highlight=False)
        return
    try:
        if trials is not None:
            write_trials(run, trials)
        drawn = draw(run, force=force)
    except files.BrokenFile as error:
        raise UsageError(str(error)) from None
    told = drawn if scenario is None else drawn.of(scenario)
    for table in told.tables:
        console.print(table)
    if told.claims:
        console.print(claims_table(told.claims))
    console.print(str(drawn.page), soft_wrap=True, highlight=False)
    refuted = check and any(claim.verdict == "refuted" for claim in told.claims)
    sys.exit(NOT_ALL_WELL if told.troubled or refuted else 0)


def _report_checkup(run: Path, fail_on: tuple[str, ...]) -> int:
    from bench.doctor.findings_page import draw_doctor_run

    try:
        drawn = draw_doctor_run(run, fail_on)
    except files.BrokenFile as error:
        raise UsageError(str(error)) from None
    console.print(drawn.table)
    console.print(str(drawn.page), soft_wrap=True, highlight=False)
    failing = drawn.report.failing(fail_on)
    for line in failing:
        console.print(f"fails: {escape(line)}", soft_wrap=True, highlight=False)
    return NOT_ALL_WELL if failing else 0


@app.command("calibrate")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this part; repeatable.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Number of rounds [default: each part's own]")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Random seed for the orders.")
@RESULTS
def calibrate_command(parts: tuple[str, ...], rounds: int | None, seed: int, results: Path) -> None:
    """Measure the harness itself on this machine, into results/calibration/."""
    from bench.calibrate.calibration_run import calibrate
    from bench.running.campaign import measurement_lock

    folder = results.absolute() / "calibration"
    _make_folder(folder.parent)
    with measurement_lock(folder.parent):
        _make_folder(folder)
        failed = calibrate(folder, parts or PARTS, rounds, seed, lambda line: console.print(line, highlight=False))
    sys.exit(_draw(folder) or (NOT_ALL_WELL if failed else 0))


@app.command("web")
@click.argument("scenarios", nargs=-1)
@click.option("--web-host", default="127.0.0.1", help="Address to listen on; beyond loopback a login is needed.")
@click.option("--web-port", type=click.IntRange(1, 65_535), default=8089, help="Port, or the next free one.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, help="Number of Locust processes.")
@click.option("--apps", type=click.Path(path_type=Path), default=catalogue.APPS, hidden=True)
@RESULTS
def web_command(
    scenarios: tuple[str, ...], web_host: str, web_port: int, processes: int, apps: Path, results: Path
) -> None:
    """Measure from Locust's web UI: every variant (of SCENARIOS) one click away. Ctrl-C ends it.

    Beyond loopback, the environment variables BENCH_WEB_USER and BENCH_WEB_PASSWORD say who may come in.
    """
    from bench.web.server import WebSettings, serve

    settings = WebSettings(web_host, web_port, processes, apps.absolute(), results.absolute(), scenarios)
    _make_folder(settings.results)
    folder = settings.results / _run_name(None)
    sys.exit(
        serve(
            settings,
            folder,
            _web_invocation(scenarios),
            lambda line: console.print(line, soft_wrap=True, highlight=False),
        )
    )


def main() -> NoReturn:
    """Run a command; every error a user can make ends as one line on stderr and status 2."""
    try:
        app(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except (click.ClickException, UsageError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        print("interrupted: finished rounds are kept; the same command with --run resumes", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
