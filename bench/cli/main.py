"""The program ``async-bench``, which is also ``python -m bench``.

Exit statuses: 0 success; 1 something could not be measured, written or is not valid, or a check failed; 2 bad input, and
nothing was started; 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

import click

from bench.cli.app_command import app_command
from bench.cli.bench_command import bench_command
from bench.cli.calibrate_command import calibrate_command
from bench.cli.doctor_command import doctor_command
from bench.cli.report_command import report_command
from bench.cli.verify_command import verify_command
from bench.cli.web_command import web_command
from bench.model.errors import UsageError

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG)
"""What a disk answers that is full, broken, or not to be written to."""


class Commands(click.Group):
    """``bench --app`` measures the user's own apps. It has its own options, so it is a command of its own."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names."""
        if args[:1] == ["bench"] and any(word == "--app" or word.startswith("--app=") for word in args):
            return "bench", app_command, args[1:]
        return super().resolve_command(ctx, args)


HELP = """Measure which concurrency pattern a FastAPI endpoint needs, and what the wrong one costs.

\b
Examples:
  async-bench bench blocking --profile quick
  async-bench bench --app shop.main:app --path /report --rev main --rev HEAD
  async-bench doctor shop.main:app --app-dir backend
  async-bench web blocking
  async-bench report results/latest
  async-bench verify results/latest
  async-bench calibrate --part noise

Results go to ./results, or to --results DIR. `async-bench COMMAND --help` lists the options of a command.
"""


@click.group(cls=Commands, help=HELP)
@click.version_option(package_name="async-bench", message="%(version)s")
def program() -> None:
    """The group of all commands."""


for each in (bench_command, doctor_command, web_command, report_command, verify_command, calibrate_command):
    program.add_command(each)


def main() -> NoReturn:
    """Run a command. Every error that a user can make is one line on stderr and status 2."""
    if "NOX_CURRENT_SESSION" in os.environ:  # a nox that is killed does not stop what it has started
        from bench.running.processes import end_with_parent

        end_with_parent()
    try:
        program(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except (click.ClickException, UsageError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = f" {error.filename}:" if error.filename else ""
        kept = "finished rounds are kept, and the same command with --run resumes"
        print(f"error: the results cannot be written:{where} {error.strerror}; {kept}", file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        print("interrupted: finished rounds are kept; the same command with --run resumes", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
