"""Measures all groups of a plan, round by round. Rounds that a run has already are kept; invalid ones are repeated."""

from __future__ import annotations

import math
import shutil
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from bench.model import Plan, Round, ServerGroup
from bench.results import files, layout
from bench.results.schema import TrialRecord
from bench.running.group import OnPhase, Phase

REPEATED_SHARE = 1 / 3
"""At most this share of the rounds is repeated. A machine that disturbs more of them disturbs the repeated ones, too."""
MIN_VALID_ROUNDS = 3
"""Fewer rounds give no interval."""


class CampaignObserver(Protocol):
    """Shows how a campaign goes."""

    def planned(self, rounds: list[Round], kept: int) -> None:
        """These rounds will be measured; ``kept`` others are measured already."""

    def group_begins(self, group: ServerGroup) -> None:
        """This group is next."""

    def phase(self, phase: Phase) -> None:
        """What the group is doing."""

    def group_ended(self, group: ServerGroup, trials: list[TrialRecord]) -> None:
        """The group has these trials."""

    def round_is_repeated(self, repeated: Round) -> None:
        """A trial of this round is invalid, so it will be measured again."""


@dataclass(frozen=True)
class RoundHooks:
    """What happens around each round."""

    before: Callable[[], None] = lambda: None
    """Puts the services into their first state."""
    after: Callable[[Round], None] = lambda _: None


@dataclass(frozen=True)
class Outcome:
    """What a campaign measured, and what it found measured."""

    trials: tuple[TrialRecord, ...]
    """The trials of this campaign; of a repeated round the last ones."""
    rounds_kept: int
    rounds_repeated: int = 0

    @property
    def not_ok(self) -> tuple[TrialRecord, ...]:
        """Trials that are failed or invalid."""
        return tuple(trial for trial in self.trials if trial.status != "ok")


Measure = Callable[[ServerGroup, OnPhase], list[TrialRecord]]


def run_campaign(
    plan: Plan,
    run: Path,
    measure: Measure,
    observer: CampaignObserver,
    hooks: RoundHooks | None = None,
    max_repeats: int | None = None,
) -> Outcome:
    """Measure every round of ``plan`` that is not valid in ``run`` yet.

    A round is measured whole, so that its comparisons stay paired. A round with an invalid trial is measured again
    after the others, as long as ``max_repeats`` allows it: by default a third of the rounds, rounded up.
    """
    hooks = hooks or RoundHooks()
    missing = deque(each for each in plan.rounds if not round_is_valid(run, plan, each))
    kept = len(plan.rounds) - len(missing)
    repeats_left = math.ceil(len(plan.rounds) * REPEATED_SHARE) if max_repeats is None else max_repeats
    repeated = 0
    observer.planned(list(missing), kept)
    trials: dict[tuple[str, int], list[TrialRecord]] = {}
    while missing:
        current = missing.popleft()
        attempt = 1 + _invalid_attempts(run, plan, current)
        _remove(run, plan, current)
        hooks.before()
        measured = [
            trial for group in current.groups for trial in _measured(replace(group, attempt=attempt), measure, observer)
        ]
        trials[current.load.name, current.number] = measured
        hooks.after(current)
        if repeated < repeats_left and any(trial.status == "invalid" for trial in measured):
            repeated += 1
            missing.append(current)
            observer.round_is_repeated(current)
    return Outcome(tuple(trial for each in trials.values() for trial in each), kept, repeated)


def _measured(group: ServerGroup, measure: Measure, observer: CampaignObserver) -> list[TrialRecord]:
    observer.group_begins(group)
    trials = measure(group, observer.phase)
    observer.group_ended(group, trials)
    return trials


def round_is_valid(run: Path, plan: Plan, measured: Round) -> bool:
    """Whether every variant has a valid trial of the round, whose files are whole."""
    return all(_is_valid(folder) for folder in _folders(run, plan, measured))


def variants_without_evidence(run: Path, plan: Plan) -> tuple[str, ...]:
    """Variants with fewer valid rounds under a load than an interval needs, or than were planned if those are fewer."""
    loads = {each.load.name for each in plan.rounds}
    return tuple(name for name in plan.variants if any(_lacks_rounds(run, plan, name, load) for load in loads))


def _lacks_rounds(run: Path, plan: Plan, variant: str, load: str) -> bool:
    numbers = [each.number for each in plan.rounds if each.load.name == load]
    folders = [layout.trial_folder(run, plan.scenario.name, variant, load, number) for number in numbers]
    return sum(map(_is_valid, folders)) < min(MIN_VALID_ROUNDS, len(numbers))


def _is_valid(folder: Path) -> bool:
    try:
        trial = files.read_record(folder / "trial.json", TrialRecord)
        files.check_files(folder, trial.files)
    except files.BrokenFile:  # cut short, or changed
        return False
    return trial.status == "ok"


def _folders(run: Path, plan: Plan, each: Round) -> list[Path]:
    return [layout.trial_folder(run, plan.scenario.name, name, each.load.name, each.number) for name in plan.variants]


def _invalid_attempts(run: Path, plan: Plan, each: Round) -> int:
    """How often the round was measured and a trial was invalid."""
    attempts = 0
    for folder in _folders(run, plan, each):
        with suppress(files.BrokenFile):
            trial = files.read_record(folder / "trial.json", TrialRecord)
            attempts = max(attempts, trial.attempt if trial.status == "invalid" else 0)
    return attempts


def _remove(run: Path, plan: Plan, each: Round) -> None:
    for folder in _folders(run, plan, each):
        shutil.rmtree(folder, ignore_errors=True)
