"""Campaigns with a measurement that takes no time: what is tested is the order, what is kept, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from harness import UGLY
from records import trial_record
from rich.console import Console

from bench.model import Load, Plan, Round, Scenario, ServerGroup, Status, Variant
from bench.model.bounds import awaited, blocked_loop
from bench.model.errors import UsageError
from bench.planning.schedule import make_plan
from bench.results import files, layout, schema
from bench.results.schema import GitRecord, MachineRecord, TrialRecord
from bench.running import run_record
from bench.running.campaign import (
    Outcome,
    RoundHooks,
    round_is_valid,
    run_campaign,
    variants_without_evidence,
)
from bench.running.group import OnPhase, Phase
from bench.running.progress import CampaignProgress
from bench.running.run_record import Invocation, open_run, seed_of

SCENARIO = Scenario(
    "made_up",
    "?",
    (
        Variant("trap", "trap", "", blocked_loop(0.05), same_file_as="fine"),
        Variant("fix", "fix", "", awaited(0.05), same_file_as="fine"),
        Variant("other", "fix", "", awaited(0.05), same_file_as="fine"),
    ),
    path="/",
    folder=str(UGLY / "ugly_run"),
)
LOAD = Load(users=32)


def plan_of(
    rounds: int = 3, seed: int = 1, scenario: Scenario = SCENARIO, load: Load = LOAD, measure_s: float = 1.0
) -> Plan:
    return make_plan(scenario, load, rounds, measure_s, seed)


def opened(run: Path, plan: Plan) -> None:
    machine = MachineRecord(packages={"uvicorn": "0.1"})
    open_run(run, plan, Invocation("standard", lambda names, seed: f"{' '.join(names)} --seed {seed}", machine, None))


@dataclass
class Fake:
    """A measurement that writes what a real one would, and notes the groups."""

    run: Path
    statuses: dict[str, Status] = field(default_factory=dict)
    invalid: list[tuple[str, int]] = field(default_factory=list)
    """Variants and rounds whose trial is invalid, each as often as it is listed."""
    crash: Callable[[ServerGroup], BaseException | None] = lambda _: None
    groups: list[ServerGroup] = field(default_factory=list)

    def __call__(self, group: ServerGroup, on_phase: OnPhase) -> list[TrialRecord]:
        on_phase("loading")
        self.groups.append(group)
        if error := self.crash(group):
            raise error
        trials = []
        for name in group.variants:
            status = self._status(name, group.round)
            folder = trial_folder(self.run, name, group.round, group.load)
            for file in layout.TRIAL_FILES:
                files.write_text(folder / file, f"{name} {group.round}")
            trial = replace(
                trial_record(group.scenario, name, group.round, group.load, status),
                attempt=group.attempt,
                files=files.file_sizes(folder),
            )
            files.write_record(folder / "trial.json", trial)
            trials.append(trial)
        return trials

    def _status(self, variant: str, number: int) -> Status:
        if (variant, number) in self.invalid:
            self.invalid.remove((variant, number))
            return "invalid"
        return self.statuses.get(variant, "ok")

    @property
    def rounds(self) -> list[int]:
        """The rounds that were measured, each once."""
        return list(dict.fromkeys(group.round for group in self.groups))


@dataclass
class Notes:
    """An observer that notes every call."""

    said: list[tuple[Any, ...]] = field(default_factory=list)

    def planned(self, rounds: list[Round], kept: int) -> None:
        self.said.append(("planned", [made.number for made in rounds], kept))

    def group_begins(self, group: ServerGroup) -> None:
        self.said.append(("group_begins", group.name))

    def phase(self, phase: Phase) -> None:
        self.said.append(("phase", phase))

    def group_ended(self, group: ServerGroup, trials: list[TrialRecord]) -> None:
        self.said.append(("group_ended", group.name, [trial.variant for trial in trials]))

    def round_is_repeated(self, repeated: Round) -> None:
        self.said.append(("round_is_repeated", repeated.number))


def trial_folder(run: Path, variant: str, number: int, load: Load = LOAD) -> Path:
    return layout.trial_folder(run, "made_up", variant, load.name, number)


def ran(run: Path, plan: Plan, fake: Fake | None = None) -> tuple[Outcome, Fake]:
    """One session: open the run, then the campaign."""
    fake = fake or Fake(run)
    opened(run, plan)
    return run_campaign(plan, run, fake, Notes()), fake


def complete(run: Path, plan: Plan) -> list[int]:
    return [made.number for made in plan.rounds if round_is_valid(run, plan, made)]


# Sweeps


def swept(*users: int) -> Plan:
    return make_plan(SCENARIO, LOAD, 2, 1.0, 1, sweep=[Load(users=each) for each in users])


def test_a_sweep_has_folders_and_laws_of_its_own_and_resumes(tmp_path: Path) -> None:
    plan = swept(1, 64)
    crashed = Fake(tmp_path, crash=lambda group: RuntimeError() if group.round == 2 else None)
    with pytest.raises(RuntimeError):
        ran(tmp_path, plan, crashed)
    outcome, fake = ran(tmp_path, plan)
    assert outcome.rounds_kept == 3
    assert [(group.load, group.round) for group in fake.groups if "trap" in group.variants] == [
        (made.load, made.number) for made in plan.rounds[3:]
    ]
    for load in ("users-1", "users-32", "users-64"):
        assert (layout.trial_folder(tmp_path, "made_up", "fix", load, 2) / "trial.json").is_file()
    entry = files.read_json(tmp_path / "run.json")["scenarios"]["made_up"]
    assert entry["rounds"] == 2
    assert entry["load"]["name"] == "users-32"
    ceilings = {each["load"]["name"]: each["bounds"]["fix"]["max_rps"] for each in entry["sweep"]}
    assert ceilings == {"users-1": pytest.approx(20), "users-64": pytest.approx(1280)}


def test_a_run_is_not_resumed_with_another_sweep(tmp_path: Path) -> None:
    ran(tmp_path, swept(1))
    with pytest.raises(UsageError, match=r"another sweep \(users-1, now users-64\)"):
        opened(tmp_path, swept(64))
    with pytest.raises(UsageError, match=r"another sweep \(users-1, now none\)"):
        opened(tmp_path, plan_of(2))


# Order


def test_everything_is_measured_in_the_plans_order(tmp_path: Path) -> None:
    plan = plan_of()
    outcome, fake = ran(tmp_path, plan)
    assert fake.groups == [group for made in plan.rounds for group in made.groups]
    assert len(outcome.trials) == 9
    assert outcome.rounds_kept == 0
    assert outcome.not_ok == ()


def test_the_observer_gets_everything_in_order(tmp_path: Path) -> None:
    plan = plan_of(rounds=1)
    notes = Notes()
    run_campaign(plan, tmp_path, Fake(tmp_path), notes)
    expected: list[tuple[Any, ...]] = [("planned", [1], 0)]
    for group in plan.rounds[0].groups:
        expected += [
            ("group_begins", group.name),
            ("phase", "loading"),
            ("group_ended", group.name, list(group.variants)),
        ]
    assert notes.said == expected


def test_a_failed_trial_stops_no_other(tmp_path: Path) -> None:
    outcome, fake = ran(tmp_path, plan_of(), Fake(tmp_path, {"trap": "failed"}))
    assert fake.rounds == [1, 2, 3]
    assert [(trial.variant, trial.round) for trial in outcome.not_ok] == [("trap", 1), ("trap", 2), ("trap", 3)]
    assert outcome.rounds_repeated == 0
    assert variants_without_evidence(tmp_path, plan_of()) == ("trap",)


# Invalid rounds


def test_a_round_with_an_invalid_trial_is_measured_again_whole_and_last(tmp_path: Path) -> None:
    plan = plan_of()
    fake, notes = Fake(tmp_path, invalid=[("other", 2)]), Notes()
    outcome = run_campaign(plan, tmp_path, fake, notes)
    again = [replace(group, attempt=2) for group in plan.rounds[1].groups]
    assert fake.groups == [*(group for each in plan.rounds for group in each.groups), *again]
    assert ("round_is_repeated", 2) in notes.said
    assert (outcome.rounds_repeated, outcome.not_ok, len(outcome.trials)) == (1, (), 9)
    assert complete(tmp_path, plan) == [1, 2, 3]
    assert variants_without_evidence(tmp_path, plan) == ()


def test_no_more_than_a_third_of_the_rounds_is_repeated(tmp_path: Path) -> None:
    plan = plan_of(rounds=6)
    fake = Fake(tmp_path, statuses={"other": "invalid"})
    outcome = run_campaign(plan, tmp_path, fake, Notes())
    assert outcome.rounds_repeated == 2
    assert len(fake.groups) == 8 * len(plan.rounds[0].groups)
    assert {trial.status for trial in outcome.not_ok} == {"invalid"}
    assert variants_without_evidence(tmp_path, plan) == ("other",)


def test_evidence_is_there_with_three_valid_rounds(tmp_path: Path) -> None:
    plan = plan_of(rounds=5)
    invalid = [("other", 1), ("other", 2), ("other", 3), ("other", 1), ("other", 2)]
    outcome = run_campaign(plan, tmp_path, Fake(tmp_path, invalid=invalid), Notes())
    assert complete(tmp_path, plan) == [4, 5]
    assert outcome.rounds_repeated == 2
    assert variants_without_evidence(tmp_path, plan) == ("other",)
    run_campaign(plan, tmp_path, Fake(tmp_path, invalid=[("other", 1), ("other", 2), ("other", 1)]), Notes())
    assert complete(tmp_path, plan) == [2, 3, 4, 5]
    assert variants_without_evidence(tmp_path, plan) == ()


def test_hooks_are_called_around_every_round(tmp_path: Path) -> None:
    calls: list[str] = []
    hooks = RoundHooks(lambda: calls.append("before"), lambda measured: calls.append(f"after {measured.number}"))
    run_campaign(plan_of(rounds=2), tmp_path, Fake(tmp_path, invalid=[("fix", 1)]), Notes(), hooks)
    assert calls == ["before", "after 1", "before", "after 2", "before", "after 1"]


# Resuming


def test_complete_rounds_are_kept(tmp_path: Path) -> None:
    ran(tmp_path, plan_of())
    outcome, fake = ran(tmp_path, plan_of())
    assert fake.groups == []
    assert outcome == Outcome((), 3)


@pytest.mark.parametrize("status", ["failed", "invalid"])
def test_rounds_that_are_not_valid_are_measured_again_in_the_next_session(tmp_path: Path, status: Status) -> None:
    plan = plan_of()
    opened(tmp_path, plan)
    run_campaign(plan, tmp_path, Fake(tmp_path, {"trap": status}), Notes(), max_repeats=0)
    assert complete(tmp_path, plan) == []
    outcome, fake = ran(tmp_path, plan)
    assert fake.rounds == [1, 2, 3]
    assert outcome.not_ok == ()
    assert complete(tmp_path, plan) == [1, 2, 3]


def test_more_rounds_later_extend_the_run(tmp_path: Path) -> None:
    ran(tmp_path, plan_of(rounds=2))
    before = [(trial_folder(tmp_path, "fix", n) / "trial.json").stat().st_mtime_ns for n in (1, 2)]
    outcome, fake = ran(tmp_path, plan_of(rounds=4))
    assert (fake.rounds, outcome.rounds_kept) == ([3, 4], 2)
    assert before == [(trial_folder(tmp_path, "fix", n) / "trial.json").stat().st_mtime_ns for n in (1, 2)]
    assert files.read_json(tmp_path / "run.json")["scenarios"]["made_up"]["rounds"] == 4


def test_fewer_rounds_later_take_none_away(tmp_path: Path) -> None:
    ran(tmp_path, plan_of(rounds=3))
    assert ran(tmp_path, plan_of(rounds=1))[1].groups == []
    assert files.read_json(tmp_path / "run.json")["scenarios"]["made_up"]["rounds"] == 3
    assert complete(tmp_path, plan_of(rounds=3)) == [1, 2, 3]


def test_attempts_are_counted_over_sessions(tmp_path: Path) -> None:
    plan = plan_of(rounds=1)
    opened(tmp_path, plan)
    for _ in range(2):
        run_campaign(plan, tmp_path, Fake(tmp_path, {"trap": "invalid"}), Notes(), max_repeats=1)
    _, fake = ran(tmp_path, plan)
    assert {group.attempt for group in fake.groups} == {5}


def cut_trial_json(folder: Path) -> None:
    path = folder / "trial.json"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:-1])

    return spoil


def foreign_schema(folder: Path) -> None:
    files.write_json(folder / "trial.json", {"schema": 0, "files": {}})


SPOILT: dict[str, Callable[[Path], None]] = {
    "no trial.json": lambda folder: (folder / "trial.json").unlink(),
    "half a trial.json": cut_trial_json,
    "an empty trial.json": lambda folder: files.write_text(folder / "trial.json", ""),
    "a trial.json of another schema": foreign_schema,
    "a trial.json without its files": lambda f: files.write_json(f / "trial.json", {"schema": schema.SCHEMA}),
    "a trial.json with nonsense for files": lambda f: files.write_json(
        f / "trial.json", {"schema": schema.SCHEMA, "files": ["counts.csv"]}
    ),
    "a cut counts.csv": cut("counts.csv"),
    "a cut requests.hlog": cut("requests.hlog"),
    "no counts.csv": lambda folder: (folder / "counts.csv").unlink(),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_spoilt_trial_has_its_whole_round_measured_again(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    plan = plan_of()
    ran(tmp_path, plan)
    for variant in plan.variants:
        (trial_folder(tmp_path, variant, 2) / "leftover").touch()
    spoil(trial_folder(tmp_path, "fix", 2))
    outcome, fake = ran(tmp_path, plan)
    assert fake.groups == list(plan.rounds[1].groups)
    assert outcome.rounds_kept == 2
    assert complete(tmp_path, plan) == [1, 2, 3]
    assert not [v for v in plan.variants if (trial_folder(tmp_path, v, 2) / "leftover").exists()]


@pytest.mark.parametrize("crash", [RuntimeError("a bug"), KeyboardInterrupt()], ids=["a bug", "Ctrl-C"])
def test_a_crash_passes_through_and_costs_one_round(tmp_path: Path, crash: BaseException) -> None:
    plan = plan_of()
    last = plan.rounds[1].groups[-1]  # the round's first group has ended well
    fake = Fake(tmp_path, crash=lambda group: crash if group == last else None)
    with pytest.raises(type(crash)):
        ran(tmp_path, plan, fake)
    assert complete(tmp_path, plan) == [1]
    assert fake.rounds == [1, 2]
    outcome, again = ran(tmp_path, plan)
    assert again.groups == [*plan.rounds[1].groups, *plan.rounds[2].groups]
    assert outcome.rounds_kept == 1
    assert complete(tmp_path, plan) == [1, 2, 3]


def test_a_round_cut_short_is_gone_before_it_is_measured_again(tmp_path: Path) -> None:
    """Else a second interruption would leave one round whose trials are of two sessions."""
    plan = plan_of(rounds=1)
    ran(tmp_path, plan)
    (trial_folder(tmp_path, "fix", 1) / "trial.json").unlink()
    fake = Fake(tmp_path, crash=lambda _: KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path, plan, fake)
    assert not [v for v in plan.variants if (trial_folder(tmp_path, v, 1) / "trial.json").exists()]


# Which plan


def test_the_seed_of_a_run_is_found_again(tmp_path: Path) -> None:
    assert seed_of(tmp_path) is None
    ran(tmp_path, plan_of(seed=77))
    assert seed_of(tmp_path) == 77


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"schema": 2}', b'{"schema": 2, "scenarios": []}', b'{"schema": 2, "scenarios": {"made_up": []}}'],
)
def test_a_run_that_cannot_be_read_has_no_seed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    assert seed_of(tmp_path) is None


FEWER = replace(SCENARIO, variants=SCENARIO.variants[:2])
SLOWER = replace(SCENARIO, variants=(*SCENARIO.variants[:2], replace(SCENARIO.variants[2], bound=awaited(0.06))))
IN_ANOTHER_ENVIRONMENT = replace(
    SCENARIO, variants=(*SCENARIO.variants[:2], replace(SCENARIO.variants[2], environment=(("SECRET", "swordfish"),)))
)
REWRITTEN = replace(SCENARIO, variants=(*SCENARIO.variants[:2], replace(SCENARIO.variants[2], same_file_as="dies")))


@pytest.mark.parametrize(
    ("plan", "differing"),
    [
        pytest.param(plan_of(seed=2), "another seed (1, now 2)", id="seed"),
        pytest.param(plan_of(measure_s=2.0), "another measure_s (1.0, now 2.0)", id="measure_s"),
        pytest.param(plan_of(load=Load(users=8)), "another load (users-32, now users-8)", id="users"),
        pytest.param(plan_of(load=Load(rate_rps=8)), "another load (users-32, now rate-8)", id="rate"),
        pytest.param(plan_of(scenario=replace(SCENARIO, path="/x")), "another path (/, now /x)", id="path"),
        pytest.param(plan_of(scenario=FEWER), "other variants (trap, fix, other; now trap, fix)", id="fewer variants"),
        pytest.param(
            plan_of(scenario=SLOWER), "another bound of other", id="the same variants, one with another bound"
        ),
        pytest.param(plan_of(scenario=replace(SCENARIO, method="PUT")), "another method", id="method"),
        pytest.param(plan_of(scenario=replace(SCENARIO, body='{"n": 2}')), "another body", id="body"),
        pytest.param(plan_of(scenario=replace(SCENARIO, health_path="/ok")), "another health path", id="health path"),
        pytest.param(plan_of(scenario=replace(SCENARIO, locustfile="x.py")), "another locustfile", id="locustfile"),
        pytest.param(plan_of(scenario=IN_ANOTHER_ENVIRONMENT), "another environment of other", id="environment"),
        pytest.param(plan_of(scenario=REWRITTEN), "another file of other", id="the same variants, one rewritten"),
    ],
)
def test_another_plan_under_the_same_name_is_refused(tmp_path: Path, plan: Plan, differing: str) -> None:
    ran(tmp_path, plan_of())
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(UsageError) as refused:
        opened(tmp_path, plan)
    assert differing in str(refused.value)
    assert "choose another --run" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_run_is_not_resumed_by_another_revision_of_the_harness(tmp_path: Path) -> None:
    machine = MachineRecord()
    first, second = (
        Invocation("standard", lambda names, seed: "", machine, GitRecord(revision * 40, dirty=False))
        for revision in ("a", "b")
    )
    open_run(tmp_path, plan_of(), first)
    open_run(tmp_path, plan_of(rounds=4), first)
    with pytest.raises(UsageError, match="another revision of this harness"):
        open_run(tmp_path, plan_of(rounds=5), second)


def test_a_run_is_not_resumed_with_another_version_of_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path, plan_of())
    monkeypatch.setattr(run_record, "versions", lambda names: {"redis": "0.0.1"})
    with pytest.raises(UsageError, match=r"another version of redis .*, now 0\.0\.1"):
        opened(tmp_path, plan_of(rounds=4))


def test_what_may_be_secret_is_not_in_the_record(tmp_path: Path) -> None:
    opened(tmp_path, plan_of(scenario=IN_ANOTHER_ENVIRONMENT))
    assert "swordfish" not in (tmp_path / "run.json").read_text()


def test_a_run_is_resumed_with_other_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the scenario's own session's, and told apart in its entry."""
    opened(tmp_path, plan_of())
    entry = files.read_json(tmp_path / "run.json")["scenarios"]["made_up"]
    assert entry["packages"]["redis"] == metadata.version("redis")
    monkeypatch.setattr(run_record, "SCENARIO_PACKAGES", ())
    opened(tmp_path, plan_of(rounds=4))
    assert files.read_json(tmp_path / "run.json")["scenarios"]["made_up"]["packages"] == {}


@pytest.mark.parametrize("content", [b'{"schema": 2, "na', b'{"schema": 99}', b"", b'{"schema": 2}'])
def test_a_run_json_that_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"run\.json"):
        opened(tmp_path, plan_of())
    assert (tmp_path / "run.json").read_bytes() == content


def test_scenarios_of_one_run_lie_side_by_side(tmp_path: Path) -> None:
    ran(tmp_path, plan_of(seed=1))
    ran(tmp_path, plan_of(seed=2, scenario=replace(SCENARIO, name="second")))
    content = files.read_json(tmp_path / "run.json")
    assert {name: entry["seed"] for name, entry in content["scenarios"].items()} == {"made_up": 1, "second": 2}
    assert content["machine"]["packages"] == {"uvicorn": "0.1"}
    assert content["command"] == "made_up second --seed 2"


def test_run_json_is_as_documented(tmp_path: Path) -> None:
    opened(tmp_path, plan_of())
    content = files.read_json(tmp_path / "run.json")
    assert content.keys() >= {"schema", "name", "created_unix_s", "command", "machine", "git", "scenarios"}
    entry = content["scenarios"]["made_up"]
    assert entry["load"] == {"name": "users-32", "model": "closed", "users": 32, "rate_rps": None}
    assert (entry["seed"], entry["rounds"], entry["measure_s"], entry["profile"]) == (1, 3, 1.0, "standard")
    trap, fix, _ = entry["variants"]
    assert (trap["name"], trap["role"], trap["file"]) == ("trap", "trap", "ugly/ugly_run/fine.py")
    assert trap["source"] == (UGLY / "ugly_run" / "fine.py").read_text()
    assert (trap["bound"]["max_rps"], trap["bound"]["min_latency_s"]) == (pytest.approx(20), pytest.approx(1.6))
    assert fix["bound"]["places"] is None  # no limit; infinity is not JSON


def test_the_progress_shows_a_repeated_round(tmp_path: Path) -> None:
    text = io.StringIO()
    with CampaignProgress(Console(file=text, width=200), "made_up") as progress:
        outcome = run_campaign(plan_of(), tmp_path, Fake(tmp_path, invalid=[("other", 2)]), progress)
    assert outcome.rounds_repeated == 1
    lines = text.getvalue().splitlines()
    assert lines.count("made_up: round 2 is measured again, since a trial is invalid") == 1
    assert len([line for line in lines if line.startswith("made_up round 2/3 other")]) == 2
