"""Shows a campaign in the terminal: a bar with the time left, or plain lines where the output is not a terminal."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from bench.model import Round, ServerGroup
from bench.results.schema import TrialRecord
from bench.running.group import Phase

GROUP_OVERHEAD_S = 1.5
"""First estimate of the time that a group takes beyond its load, until groups have been timed, ..."""
SERVER_OVERHEAD_S = 0.7
"""... and of each of its servers."""
MARKS = {"ok": "[green]ok[/]", "invalid": "[yellow]invalid[/]", "failed": "[red]failed[/]"}


class _TimeLeft(ProgressColumn):
    """Time left by the plan, corrected by the time that groups took so far."""

    def render(self, task: Task) -> Text:
        left_s = max(0.0, (task.total or 0.0) - task.completed)
        return Text(f"{int(left_s) // 60}:{int(left_s) % 60:02d} left", style="cyan")


class ProgressBar:
    """A bar below the lines of a terminal, or nothing where the output is no terminal. Use it in a ``with`` statement."""

    def __init__(self, console: Console, description: str, last: ProgressColumn) -> None:
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), last)
            self._bar = Progress(*columns, console=console, refresh_per_second=4, transient=True)
            self._bar.add_task(description, total=None)

    def __enter__(self) -> ProgressBar:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def completed(self) -> float:
        """The completed part, in the unit of the total."""
        return self._bar.tasks[0].completed if self._bar else 0.0

    def update(self, **changes: Any) -> None:
        """As Progress.update of rich."""
        if self._bar:
            self._bar.update(self._bar.task_ids[0], **changes)


class CampaignProgress:
    """Shows a campaign: its CampaignObserver. Use it in a ``with`` statement."""

    def __init__(self, console: Console, scenario: str) -> None:
        self._console = console
        self._scenario = scenario
        self._bar = ProgressBar(console, scenario, _TimeLeft())
        self._left: list[ServerGroup] = []
        self._rounds = 0
        self._several_loads = False
        self._group: ServerGroup | None = None
        self._start_s = 0.0
        self._overheads_s: list[float] = []

    def __enter__(self) -> CampaignProgress:
        self._bar.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.__exit__(*raised)

    def planned(self, rounds: list[Round], kept: int) -> None:
        """Print what will be measured and about how long it takes."""
        self._rounds = max((each.number for each in rounds), default=0)
        self._several_loads = len({each.load for each in rounds}) > 1
        self._left = [group for each in rounds for group in each.groups]
        if kept:
            self._console.print(f"{self._scenario}: {kept} of {kept + len(rounds)} rounds are measured already")
        if rounds:
            minutes = self._estimate_s() / 60
            self._console.print(f"{self._scenario}: measuring {len(rounds)} round(s), about {minutes:.1f} min")

    def group_begins(self, group: ServerGroup) -> None:
        """Show the group in the bar."""
        self._group = group
        self._start_s = time.perf_counter()
        self.phase("starting")

    def phase(self, phase: Phase) -> None:
        """Show what the group is doing."""
        if self._group is None:
            return
        names = ", ".join(self._group.variants)
        text = f"{self._place(self._group)} [bold]{escape(names)}[/] {phase}"
        self._bar.update(description=text, total=self._bar.completed + self._estimate_s())

    def group_ended(self, group: ServerGroup, trials: list[TrialRecord]) -> None:
        """Print a line for each trial."""
        took_s = time.perf_counter() - self._start_s
        self._overheads_s.append(took_s - group.load_s)
        self._left = [left for left in self._left if left.name != group.name]  # a repeated group is another attempt
        for trial in trials:
            reasons = f": {escape('; '.join(trial.reasons))}" if trial.reasons else ""
            line = f"{self._place(group)} {trial.variant} {MARKS[trial.status]}{_rate(trial)}{reasons}"
            self._console.print(line, soft_wrap=True)
        completed_s = self._bar.completed + took_s
        self._bar.update(completed=completed_s, total=completed_s + self._estimate_s())

    def round_is_repeated(self, repeated: Round) -> None:
        """Print which round will be measured again."""
        self._left += repeated.groups
        self._console.print(f"{self._scenario}: round {repeated.number} is measured again, since a trial is invalid")

    def _place(self, group: ServerGroup) -> str:
        load = f" {group.load.name}" if self._several_loads else ""
        return f"{self._scenario}{load} round {group.round}/{self._rounds}"

    def _estimate_s(self) -> float:
        if self._overheads_s:
            overhead_s = sum(self._overheads_s) / len(self._overheads_s)
            return sum(group.load_s + overhead_s for group in self._left)
        return sum(group.load_s + GROUP_OVERHEAD_S + SERVER_OVERHEAD_S * len(group.variants) for group in self._left)


def _rate(trial: TrialRecord) -> str:
    endpoints = trial.facts.endpoints if trial.facts else {}
    rates = [
        f"{facts.throughput_rps:.0f} req/s"
        for name, facts in endpoints.items()
        if not name.endswith("/health") and facts.throughput_rps is not None
    ]
    return f" {', '.join(rates)}" if rates else ""
