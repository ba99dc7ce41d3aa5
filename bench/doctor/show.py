"""Shows how the visit goes: a line an endpoint, and in a terminal a bar below them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench.doctor.plan import ALONE
from bench.model import Lineup, Plan, Round, Trial
from bench.progress import MARKS

OVERHEAD_S = 3.0
"""What an endpoint takes besides its load: a server and Locust start, and stop."""


class Show:
    """The Watch of all campaigns of a visit. A context manager: the bar needs cleaning up."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn())
            self._bar = Progress(*columns, console=console, refresh_per_second=4, transient=True)
        self._task = self._bar.add_task("doctor") if self._bar else None
        self._endpoints: dict[str, str] = {}
        self._begun_s = 0.0

    def __enter__(self) -> Show:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def begin(self, plans: Sequence[Plan]) -> Show:
        """Say what will be measured and about how long it takes."""
        self._endpoints = {plan.scenario.name: plan.scenario.endpoint for plan in plans}
        load_s = sum(lineup.load_s for plan in plans for made in plan.rounds for lineup in made.lineups)
        minutes = (load_s + OVERHEAD_S * len(plans)) / 60
        self._console.print(f"measuring {len(plans) - 1} endpoint(s), about {minutes:.1f} min")
        if self._bar and self._task is not None:
            self._bar.update(self._task, total=len(plans))
        return self

    def planned(self, rounds: list[Round], kept: int) -> None:
        """One scenario begins."""

    def lineup(self, lineup: Lineup) -> None:
        """Its only lineup begins."""
        self._begun_s = time.perf_counter()
        self._name(lineup, "starting")

    def phase(self, word: str) -> None:
        """What it is doing."""
        if self._bar and self._task is not None:
            head = self._bar.tasks[0].description.rpartition(" ")[0]
            self._bar.update(self._task, description=f"{head} {word}")

    def measured(self, lineup: Lineup, trials: list[Trial]) -> None:
        """It has ended."""
        took_s = time.perf_counter() - self._begun_s
        for trial in trials:
            reasons = f": {escape('; '.join(trial.reasons))}" if trial.reasons else ""
            said = f"{self._said(lineup)} {MARKS[trial.status]} in {took_s:.1f} s{reasons}"
            self._console.print(said, soft_wrap=True, highlight=False)
        if self._bar and self._task is not None:
            self._bar.advance(self._task)

    def _name(self, lineup: Lineup, word: str) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, description=f"[bold]{self._said(lineup)}[/] {word}")

    def _said(self, lineup: Lineup) -> str:
        if lineup.scenario == ALONE:
            return "all endpoints, alone"
        return f"{escape(self._endpoints[lineup.scenario])}, {lineup.load.users} users"
