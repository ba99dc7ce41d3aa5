"""Shows the doctor at work in the terminal: what it waits for, then a line for each endpoint and a progress bar below them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bench.doctor.openapi import Operations
from bench.doctor.scenarios import ALONE
from bench.model import Plan, Round, ServerGroup
from bench.results.schema import TrialRecord
from bench.running.group import Phase
from bench.running.progress import MARKS, ProgressBar

OVERHEAD_S = 3.0
"""What an endpoint takes beyond its load: a server and Locust start and stop."""


class Waiting:
    """A line that says what is waited for, and since when. Nothing where the output is no terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("")

    def notice(self, text: str) -> None:
        """Show what is waited for now."""
        self._progress.reset(self._task, description=escape(text))

    def aside(self, action: Callable[[], None]) -> None:
        """Do something that needs the terminal."""
        self._progress.stop()
        action()
        self._progress.start()


@contextmanager
def waiting(console: Console) -> Iterator[Waiting]:
    """Show what is waited for, as long as nothing else is shown."""
    progress = Progress(
        *(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        yield Waiting(progress)


def operations_table(found: Operations) -> Table:
    """What would be asked, and why the rest would not."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("operation", "asked with", "or why not"):
        table.add_column(name, overflow="fold")
    for request in found.requests:
        table.add_row(Text(request.name), Text(request.source or request.path), Text(""))
    for skipped in found.skipped:
        table.add_row(Text(skipped.name), Text(""), Text(skipped.reason))
    return table


class ScanProgress:
    """Observes every campaign of a scan. A context manager: it removes the bar at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = ProgressBar(console, "doctor", MofNCompleteColumn())
        self._endpoints: dict[str, str] = {}
        self._current = ""
        self._start_s = 0.0

    def __enter__(self) -> ScanProgress:
        self._bar.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.__exit__(*raised)

    def begin(self, plans: Sequence[Plan]) -> ScanProgress:
        """Print what will be measured, and about how long it takes."""
        self._endpoints = {plan.scenario.name: plan.scenario.endpoint for plan in plans}
        load_s = sum(group.load_s for plan in plans for round_ in plan.rounds for group in round_.groups)
        minutes = (load_s + OVERHEAD_S * len(plans)) / 60
        self._console.print(f"measuring {len(plans) - 1} endpoint(s), about {minutes:.1f} min")
        self._bar.update(total=len(plans))
        return self

    def planned(self, rounds: list[Round], kept: int) -> None:
        """A scenario begins."""

    def group_begins(self, group: ServerGroup) -> None:
        """The scenario's only group begins."""
        self._start_s = time.perf_counter()
        self._current = self._label(group)
        self.phase("starting")

    def phase(self, phase: Phase) -> None:
        """What the group is doing."""
        self._bar.update(description=f"[bold]{self._current}[/] {phase}")

    def group_ended(self, group: ServerGroup, trials: list[TrialRecord]) -> None:
        """The group has ended."""
        took_s = time.perf_counter() - self._start_s
        for trial in trials:
            reasons = f": {escape('; '.join(trial.reasons))}" if trial.reasons else ""
            line = f"{self._label(group)} {MARKS[trial.status]} in {took_s:.1f} s{reasons}"
            self._console.print(line, soft_wrap=True, highlight=False)
        self._bar.update(advance=1)

    def round_is_repeated(self, repeated: Round) -> None:
        """The doctor repeats measurements itself, with a longer load."""

    def _label(self, group: ServerGroup) -> str:
        if group.scenario == ALONE:
            return "all endpoints, one request at a time"
        return f"{escape(self._endpoints[group.scenario])}, {group.load.users} users"
