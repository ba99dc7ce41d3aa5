"""Shows how the visit goes: a line an endpoint, and in a terminal a bar below them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn

from bench.doctor.scenarios import ALONE
from bench.model import Plan, Round, ServerGroup, Trial
from bench.running.progress import MARKS, ProgressBar

OVERHEAD_S = 3.0
"""What an endpoint takes besides its load: a server and Locust start, and stop."""


class ScanProgress:
    """The Watch of all campaigns of a visit. A context manager: the bar needs cleaning up."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = ProgressBar(console, "doctor", MofNCompleteColumn())
        self._endpoints: dict[str, str] = {}
        self._now = ""
        self._begun_s = 0.0

    def __enter__(self) -> ScanProgress:
        self._bar.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.__exit__(*raised)

    def begin(self, plans: Sequence[Plan]) -> ScanProgress:
        """Say what will be measured and about how long it takes."""
        self._endpoints = {plan.scenario.name: plan.scenario.endpoint for plan in plans}
        load_s = sum(lineup.load_s for plan in plans for made in plan.rounds for lineup in made.groups)
        minutes = (load_s + OVERHEAD_S * len(plans)) / 60
        self._console.print(f"measuring {len(plans) - 1} endpoint(s), about {minutes:.1f} min")
        self._bar.update(total=len(plans))
        return self

    def planned(self, rounds: list[Round], kept: int) -> None:
        """One scenario begins."""

    def lineup(self, lineup: ServerGroup) -> None:
        """Its only lineup begins."""
        self._begun_s = time.perf_counter()
        self._now = self._said(lineup)
        self.phase("starting")

    def phase(self, word: str) -> None:
        """What it is doing."""
        self._bar.update(description=f"[bold]{self._now}[/] {word}")

    def measured(self, lineup: ServerGroup, trials: list[Trial]) -> None:
        """It has ended."""
        took_s = time.perf_counter() - self._begun_s
        for trial in trials:
            reasons = f": {escape('; '.join(trial.reasons))}" if trial.reasons else ""
            said = f"{self._said(lineup)} {MARKS[trial.status]} in {took_s:.1f} s{reasons}"
            self._console.print(said, soft_wrap=True, highlight=False)
        self._bar.update(advance=1)

    def _said(self, lineup: ServerGroup) -> str:
        if lineup.scenario == ALONE:
            return "all endpoints, alone"
        return f"{escape(self._endpoints[lineup.scenario])}, {lineup.load.users} users"
