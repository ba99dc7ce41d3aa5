"""The locustfiles of several scenarios in one Locust.

A locustfile defines options and listens to events as if there were no other. Here each is loaded with its own events,
so that two may define the same option, or a class of the same name.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import locust
from locust.argument_parser import get_empty_argument_parser
from locust.event import Events
from locust.util.load_locustfile import is_user_class

from bench.planning.catalogue import ROOT


@dataclass(frozen=True)
class LoadedLocustfile:
    """One locustfile: its user classes, and the events that it listens to."""

    users: tuple[type, ...]
    events: Any

    def configure(self, options: list[str]) -> None:
        """Give the locustfile its options, as a start of Locust with them would."""
        parser = get_empty_argument_parser()
        self.events.init_command_line_parser.fire(parser=parser)
        self.events.test_start.fire(environment=SimpleNamespace(parsed_options=parser.parse_args(options)))


class LoadedLocustfiles:
    """All locustfiles that the scenarios name, relative to the repository."""

    def __init__(self, locustfiles: Iterable[str]) -> None:
        self._all = {name: _load(name) for name in locustfiles}

    @property
    def first(self) -> LoadedLocustfile:
        """Some locustfile: Locust needs user classes before one is chosen."""
        return next(iter(self._all.values()))

    def apply(self, environment: Any, encoded: str) -> None:
        """Set the user classes and options of ``environment`` as ``encoded_options`` gives them."""
        content = json.loads(encoded)
        locustfile = self._all[content["locustfile"]]
        locustfile.configure(content["options"])
        environment.user_classes = list(locustfile.users)


def encoded_options(locustfile: str, options: tuple[str, ...]) -> str:
    """A locustfile and its options as one option of Locust, which its workers get, too."""
    return json.dumps({"locustfile": locustfile, "options": list(options)})


def _load(name: str) -> LoadedLocustfile:
    with _own_events() as events:
        module = _imported(ROOT / name)
    users = tuple(value for value in vars(module).values() if is_user_class(value))
    return LoadedLocustfile(users, events)


@contextmanager
def _own_events() -> Iterator[Any]:
    kept, locust.events = locust.events, Events()
    try:
        yield locust.events
    finally:
        locust.events = kept


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"behaviour_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
