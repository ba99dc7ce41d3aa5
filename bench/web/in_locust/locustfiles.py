"""How the users of each scenario behave: its locustfile, several of which live side by side in one Locust.

A locustfile defines options and listens to events as if it were alone. Here each is loaded with events of its own, so
that two that define ``--path``, or have a class of the same name, do not get in each other's way.
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
    """One locustfile: its classes of users, and the events that it listens to."""

    users: tuple[type, ...]
    events: Any

    def configure(self, words: list[str]) -> None:
        """Tell the locustfile its options, as a start of Locust with them would."""
        parser = get_empty_argument_parser()
        self.events.init_command_line_parser.fire(parser=parser)
        self.events.test_start.fire(environment=SimpleNamespace(parsed_options=parser.parse_args(words)))


class LoadedLocustfiles:
    """All locustfiles that the scenarios name, relative to the repository."""

    def __init__(self, locustfiles: Iterable[str]) -> None:
        self._all = {name: _load(name) for name in locustfiles}

    @property
    def first(self) -> LoadedLocustfile:
        """Any: for who needs users before it is known which."""
        return next(iter(self._all.values()))

    def adopt(self, environment: Any, said: str) -> None:
        """Have ``environment`` start the users of ``said``, which ``saying`` has made."""
        content = json.loads(said)
        behaviour = self._all[content["locustfile"]]
        behaviour.configure(content["options"])
        environment.user_classes = list(behaviour.users)


def saying(locustfile: str, options: list[str]) -> str:
    """A locustfile and its options in one word, which Locust carries to its workers."""
    return json.dumps({"locustfile": locustfile, "options": options})


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
