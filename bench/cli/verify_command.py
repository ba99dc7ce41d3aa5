"""``verify RUN``: checks that the figures of every trial agree with each other."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.cli.measuring import NOT_ALL_WELL, print_line
from bench.cli.option_types import PLACE
from bench.model.errors import UsageError
from bench.results import files


@click.command("verify")
@click.argument("run", type=PLACE)
def verify_command(run: Path) -> None:
    """Check that the figures of every trial agree: users are requests/s by the mean latency, plus starved users."""
    from bench.analysis.consistency import MAX_STANDARD_ERRORS, TOLERANCE, consistency
    from bench.analysis.run_reader import read_run, read_scenario

    try:
        read = read_run(run)
    except files.BrokenFile as error:
        raise UsageError(str(error)) from None
    loads = [load for scenario in read.scenarios for load in (scenario, *scenario.sweep)]
    trials = [trial for scenario in loads for trial in consistency(read_scenario(read, scenario))]
    for trial in trials:
        if not trial.is_within_tolerance:
            print_line(
                f"{trial.scenario} {trial.variant} {trial.load} round {trial.round}: {trial.figures} "
                f"account for {100 * trial.ratio:.1f} % (standard error {100 * trial.standard_error:.1f} %)"
            )
    within = sum(trial.is_within_tolerance for trial in trials)
    wrong = sum(not trial.is_consistent for trial in trials)
    print_line(
        f"{within} of {len(trials)} trials agree within {100 * TOLERANCE:.0f} %, {len(trials) - within - wrong} more "
        f"within {MAX_STANDARD_ERRORS:g} standard errors of so few requests, {wrong} do not"
    )
    sys.exit(NOT_ALL_WELL if wrong else 0)
