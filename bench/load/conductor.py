"""Leads a lineup through its turns, as the harness's file says."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import gevent

from bench.load.ledger import Ledger, TurnRecord
from bench.load.request import Target
from bench.load.stage import Stage, turn_seed

logger = logging.getLogger(__name__)

FILE_EVERY_S = 0.01
"""How often the lineup's file is looked for: it appears when the servers are ready."""
FILE_WITHIN_S = 120.0
QUIET_EVERY_S = 0.002
QUIET_WITHIN_S = 2.0
"""Requests still unanswered so long after their turn are hung up on: the next turn must not wait for ever."""
LAST_QUIET_WITHIN_S = 0.25
"""After the last turn nobody comes who could be disturbed: long enough to tell slow from never."""


@dataclass(frozen=True)
class LineupFile:
    """What the harness asks of the generator: servers that are ready, turns, and where each target's files go."""

    targets: dict[str, Target]
    folders: dict[str, Path]
    turns: list[dict[str, Any]]
    seed: int

    @classmethod
    def read(cls, path: Path) -> LineupFile:
        content = json.loads(path.read_text(encoding="utf-8"))
        targets = {t["variant"]: Target.parse(t["url"], t["variant"]) for t in content["targets"]}
        folders = {t["variant"]: Path(t["folder"]) for t in content["targets"]}
        return cls(targets, folders, content["turns"], content["seed"])


def wait_for_file(path: Path) -> LineupFile:
    """Wait until the harness has written the lineup; TimeoutError when it never does."""
    until_s = perf_counter() + FILE_WITHIN_S
    while not path.exists():
        if perf_counter() > until_s:
            raise TimeoutError(f"no lineup appeared at {path} within {FILE_WITHIN_S:g} s")
        gevent.sleep(FILE_EVERY_S)
    return LineupFile.read(path)


def conduct(stage: Stage, ledger: Ledger, lineup: LineupFile) -> None:
    """Take every turn, one after the other, and book when each really was."""
    for number, turn in enumerate(lineup.turns):
        last = number == len(lineup.turns) - 1
        start_s = stage.begin(
            number, lineup.targets[turn["variant"]], turn["stagger_s"], turn_seed(lineup.seed, number)
        )
        _sleep_until(start_s + turn["warmup_s"])
        if turn["measure_s"] > 0:
            warm_until_s = stage.measure()
            _sleep_until(warm_until_s + turn["measure_s"])
        end_s = stage.end()
        if turn["measure_s"] <= 0:
            warm_until_s = end_s
        quiet = _wait_quiet(stage, LAST_QUIET_WITHIN_S if last else QUIET_WITHIN_S)
        late_s = perf_counter() - end_s
        stage.close_turn(end_s)
        ledger.turn(TurnRecord(turn["variant"], turn["rotation"], start_s, warm_until_s, end_s, quiet, late_s))


def _wait_quiet(stage: Stage, within_s: float) -> bool:
    until_s = perf_counter() + within_s
    while not stage.quiet:
        if perf_counter() > until_s:
            return False
        gevent.sleep(QUIET_EVERY_S)
    return True


def _sleep_until(moment_s: float) -> None:
    while (left_s := moment_s - perf_counter()) > 0:
        gevent.sleep(left_s)
