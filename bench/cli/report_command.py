"""``report RUN``: draws a run, or the calibration, again from its files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from bench.cli.measuring import NOT_ALL_WELL, console, print_line
from bench.cli.option_types import CATEGORY_NAMES, PLACE, SHARE
from bench.model.errors import UsageError
from bench.results import files

if TYPE_CHECKING:
    from bench.doctor.findings import DoctorReport


@dataclass(frozen=True)
class ReportOptions:
    """The options of the command."""

    run: Path
    force: bool = False
    trials: Path | None = None
    check: bool = False
    scenario: str | None = None
    fail_on: tuple[str, ...] = ()
    min_coverage: float | None = None


@click.command("report")
@click.argument("run", type=PLACE)
@click.option("--force", is_flag=True, help="Draw every chart again, even if nothing changed.")
@click.option("--trials", type=PLACE, hidden=True, help="Write each trial's figures there, first.")
@click.option("--check", is_flag=True, help="Exit with status 1 if a claim is refuted.")
@click.option("--scenario", help="Draw everything, but print and check this scenario only.")
@click.option("--fail-on", type=CATEGORY_NAMES, default=(), help="Exit with status 1 if the doctor found one of these.")
@click.option("--min-coverage", type=SHARE, help="Exit with status 1 if the doctor asked fewer of the operations.")
def report_command(**values: Any) -> None:
    """Draw a run, or the calibration, again from its files, without measuring."""
    options = ReportOptions(**values)
    run = options.run
    is_run = (run / "run.json").is_file()
    if not is_run and not (run / "calibration.json").is_file():
        raise UsageError(f"{run} is neither a run nor a calibration: it has no run.json and no calibration.json")
    from bench.report.draw import draw_calibration, is_doctor_run

    if not is_run:
        print_line(str(draw_calibration(run)))
        return
    sys.exit(_report_doctor(run, options) if is_doctor_run(run) else _report(options))


def _report(options: ReportOptions) -> int:
    from bench.report.draw import draw
    from bench.report.formats.trials import write_trials
    from bench.report.text.terminal import claims_table

    try:
        if options.trials is not None:
            write_trials(options.run, options.trials)
        drawn = draw(options.run, force=options.force)
    except files.BrokenFile as error:
        raise UsageError(str(error)) from None
    shown = drawn if options.scenario is None else drawn.of(options.scenario)
    for table in shown.tables:
        console.print(table)
    if shown.claims:
        console.print(claims_table(shown.claims))
    print_line(str(drawn.page))
    refuted = options.check and any(claim.verdict == "refuted" for claim in shown.claims)
    return NOT_ALL_WELL if shown.not_valid or refuted else 0


def _report_doctor(run: Path, options: ReportOptions) -> int:
    from bench.doctor.findings_page import draw_doctor_run

    try:
        drawn = draw_doctor_run(run, options.fail_on)
    except files.BrokenFile as error:
        raise UsageError(str(error)) from None
    console.print(drawn.table)
    print_line(str(drawn.page))
    failing = [*drawn.report.failing(options.fail_on), *_too_few(drawn.report, options.min_coverage)]
    for line in failing:
        print_line(f"fails: {escape(line)}")
    return NOT_ALL_WELL if failing else 0


def _too_few(report: DoctorReport, min_coverage: float | None) -> Iterator[str]:
    """A line where fewer of the operations were asked than the user wants."""
    if min_coverage is not None and report.coverage < min_coverage:
        yield (
            f"{report.asked} of {report.operations} operations were asked, {report.coverage:.0%}; "
            f"--min-coverage wants {min_coverage:.0%}"
        )
