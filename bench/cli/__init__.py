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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from bench.calibrate.rows import PARTS
from bench.model import PROFILES, Load, Plan, Profile, Scenario
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.results import files, layout, schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.doctor.scan import ScanRequest
    from bench.running.run_record import Invocation

console = Console()

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
USERS_MOST = 1000
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
            word.isascii() and word.isdigit() and len(word) < 9 and 1 <= int(word) <= USERS_MOST for word in words
        ):
            self.fail(
                f"{value!r} is not numbers of users (1 to {USERS_MOST}) between commas, as in 1,8,32,128.", param, ctx
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

TROUBLED = 1
"""Exit status where a trial could not be measured, or not be trusted."""


@click.group()
def app() -> None:
    """Measure which concurrency pattern a FastAPI endpoint needs."""


@app.command("run")
@click.argument("scenario")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="standard", help="How long to measure.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Instead of the profile's.")
@click.option("--users", type=click.IntRange(1, USERS_MOST), help="Instead of the scenario's.")
@click.option("--sweep", type=SWEEP, default=(), help="Besides, under each of these numbers of users: 1,8,32,128.")
@click.option("--rate", type=POSITIVE, help="Open model: so many arrivals a second instead of looping users.")
@click.option("--measure-s", type=POSITIVE, help="Seconds measured a variant and round.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the order and the arrivals; recorded in any case.")
@click.option("--run", "name", metavar="NAME", help="The results' folder; the same name again resumes.")
@click.option("--check", is_flag=True, help="Exit with 1 when a claim is refuted.")
@click.option("--apps", type=PLACE, default=catalogue.APPS, help="Your own scenarios, in a folder laid out like apps/.")
@click.option("--results", type=click.Path(path_type=Path), default=catalogue.ROOT / "results", hidden=True)
def run_command(
    scenario: str,
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
    """Measure one scenario into results/<run>/ and draw the page."""
    if users is not None and rate is not None:
        raise UsageError("--users and --rate exclude each other: users loop, arrivals come by a timetable")
    if sweep and rate is not None:
        raise UsageError("--sweep and --rate exclude each other: a sweep is over numbers of looping users")
    whole = catalogue.load(scenario, apps.absolute())
    catalogue.check_variants(variants, apps.absolute())
    narrowed = catalogue.narrowed(whole, variants)
    if narrowed is None:
        console.print(f"{scenario}: passed over, it has no variant called {' or '.join(variants)}")
        return
    if users is not None and whole.rate_rps is not None:
        raise UsageError(f"--users does not go with {scenario}: its load comes by a timetable, use --rate")
    if sweep and whole.rate_rps is not None:
        console.print(f"{scenario}: not swept, its load comes by a timetable and not by users")
        sweep = ()
    folder = results.absolute() / _run_name(name)
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
    sys.exit(_measure(plan, folder, profile, words, check))


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
    from bench.running.campaign import measurement_lock, run_campaign
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
        with services, CampaignProgress(console, scenario.name) as show:
            outcome = run_campaign(
                plan,
                folder,
                lambda lineup, watch: run_group(scenario, lineup, folder, watch, services),
                show,
                services.reset,
            )
    drawn = _draw(folder, "--scenario", scenario.name, *(["--check"] if check else []))
    if drawn == TROUBLED and not check:
        drawn = 0  # the report speaks of earlier rounds, too; this command's own trials decide its status
    return TROUBLED if outcome.not_ok else drawn


def _draw(folder: Path, *options: str) -> int:
    """Draw in a process of its own, on this terminal: the measuring half has no pandas. Its exit status."""
    from bench.running.processes import run_in_foreground

    return run_in_foreground([sys.executable, "-m", "bench", "report", str(folder), *options], cwd=catalogue.ROOT)


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


@app.command("own")
@click.argument("uvicorn", nargs=-1, metavar="[-- UVICORN OPTIONS]")
@click.option("--app", "targets", multiple=True, required=True, metavar="MODULE:APP", help="To measure; repeatable.")
@click.option("--path", required=True, metavar="PATH", help="What the users ask for.")
@click.option("--method", default="GET", show_default=True, help="How they ask for it.")
@click.option("--body", default="", metavar="JSON", help="What they send along.")
@click.option(
    "--health", metavar="PATH", help="What the health prober asks; by default what answers of the usual ones."
)
@click.option("--rev", "revisions", multiple=True, metavar="REVISION", help="Of the app's git repository; repeatable.")
@click.option("--locustfile", type=PLACE, help="Users of your own; --path is then what the verdicts are about.")
@click.option("--app-dir", type=PLACE, help="Where the apps are importable, and where their servers run.")
@click.option("--python", type=PLACE, help="Their own interpreter, with its own packages; nothing is installed there.")
@click.option("--env-file", type=PLACE, help="Variables for their servers, a line each: NAME=value.")
@click.option("--factory", is_flag=True, help="MODULE:APP is a function that makes the app.")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="standard", help="How long to measure.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Instead of the profile's.")
@click.option("--users", type=click.IntRange(1, USERS_MOST), default=32, show_default=True, help="Who loop.")
@click.option("--measure-s", type=POSITIVE, help="Seconds measured an app and round.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the order; recorded in any case.")
@click.option("--run", "name", metavar="NAME", help="The results' folder; the same name again resumes.")
@click.option("--check", is_flag=True, help="Exit with 1 when one serves fewer requests than the first.")
@click.option("--invoked-from", type=PLACE, default=Path(), hidden=True)
@click.option("--results", type=click.Path(path_type=Path), default=catalogue.ROOT / "results", hidden=True)
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
@click.option("--url", help="A server that runs already, in place of MODULE:APP: measured without the probe.")
@click.option("--app-dir", type=PLACE, help="Where the app is importable, and where its server runs.")
@click.option("--python", type=PLACE, help="Its own interpreter, with its own packages; nothing is installed there.")
@click.option("--env-file", type=PLACE, help="Variables for its server, a line each: NAME=value.")
@click.option("--factory", is_flag=True, help="MODULE:APP is a function that makes the app.")
@click.option("--openapi", metavar="PATH", help="Where its OpenAPI document is, if not where the app says.")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="Ask this, in place of what the document has.")
@click.option("--include", multiple=True, metavar='"POST /x"', help="Ask this operation, too, though it is not safe.")
@click.option("--exclude", multiple=True, metavar='"GET /x"', help="Leave this operation alone.")
@click.option("--params", type=PLACE, help="JSON with values for parameters, by name or by operation.")
@click.option("--header", "headers", multiple=True, metavar='"Name: value"', help="Sent with every request.")
@click.option("--prober", metavar="PATH", help="What stands for the others; by default the cheapest endpoint.")
@click.option("--users", type=click.IntRange(1, USERS_MOST), default=32, show_default=True, help="At each endpoint.")
@click.option("--measure-s", type=POSITIVE, default=3.0, show_default=True, help="Seconds at each endpoint.")
@click.option("--fail-on", type=CATEGORY_NAMES, default=(), help="Exit with 1 where one of these is found.")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Of the load.")
@click.option("--run", "name", metavar="NAME", help="The results' folder.")
@click.option("--invoked-from", type=PLACE, default=Path(), hidden=True)
@click.option("--results", type=click.Path(path_type=Path), default=catalogue.ROOT / "results", hidden=True)
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
    return drawn or (0 if well else TROUBLED)


@app.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Draw every chart again, changed or not.")
@click.option("--trials", type=click.Path(path_type=Path), hidden=True, help="Write each trial's figures there, first.")
@click.option("--check", is_flag=True, help="Exit with 1 when a claim is refuted.")
@click.option("--scenario", help="Draw all, but say and check only what this one found.")
@click.option("--fail-on", type=CATEGORY_NAMES, default=(), help="Exit with 1 where the doctor found one of these.")
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
    sys.exit(TROUBLED if told.troubled or refuted else 0)


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
    return TROUBLED if failing else 0


@app.command("calibrate")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this one; repeatable.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Instead of each part's own.")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Of the orders.")
@click.option("--results", type=click.Path(path_type=Path), default=catalogue.ROOT / "results", hidden=True)
def calibrate_command(parts: tuple[str, ...], rounds: int | None, seed: int, results: Path) -> None:
    """Measure the harness itself on this machine, into results/calibration/."""
    from bench.calibrate.calibration_run import calibrate
    from bench.running.campaign import measurement_lock

    folder = results.absolute() / "calibration"
    _make_folder(folder.parent)
    with measurement_lock(folder.parent):
        _make_folder(folder)
        failed = calibrate(folder, parts or PARTS, rounds, seed, lambda line: console.print(line, highlight=False))
    sys.exit(_draw(folder) or (TROUBLED if failed else 0))


@app.command("web")
@click.argument("scenarios", nargs=-1)
@click.option("--web-host", default="127.0.0.1", help="Beyond loopback it takes a login, see BENCH_WEB_USER below.")
@click.option("--web-port", type=click.IntRange(1, 65_535), default=8089, help="Or the next that is free.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, help="Locust processes that make the load.")
@click.option("--apps", type=click.Path(path_type=Path), default=catalogue.APPS, hidden=True)
@click.option("--results", type=click.Path(path_type=Path), default=catalogue.ROOT / "results", hidden=True)
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
