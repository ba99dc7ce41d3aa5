"""``calibrate``: measures the harness itself on this machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.calibrate.rows import PARTS
from bench.cli.measuring import NOT_ALL_WELL, alone_on_machine, draw_run, make_folder, print_line
from bench.cli.option_types import RESULTS, WAIT


@dataclass(frozen=True)
class CalibrateOptions:
    """The options of the command."""

    parts: tuple[str, ...] = ()
    rounds: int | None = None
    seed: int = 1
    wait: bool = False
    results: Path = Path("results")


@click.command("calibrate")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this part; repeatable.")
@click.option("--rounds", type=click.IntRange(1, 1000), help="Number of rounds [default: each part's own]")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Random seed for the orders.")
@WAIT
@RESULTS
def calibrate_command(**values: Any) -> None:
    """Measure the harness itself on this machine, into results/calibration/."""
    from bench.calibrate.calibration_run import calibrate

    options = CalibrateOptions(**values)
    folder = options.results.absolute() / "calibration"
    with alone_on_machine("calibrate", folder, options.wait):
        make_folder(folder)
        failed = calibrate(folder, options.parts or PARTS, options.rounds, options.seed, print_line)
    sys.exit(draw_run(folder) or (NOT_ALL_WELL if failed else 0))
