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

STARTING_S = 1.5
"""What a lineup takes besides its load, and ...
"""
STARTING_EACH_S = 0.7
"""... for each of its servers: the first guess, until lineups have been timed."""
MARKS = {"ok": "[green]ok[/]", "invalid": "[yellow]invalid[/]", "failed": "[red]failed[/]"}


class _TimeLeft(ProgressColumn):
    """What the plan says is left, corrected by how long the lineups so far really took."""

    def render(self, task: Task) -> Text:
        left_s = max(0.0, (task.total or 0.0) - task.completed)
        return Text(f"{int(left_s) // 60}:{int(left_s) % 60:02d} left", style="cyan")


class ProgressBar:
    """A bar below the lines of a terminal; nothing where there is none. A context manager: it needs cleaning up."""

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
        """How much of it is full, in the unit of its total."""
        return self._bar.tasks[0].completed if self._bar else 0.0

    def update(self, **changes: Any) -> None:
        """Change its description, total or what is completed, or advance it: as rich's Progress.update."""
        if self._bar:
            self._bar.update(self._bar.task_ids[0], **changes)


class CampaignProgress:
    """The campaign's CampaignObserver. A context manager: the bar needs cleaning up, however the campaign ends."""

    def __init__(self, console: Console, scenario: str) -> None:
        self._console = console
        self._scenario = scenario
        self._bar = ProgressBar(console, scenario, _TimeLeft())
        self._left: list[ServerGroup] = []
        self._rounds = 0
        self._swept = False
        self._lineup: ServerGroup | None = None
        self._begun_s = 0.0
        self._extra_s: list[float] = []

    def __enter__(self) -> CampaignProgress:
        self._bar.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.__exit__(*raised)

    def planned(self, rounds: list[Round], kept: int) -> None:
        """Say what will be measured and about how long it takes."""
        self._rounds = max((made.number for made in rounds), default=0)
        self._swept = len({made.load for made in rounds}) > 1
        self._left = [lineup for made in rounds for lineup in made.groups]
        if kept:
            self._console.print(f"{self._scenario}: {kept} of {kept + len(rounds)} rounds are there already")
        if rounds:
            minutes = self._estimate_s() / 60
            self._console.print(f"{self._scenario}: measuring {len(rounds)} round(s), about {minutes:.1f} min")

    def lineup(self, lineup: ServerGroup) -> None:
        """The next lineup begins."""
        self._lineup = lineup
        self._begun_s = time.perf_counter()
        self.phase("starting")

    def phase(self, word: str) -> None:
        """What the lineup is doing."""
        if self._lineup is None:
            return
        names = ", ".join(self._lineup.variants)
        text = f"{self._where(self._lineup)} [bold]{escape(names)}[/] {word}"
        self._bar.update(description=text, total=self._bar.completed + self._estimate_s())

    def measured(self, lineup: ServerGroup, trials: list[TrialRecord]) -> None:
        """A lineup has ended: one line a trial."""
        took_s = time.perf_counter() - self._begun_s
        self._extra_s.append(took_s - lineup.load_s)
        self._left.remove(lineup)
        for trial in trials:
            reasons = f": {escape('; '.join(trial.reasons))}" if trial.reasons else ""
            said = f"{self._where(lineup)} {trial.variant} {MARKS[trial.status]}{_rate(trial)}{reasons}"
            self._console.print(said, soft_wrap=True)
        completed_s = self._bar.completed + took_s
        self._bar.update(completed=completed_s, total=completed_s + self._estimate_s())

    def _where(self, lineup: ServerGroup) -> str:
        load = f" {lineup.load.name}" if self._swept else ""
        return f"{self._scenario}{load} round {lineup.round}/{self._rounds}"

    def _estimate_s(self) -> float:
        if self._extra_s:
            extra_s = sum(self._extra_s) / len(self._extra_s)
            return sum(lineup.load_s + extra_s for lineup in self._left)
        return sum(lineup.load_s + STARTING_S + STARTING_EACH_S * len(lineup.variants) for lineup in self._left)


def _rate(trial: TrialRecord) -> str:
    endpoints = trial.facts.endpoints if trial.facts else {}
    rates = [
        f"{facts.throughput_rps:.0f} req/s"
        for name, facts in endpoints.items()
        if not name.endswith("/health") and facts.throughput_rps is not None
    ]
    return f" {', '.join(rates)}" if rates else ""
