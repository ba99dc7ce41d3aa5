"""Types of option values, and how a command's options are written as a command line again."""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.model.errors import UsageError
from bench.planning import catalogue
from bench.results import schema

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_USERS = 1000
"""Each user has a connection, and a process usually 1,024 open files."""


class _Positive(click.FloatRange):
    """A positive number. The upper bound refuses 'inf', which is a float; 'nan' is one, too, within any bounds."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=1e6)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a positive number.", param, ctx)
        return number


class _Sweep(click.ParamType[tuple[int, ...]]):
    """Numbers of users between commas."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if not all(
            word.isascii() and word.isdigit() and len(word) < 9 and 1 <= int(word) <= MAX_USERS for word in words
        ):
            self.fail(
                f"{value!r} is not numbers of users (1 to {MAX_USERS}) between commas, as in 1,8,32,128.", param, ctx
            )
        return tuple(sorted({int(word) for word in words}))


class _Categories(click.ParamType[tuple[str, ...]]):
    """Categories of a server's state between commas, with hyphens: loop-blocked,threadpool-exhausted."""

    name = "CATEGORY,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        known = {category.lower().replace(" ", "-"): category for category in schema.CATEGORIES}
        words = str(value).split(",")
        if not all(word in known for word in words):
            self.fail(f"{value!r} is not among {', '.join(known)}, between commas.", param, ctx)
        return tuple(dict.fromkeys(words))


class _Share(click.ParamType[float]):
    """A share, as 60% or 0.6."""

    name = "SHARE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = math.nan
        if not 0 <= share <= 1:
            self.fail(f"{text!r} is not a share between 0% and 100%, as in 60%.", param, ctx)
        return share


POSITIVE = _Positive()
SHARE = _Share()
SWEEP = _Sweep()
CATEGORY_NAMES = _Categories()
PLACE = click.Path(path_type=Path)

RESULTS = click.option(
    "--results", type=PLACE, default=Path("results"), show_default=True, help="Folder for the results."
)
INVOKED_FROM = click.option("--invoked-from", type=PLACE, default=Path(), hidden=True)

WAIT = click.option("--wait", is_flag=True, help="Wait for another measurement on this machine to end.")

NOT_RECORDED = frozenset(
    {"run", "results", "invoked_from", "check", "fail_on", "min_coverage", "show_list", "write_params", "wait"}
)
"""Where the results go, when it begins and what is checked, as opposed to what is measured."""
NAMED_VALUES = frozenset({"headers"})
"""Of such an option's value only the name is written: the user has to fill in the rest."""
SECRET_VALUES = frozenset({"database_url", "redis_url"})
"""Nothing of such an option's value is written."""


def run_name(name: str | None) -> str:
    """The name of the run's folder, by default the time. UsageError for a name that cannot be a folder."""
    if name is None:
        return time.strftime("%Y-%m-%d_%H%M%S")
    if not RUN_NAME.fullmatch(name) or name == "latest":
        raise UsageError(f"a run's name is letters, digits, '.', '_' and '-' (and not 'latest'), not {name!r}")
    return name


def command_words(
    command: click.Command, options: DataclassInstance, left_out: frozenset[str] = NOT_RECORDED
) -> list[str]:
    """``options`` as words that ``command`` parses to the same options. Defaults are left out.

    The fields of ``options`` have the names of the command's parameters, and the same defaults.
    """
    defaults = {field.name: field.default for field in fields(options)}
    words: list[str] = []
    arguments: list[str] = []
    for parameter in command.params:
        name = parameter.name or ""
        if name in left_out:
            continue
        value = getattr(options, name)
        if isinstance(parameter, click.Argument):
            arguments += [str(each) for each in value]
        elif value != defaults[name]:
            words += _option_words(parameter, name, value)
    return [*words, *_argument_words(arguments)]


def _option_words(parameter: click.Parameter, name: str, value: object) -> Iterator[str]:
    option = max(parameter.opts, key=len)
    if isinstance(parameter, click.Option) and parameter.is_flag:
        yield option
        return
    for each in value if parameter.multiple and isinstance(value, tuple) else (value,):
        text = ",".join(map(str, each)) if isinstance(each, tuple) else str(each)
        if name in NAMED_VALUES:
            text = f"{text.partition(':')[0]}: …"
        if name in SECRET_VALUES:
            text = "…"
        yield f"{option}={text}" if text.startswith("-") else option
        if not text.startswith("-"):
            yield text


def _argument_words(arguments: list[str]) -> list[str]:
    """The words after the options. ``--`` stands before the first that looks like an option."""
    for place, word in enumerate(arguments):
        if word.startswith("-"):
            return [*arguments[:place], "--", *arguments[place:]]
    return arguments


def recorded_command(name: str, words: Sequence[str], scenarios: Sequence[str] = ()) -> str:
    """The command line for run.json, as a shell takes it: of nox in a checkout, else of the installed program."""
    if catalogue.ROOT == catalogue.BUNDLED:
        return shlex.join(["async-bench", name, *scenarios, *words])
    sessions = [f"{name}({scenario})" for scenario in scenarios] or [name]
    return shlex.join(["nox", "-s", *sessions, *(["--", *words] if words else [])])
