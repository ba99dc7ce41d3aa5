"""The command line: what is not allowed ends as one line, status 2, with nothing started and nothing written."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import synthetic
from harness import ROOT, bench

from bench.model import Claim, Comparison, Relation


def line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a command that was refused."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("nonsense", ["'nonsense'", "blocking"]),
        ("../apps", ["'../apps'", "blocking"]),
        ("blocking --variant nonsense", ["'nonsense'", "awaited", "blocking_call", "plain_def", "run_in_threadpool"]),
        ("blocking --variant awaited --variant nonsense", ["'nonsense'", "awaited", "blocking_call"]),
        ("blocking --profile nonsense", ["'nonsense'", "'quick', 'standard', 'thorough'"]),
        ("blocking --rounds -1", ["--rounds", "-1", "1<=x"]),
        ("blocking --rounds 0", ["--rounds", "0", "1<=x"]),
        ("blocking --rounds 1.5", ["--rounds", "1.5"]),
        ("blocking --users -3", ["--users", "-3", "1<=x<=1000"]),
        ("blocking --users 0", ["--users", "0", "1<=x<=1000"]),
        ("blocking --users 1001", ["--users", "1001", "1<=x<=1000"]),
        ("blocking --users many", ["--users", "'many'"]),
        ("blocking --measure-s -1", ["--measure-s", "-1", "0<x"]),
        ("blocking --measure-s 0", ["--measure-s", "0<x"]),
        ("blocking --measure-s nan", ["--measure-s", "nan"]),
        ("blocking --measure-s inf", ["--measure-s", "inf", "0<x"]),
        ("blocking --measure-s -inf", ["--measure-s", "-inf", "0<x"]),
        ("blocking --rate nan", ["--rate", "nan"]),
        ("blocking --rate inf", ["--rate", "inf"]),
        ("blocking --rate -5", ["--rate", "-5", "0<x"]),
        ("blocking --rate 5 --users 5", ["--users", "--rate", "exclude each other"]),
        ("blocking --sweep 1,many", ["--sweep", "'1,many'", "1 to 1000", "1,8,32,128"]),
        ("blocking --sweep 0,8", ["--sweep", "'0,8'", "1 to 1000"]),
        ("blocking --sweep 1,,8", ["--sweep", "'1,,8'"]),
        ("blocking --sweep 8,1001", ["--sweep", "1 to 1000"]),
        ("blocking --sweep 8 --rate 5", ["--sweep", "--rate", "exclude each other"]),
        ("blocking --seed -1", ["--seed", "-1", "x>=0"]),
        ("blocking --run ../escape", ["'../escape'", "letters, digits"]),
        ("blocking --run .hidden", ["'.hidden'", "letters, digits"]),
        ("blocking --run latest", ["'latest'", "not 'latest'"]),
        ("blocking --run " + "x" * 101, ["letters, digits"]),
        ("blocking --nonsense", ["'--nonsense'"]),
        ("blocking extra", ["extra"]),
    ],
)
def test_what_is_not_allowed_starts_and_writes_nothing(tmp_path: Path, arguments: str, says: list[str]) -> None:
    refused = line(bench("bench", *arguments.split(), "--results", tmp_path / "results"))
    assert [word for word in says if word not in refused] == []
    assert list(tmp_path.iterdir()) == []


def test_an_empty_name_of_a_run_is_refused(tmp_path: Path) -> None:
    assert "letters, digits" in line(bench("bench", "blocking", "--run", "", "--results", tmp_path / "results"))


def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused = line(bench("bench", "blocking", "--results", tmp_path / "file" / "results", "--run", "r"))
    assert str(tmp_path / "file" / "results") in refused
    assert "cannot be written" in refused
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_whose_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("not a folder")
    assert "cannot be written" in line(bench("bench", "blocking", "--results", tmp_path, "--run", "r"))
    assert (tmp_path / "r").read_text() == "not a folder"


def test_a_run_whose_record_is_cut_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "run.json").write_text('{"schema": 2, "na')
    refused = line(bench("bench", "blocking", "--results", tmp_path, "--run", "r"))
    assert str(tmp_path / "r" / "run.json") in refused
    assert (tmp_path / "r" / "run.json").read_text() == '{"schema": 2, "na'
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["run.json"]


def test_a_second_harness_is_refused(tmp_path: Path) -> None:
    program = (
        "import sys; from bench.running.measurement_lock import hold_machine\n"
        "with hold_machine('the first one'): print('held', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", program]
    with subprocess.Popen(arguments, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == "held\n"
            refused = line(bench("bench", "blocking", "--results", tmp_path, "--run", "second"))
        finally:
            first.kill()
    assert f"another measurement is running on this machine (the first one, process {first.pid}, since " in refused
    assert "--wait" in refused
    assert not (tmp_path / "second").exists()


def test_a_variant_of_another_scenario_is_passed_over(tmp_path: Path) -> None:
    """``nox -s bench -- --variant killed`` goes through all scenarios."""
    apps = ROOT / "tests" / "support" / "ugly"
    done = bench("bench", "ugly_start", "--apps", apps, "--variant", "killed", "--results", tmp_path / "results")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ugly_start: skipped, it has no variant killed" in done.stdout
    assert "killed" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_what_is_no_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        refused = line(bench("report", folder))
        assert str(folder) in refused
        assert "run.json" in refused
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [('{"schema": 2, "na', "not whole JSON"), ('{"schema": 99}', "schema 99"), ("", "not whole JSON")],
    ids=["cut", "another schema", "empty"],
)
def test_a_report_of_a_broken_record_is_refused_by_name(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "run.json").write_text(content)
    refused = line(bench("report", tmp_path))
    assert str(tmp_path / "run.json") in refused
    assert says in refused
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_help_names_the_options() -> None:
    done = bench("bench", "--help")
    assert done.returncode == 0
    options = ("--profile", "--variant", "--rounds", "--users", "--measure-s", "--seed", "--run")
    assert [option for option in options if option not in done.stdout] == []


def run_with_a_claim(tmp_path: Path, other: Relation) -> Path:
    run = synthetic.blocking_run(tmp_path / "r", ways=synthetic.WAYS[:2])
    claim = Claim("said", "So it is said.", (Comparison("throughput_rps", "awaited", other, "blocking_call"),))
    declared = synthetic.scenario(synthetic.WAYS[:2], claims=[asdict(claim)])
    synthetic.write_run(run, {"blocking": declared, "empty": declared})
    return run


def test_check_tells_a_refuted_claim_by_the_exit_status(tmp_path: Path) -> None:
    run = run_with_a_claim(tmp_path, "below")
    said = bench("report", run)
    checked, elsewhere = (bench("report", run, "--check", "--scenario", name) for name in ("blocking", "empty"))
    assert (said.returncode, checked.returncode, elsewhere.returncode) == (0, 1, 0), checked.stderr
    assert "\n refuted " in checked.stdout
    assert "So it is said." in checked.stdout


def test_check_of_a_claim_that_holds_is_well(tmp_path: Path) -> None:
    checked = bench("report", run_with_a_claim(tmp_path, "above"), "--check", "--scenario", "blocking")
    assert checked.returncode == 0, checked.stderr
    assert "\n refuted " not in checked.stdout
