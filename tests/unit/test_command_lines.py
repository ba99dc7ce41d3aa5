"""Every command prints its options back as a command line that parses to the same options."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli.app_command import AppOptions, app_command
from bench.cli.bench_command import BenchOptions, bench_command
from bench.cli.calibrate_command import CalibrateOptions, calibrate_command
from bench.cli.doctor_command import DoctorOptions, doctor_command
from bench.cli.option_types import command_words
from bench.cli.report_command import ReportOptions, report_command
from bench.cli.web_command import WebOptions, web_command
from bench.model.errors import UsageError

COMMANDS: list[tuple[click.Command, type[Any]]] = [
    (bench_command, BenchOptions),
    (app_command, AppOptions),
    (doctor_command, DoctorOptions),
    (web_command, WebOptions),
    (calibrate_command, CalibrateOptions),
]
NAMES = [command.name if options is not AppOptions else "bench --app" for command, options in COMMANDS]


def parsed(command: click.Command, options: type[Any], words: list[str]) -> Any:
    return options(**command.make_context("x", list(words)).params)


@pytest.mark.parametrize(("command", "options"), [*COMMANDS, (report_command, ReportOptions)])
def test_the_fields_are_the_commands_parameters(command: click.Command, options: type[Any]) -> None:
    assert {field.name for field in fields(options)} == {parameter.name for parameter in command.params}


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12)
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)


def values_of(parameter: click.Parameter) -> st.SearchStrategy[Any]:
    """Values of a parameter as a user would type them."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return st.booleans()
    kind = parameter.type
    if isinstance(kind, click.IntRange):
        return st.integers(int(kind.min or 0), int(kind.max or 10_000))
    if isinstance(kind, click.FloatRange):
        return st.floats(0.001, 1e6)
    if isinstance(kind, click.Choice):
        return st.sampled_from(list(kind.choices))
    if kind.name == "N,N,…":
        return st.sets(st.integers(1, 1000), min_size=1, max_size=4).map(lambda users: tuple(sorted(users)))
    if kind.name == "CATEGORY,…":
        return st.just(("loop-blocked", "idle"))
    if kind.name == "SHARE":
        return st.floats(0.0, 1.0)
    if isinstance(kind, click.Path):
        return TEXTS.map(Path)
    return TEXTS


@st.composite
def options_of(draw: st.DrawFn, command: click.Command, options: type[Any]) -> Any:
    chosen = {}
    for parameter in command.params:
        values = values_of(parameter)
        if isinstance(parameter, click.Argument) or parameter.multiple:
            least = 1 if parameter.required else 0
            chosen[parameter.name] = tuple(draw(st.lists(values, min_size=least, max_size=3)))
        elif parameter.required or draw(st.booleans()):
            chosen[parameter.name] = draw(values)
    try:
        return options(**chosen)
    except UsageError:
        return options(**{name: value for name, value in chosen.items() if name not in ("rate",)})


@pytest.mark.parametrize(("command", "options"), COMMANDS, ids=NAMES)
@given(data=st.data())
def test_a_command_line_parses_to_the_options_that_it_was_made_of(
    command: click.Command, options: type[Any], data: st.DataObject
) -> None:
    made = data.draw(options_of(command, options))
    if isinstance(made, DoctorOptions):  # secret values are left out on purpose
        made = replace(made, headers=())
    if isinstance(made, BenchOptions | WebOptions):
        made = replace(made, database_url=None, redis_url=None)
    words = command_words(command, made, left_out=frozenset())
    assert parsed(command, options, shlex.split(shlex.join(words))) == made


@pytest.mark.parametrize(
    ("command", "words", "expected"),
    [
        (
            BenchOptions(scenarios=("cpu",), variants=("async_def",), rounds=2, run="x").command(["cpu"], 7),
            bench_command,
            BenchOptions(variants=("async_def",), rounds=2, seed=7),
        ),
        (
            AppOptions(
                ("m:app",), "/x", ("--loop", "uvloop"), "POST", '{"n": 1}', env_file=Path("e"), check=True
            ).command([], 7),
            app_command,
            AppOptions(("m:app",), "/x", ("--loop", "uvloop"), "POST", '{"n": 1}', env_file=Path("e"), seed=7),
        ),
        (
            DoctorOptions(("m:app", "--loop", "asyncio"), app_dir=Path("a b"), headers=("Key: secret",)).command(),
            doctor_command,
            DoctorOptions(("m:app", "--loop", "asyncio"), app_dir=Path("a b"), headers=("Key: …",)),
        ),
        (WebOptions(("cpu",), web_port=9000).command(), web_command, WebOptions(("cpu",), web_port=9000)),
    ],
    ids=["bench", "bench --app", "doctor", "web"],
)
def test_the_recorded_command_measures_the_same(command: str, words: click.Command, expected: Any) -> None:
    """What is measured, that is: neither the folder of the results nor what was checked."""
    program, flag, _, *rest = shlex.split(command)
    assert (program, flag) == ("nox", "-s")
    assert rest[0] == "--"
    assert parsed(words, type(expected), rest[1:]) == expected
    assert "secret" not in command
