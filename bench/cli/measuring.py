"""What commands that measure have in common: the results folder, the campaign, and the drawing."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bench.model import PROFILES, Load, Plan, Round, Scenario, ServerGroup
from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.results import layout

if TYPE_CHECKING:
    from bench.results.schema import TrialRecord
    from bench.running.group import OnPhase
    from bench.running.run_record import Invocation

console = Console()

NOT_ALL_WELL = 1
"""Exit status where a trial could not be measured, or is not valid."""


@dataclass(frozen=True)
class Length:
    """How much is measured. None where the profile decides."""

    profile: str
    rounds: int | None
    measure_s: float | None
    seed: int | None
    sweep: tuple[int, ...] = ()


def make_plan_of(scenario: Scenario, load: Load, length: Length, folder: Path) -> Plan:
    """The plan. A run that is continued keeps its seed."""
    from bench.planning.schedule import make_plan, with_control
    from bench.running.run_record import seed_of

    profile = PROFILES[length.profile]
    if profile.controls:
        scenario = with_control(scenario, load)
    seed = length.seed if length.seed is not None else seed_of(folder)
    if seed is None:
        seed = secrets.randbelow(1_000_000)
    loads = [Load(users=users) for users in length.sweep]
    rounds, measure_s = length.rounds or profile.rounds, length.measure_s or profile.measure_s
    return make_plan(scenario, load, rounds, measure_s, seed, loads)


def measure_plan(plan: Plan, folder: Path, invocation: Invocation, check: bool) -> int:
    """Measure what the run in ``folder`` lacks of the plan, and draw it. Returns the exit status."""
    from bench.running.campaign import RoundHooks, run_campaign, variants_without_evidence
    from bench.running.cores import cores_for
    from bench.running.group import GroupHooks, run_group
    from bench.running.progress import CampaignProgress
    from bench.running.run_record import open_run
    from bench.running.services import Services

    make_folder(folder)
    open_run(folder, plan, invocation)
    layout.point_latest(folder.parent, folder)
    scenario, cores = plan.scenario, cores_for(plan.scenario.parallel)
    logs = layout.logs_folder(folder, scenario.name)
    services = Services(scenario.services, logs, cores.server if cores else None, dict(scenario.own_services))

    def measure(group: ServerGroup, on_phase: OnPhase) -> list[TrialRecord]:
        return run_group(scenario, group, folder, GroupHooks(on_phase), services)

    def after_round(_: Round) -> None:
        """A run that takes long has a page soon."""
        page = folder / "index.html"
        if len(plan.rounds) > 1 and not page.is_file():
            draw_run(folder, quiet=True)
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
    page = folder / "index.html"
    before = page.stat().st_mtime_ns if page.is_file() else 0
    drawn = draw_run(folder, "--scenario", scenario.name, *(["--check"] if check else []))
    if drawn == NOT_ALL_WELL and not check and page.is_file() and page.stat().st_mtime_ns != before:
        drawn = 0  # the report is about earlier rounds, too; this command's own trials decide its status
    return NOT_ALL_WELL if lacking else drawn


@contextmanager
def alone_on_machine(command: str, folder: Path, wait: bool) -> Iterator[None]:
    """Hold the machine for a measurement into ``folder``, and remove what killed ones have left. UsageError while
    another one holds it."""
    from bench.running.measurement_lock import hold_machine
    from bench.running.temporary import remove_left_behind

    make_folder(folder.parent)
    with hold_machine(f"{command} into {folder}", wait, print_line):
        remove_left_behind()
        yield


def draw_run(folder: Path, *options: str, quiet: bool = False) -> int:
    """Draw in a process of its own, since the measuring half has no pandas. Returns its exit status."""
    from bench.running.processes import run_in_foreground

    return run_in_foreground([sys.executable, "-m", "bench", "report", str(folder), *options], catalogue.ROOT, quiet)


def make_folder(folder: Path) -> None:
    """Make a results folder. UsageError when nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"the results cannot be written to {folder}: {error.strerror or error}") from None


def make_invocation(profile: str, command: Callable[[Sequence[str], int], str]) -> Invocation:
    """How the run was started, and where."""
    from bench.running.fingerprint import fingerprint, git_state
    from bench.running.run_record import Invocation

    return Invocation(profile, command, fingerprint(), git_state(catalogue.ROOT))


def print_line(line: str) -> None:
    """Print a line as it is."""
    console.print(line, soft_wrap=True, highlight=False)
