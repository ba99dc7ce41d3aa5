"""``doctor MODULE:APP``: finds the lines that hold a user's app up."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.measuring import NOT_ALL_WELL, alone_on_machine, console, draw_run, make_folder
from bench.cli.option_types import (
    CATEGORY_NAMES,
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
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.results import layout

if TYPE_CHECKING:
    from bench.doctor.scan import ScanRequest
    from bench.model import AppSource


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
    exclude: tuple[str, ...] = ()
    params: Path | None = None
    headers: tuple[str, ...] = ()
    prober: str | None = None
    users: int = 32
    measure_s: float = 3.0
    fail_on: tuple[str, ...] = ()
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
@click.option("--include", multiple=True, metavar='"POST /x"', help="Also measure this unsafe operation; repeatable.")
@click.option("--exclude", multiple=True, metavar='"GET /x"', help="Skip this operation; repeatable.")
@click.option("--params", type=PLACE, help="JSON file with parameter values, by name or operation.")
@click.option(
    "--header", "headers", multiple=True, metavar='"Name: value"', help="Header sent with every request; repeatable."
)
@click.option("--prober", metavar="PATH", help="Path of the health probe [default: the fastest endpoint]")
@click.option(
    "--users", type=click.IntRange(1, MAX_USERS), default=32, show_default=True, help="Users at each endpoint."
)
@click.option("--measure-s", type=POSITIVE, default=3.0, show_default=True, help="Seconds measured at each endpoint.")
@click.option("--fail-on", type=CATEGORY_NAMES, default=(), help="Exit with status 1 if one of these is found.")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Random seed for the load.")
@click.option("--run", metavar="NAME", help="Name of the run's folder.")
@WAIT
@INVOKED_FROM
@RESULTS
def doctor_command(**values: Any) -> None:
    """Measure an app as it is, and name the lines that hold it up: one page, with what each costs the others."""
    from bench.cli import app_options
    from bench.doctor.scan import ScanRequest

    options = DoctorOptions(**values)
    base = options.invoked_from.absolute()
    request = ScanRequest(
        _app(options, base),
        app_options.variables(options.env_file, base),
        app_options.options(options.words[1:]),
        app_options.wishes(options.include, options.exclude, options.params, options.headers, base),
        app_options.path(options.openapi),
        app_options.paths(options.paths),
        options.prober,
        options.users,
        options.measure_s,
    )
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
        },
    )
    return app_options.running(options.url)


def _scan(request: ScanRequest, folder: Path, options: DoctorOptions) -> int:
    from bench.doctor.scan import ScanRun, discover, scan
    from bench.doctor.scan_progress import ScanProgress
    from bench.running.fingerprint import fingerprint, git_state

    with alone_on_machine(f"doctor {' '.join(options.words) or options.url}", folder, options.wait):
        discovery = discover(request)
        make_folder(folder)
        layout.point_latest(folder.parent, folder)
        with ScanProgress(console) as progress:
            run = ScanRun(folder, options.seed, fingerprint(), git_state(catalogue.ROOT), options.command())
            complete = scan(request, discovery, run, progress.begin)
    drawn = draw_run(folder, *(("--fail-on", ",".join(options.fail_on)) if options.fail_on else ()))
    return drawn or (0 if complete else NOT_ALL_WELL)
