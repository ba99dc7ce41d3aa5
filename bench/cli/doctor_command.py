"""``doctor MODULE:APP``: finds the lines that hold a user's app up."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.measuring import NOT_ALL_WELL, alone_on_machine, console, draw_run, make_folder, print_line
from bench.cli.option_types import (
    CATEGORY_NAMES,
    INVOKED_FROM,
    MAX_USERS,
    PLACE,
    POSITIVE,
    RESULTS,
    SHARE,
    WAIT,
    command_words,
    recorded_command,
    run_name,
)
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.results import layout

if TYPE_CHECKING:
    from bench.doctor.discovery import ScanRequest
    from bench.model import AppSource


LOCUST_S = 5
"""How long a locustfile is run to record what its users request."""


@dataclass(frozen=True)
class DoctorOptions:
    """The options of the command."""

    words: tuple[str, ...] = ()
    """The app, and uvicorn's own options after it."""
    url: str | None = None
    app_dir: Path | None = None
    python: Path | None = None
    env_file: Path | None = None
    factory: bool = False
    openapi: str | None = None
    paths: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    include_writes: bool = False
    yes: bool = False
    reset_command: str = ""
    exclude: tuple[str, ...] = ()
    params: Path | None = None
    generate: bool = False
    headers: tuple[str, ...] = ()
    login: str | None = None
    login_data: Path | None = None
    har: Path | None = None
    access_log: Path | None = None
    locustfile: Path | None = None
    drive: str = ""
    prober: str | None = None
    users: int = 32
    measure_s: float = 2.5
    fail_on: tuple[str, ...] = ()
    min_coverage: float | None = None
    show_list: bool = False
    write_params: Path | None = None
    seed: int = 1
    run: str | None = None
    wait: bool = False
    invoked_from: Path = Path()
    results: Path = Path("results")

    def command(self) -> str:
        """The command line that measures the same again. Values of headers are left out: they may be secret."""
        return recorded_command("doctor", command_words(doctor_command, self))


@click.command("doctor")
@click.argument("words", nargs=-1, metavar="MODULE:APP [-- UVICORN OPTIONS]")
@click.option("--url", help="Measure a server that runs already, without the probe.")
@click.option("--app-dir", type=PLACE, help="Folder to import the app from; its server runs there.")
@click.option("--python", type=PLACE, help="The app's own interpreter. Nothing is installed there.")
@click.option("--env-file", type=PLACE, help="File with variables for the app: NAME=value lines.")
@click.option("--factory", is_flag=True, help="MODULE:APP is a function that returns the app.")
@click.option("--openapi", metavar="PATH", help="Path of the OpenAPI document [default: as the app says]")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="Measure this path only; repeatable.")
@click.option(
    "--include",
    multiple=True,
    metavar='"POST /x*"',
    help="Also measure these unsafe operations; repeatable, * is any text.",
)
@click.option("--include-writes", is_flag=True, help="Measure unsafe operations, too: the app's data may be changed.")
@click.option("--yes", is_flag=True, help="Do not ask before unsafe operations are sent.")
@click.option("--reset-command", default="", metavar="COMMAND", help="Puts the app's data back, before each operation.")
@click.option("--exclude", multiple=True, metavar='"GET /x*"', help="Skip these operations; repeatable, * is any text.")
@click.option("--params", type=PLACE, help="JSON file with parameter values, by name or operation.")
@click.option("--generate", is_flag=True, help="Make up values that are not known, by the document's schemas.")
@click.option(
    "--header", "headers", multiple=True, metavar='"Name: value"', help="Header sent with every request; repeatable."
)
@click.option(
    "--login", metavar='"POST /token"', help="Operation that logs in; its token or cookie is sent from then on."
)
@click.option("--login-data", type=PLACE, help="JSON file with the fields that the login takes.")
@click.option("--har", type=PLACE, help="HAR file, as a browser saves it: ask what it holds.")
@click.option("--access-log", type=PLACE, help="Access log in the common or combined format: ask its GET requests.")
@click.option("--locustfile", type=PLACE, help="Your locustfile: ask what its users request in five seconds.")
@click.option("--drive", default="", metavar="COMMAND", help="Your command that sends requests to {url}: ask those.")
@click.option("--prober", metavar="PATH", help="Path of the health probe [default: the fastest endpoint]")
@click.option(
    "--users", type=click.IntRange(1, MAX_USERS), default=32, show_default=True, help="Users at each endpoint."
)
@click.option("--measure-s", type=POSITIVE, default=2.5, show_default=True, help="Seconds measured at each endpoint.")
@click.option("--fail-on", type=CATEGORY_NAMES, default=(), help="Exit with status 1 if one of these is found.")
@click.option("--min-coverage", type=SHARE, help="Exit with status 1 if fewer of the operations were asked.")
@click.option("--list", "show_list", is_flag=True, help="Show what would be asked, and measure nothing.")
@click.option("--write-params", type=PLACE, help="Write a file for --params, gaps marked, and measure nothing.")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Random seed for the load.")
@click.option("--run", metavar="NAME", help="Name of the run's folder.")
@WAIT
@INVOKED_FROM
@RESULTS
def doctor_command(**values: Any) -> None:
    """Measure an app as it is, and name the lines that hold it up: one page, with what each costs the others."""
    from bench.cli import app_options
    from bench.doctor.discovery import ScanRequest

    options = DoctorOptions(**values)
    base = options.invoked_from.absolute()
    traffic, source = app_options.traffic(options.har, options.access_log, base)
    request = ScanRequest(
        _app(options, base),
        app_options.variables(options.env_file, base),
        app_options.options(options.words[1:]),
        replace(
            app_options.wishes(options.include, options.exclude, options.params, options.headers, base),
            include_writes=options.include_writes,
            generate=options.generate,
        ),
        app_options.path(options.openapi),
        app_options.paths(options.paths),
        options.prober,
        options.users,
        options.measure_s,
        app_options.login(options.login, options.login_data, base),
        traffic,
        source,
        _drive(options, base),
        app_options.command("--reset-command", options.reset_command),
    )
    if options.show_list or options.write_params:
        sys.exit(_list(request, options, base))
    folder = options.results.absolute() / run_name(options.run)
    if (folder / "run.json").exists():
        raise UsageError(f"there is a run {folder.name!r} already; choose another --run")
    sys.exit(_scan(request, folder, options))


def _app(options: DoctorOptions, base: Path) -> AppSource:
    from bench.cli import app_options

    if options.url is None:
        target = app_options.first(options.words)
        where = {"app_dir": options.app_dir, "python": options.python}
        return app_options.served(target, **where, factory=options.factory, base=base)
    app_options.check_alone(
        "--url",
        {
            "MODULE:APP": options.words,
            "--fail-on": options.fail_on,
            "--app-dir": options.app_dir,
            "--python": options.python,
            "--env-file": options.env_file,
            "--factory": options.factory,
            "--drive": options.drive,
            "--locustfile": options.locustfile,
        },
    )
    return app_options.running(options.url)


def _drive(options: DoctorOptions, base: Path) -> str:
    """The command that sends requests to the app: the user's own, or Locust with the user's locustfile."""
    from bench.cli import app_options

    if options.locustfile is None:
        return app_options.command("--drive", options.drive)
    if options.drive:
        raise UsageError("--drive and --locustfile exclude each other")
    file = app_options.locustfile(options.locustfile, base)
    words = [sys.executable, "-m", "locust", "--locustfile", file, "--headless", "--only-summary", "--host", "{url}"]
    return shlex.join([*words, "--users", "5", "--spawn-rate", "5", "--run-time", f"{LOCUST_S}s"])


def _scan(request: ScanRequest, folder: Path, options: DoctorOptions) -> int:
    from bench.doctor.discovery import Dialog, discover
    from bench.doctor.scan import ScanRun, scan
    from bench.doctor.scan_progress import ScanProgress, waiting
    from bench.running.fingerprint import fingerprint, git_state

    with alone_on_machine(f"doctor {' '.join(options.words) or options.url}", folder, options.wait):
        with waiting(console) as shown:
            discovery = discover(
                request, Dialog(shown.notice, lambda names: shown.aside(lambda: _confirm(names, options)))
            )
        make_folder(folder)
        layout.point_latest(folder.parent, folder)
        with ScanProgress(console) as progress:
            run = ScanRun(folder, options.seed, fingerprint(), git_state(catalogue.ROOT), options.command())
            complete = scan(request, discovery, run, progress.begin)
    checks = ["--fail-on", ",".join(options.fail_on)] if options.fail_on else []
    checks += ["--min-coverage", f"{options.min_coverage:.4%}"] if options.min_coverage is not None else []
    drawn = draw_run(folder, *checks)
    return drawn or (0 if complete else NOT_ALL_WELL)


def _confirm(names: Sequence[str], options: DoctorOptions) -> None:
    """Ask before operations are sent that may change data. UsageError where nobody agrees."""
    if not names or options.yes or not options.include_writes:
        return  # what --include names was named on purpose
    print_line("These operations may change the app's data, and are sent many times:")
    for name in names:
        print_line(f"  {name}")
    if not sys.stdin.isatty():
        raise UsageError("--include-writes needs --yes where nobody can be asked")
    if not click.confirm("Send them?"):
        raise UsageError("nothing was sent")


def _list(request: ScanRequest, options: DoctorOptions, base: Path) -> int:
    """Show what would be asked, and write the file of parameters."""
    from bench.doctor.discovery import Dialog, listing
    from bench.doctor.scan_progress import operations_table, waiting
    from bench.results import files

    place = base / options.write_params if options.write_params else None
    if place is not None and place.exists():
        raise UsageError(f"--write-params: {place} exists already; choose another name")
    with waiting(console) as shown:
        found = listing(request, Dialog(shown.notice))
    console.print(operations_table(found.operations))
    if place is not None:
        try:
            files.write_json(place, dict(found.fillable))
        except OSError as error:
            raise UsageError(f"--write-params: {place} cannot be written: {error.strerror}") from None
        print_line(f"{place}: fill in what is marked <fill in: …>, and give it as --params")
    return 0
