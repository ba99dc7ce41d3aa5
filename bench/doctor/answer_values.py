"""Finds values for parameters in what an app answers: ``GET /articles`` lists the slugs that ``GET /articles/{slug}`` takes.

    answers = Answers()
    answers.add("GET /articles", b'[{"slug": "first-steps"}]')
    answers.value("/articles/{slug}", "slug", "string")        # FoundValue("first-steps", "slug from GET /articles")

In this order: links to the operation itself, fields of the collection that it belongs to, fields of the same name in any
answer. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

MAX_VALUES = 20_000
"""Values of an answer that are looked at. An answer may be large."""
GENERAL_NAMES = frozenset({"id", "uuid", "guid", "pk", "key", "name", "slug", "number", "code"})
"""Names of fields that belong to many kinds of things. Only the collection of the operation counts for them."""
ID_SUFFIX = re.compile(r"[_-]?(id|uuid|guid|pk|key|slug|name|number|code)$", re.IGNORECASE)
IDENTIFIERS = ("id", "uuid", "guid", "pk", "_id", "key", "slug", "name")
"""Fields that identify an item, the most usual first."""


@dataclass(frozen=True)
class FoundValue:
    """A value for a parameter, and where it was found."""

    value: str | int | float | bool
    source: str


@dataclass(frozen=True)
class _Answer:
    operation: str
    path: str
    """Of the operation, without its method."""
    content: Any


class Answers:
    """What operations answered, as far as it is JSON."""

    def __init__(self) -> None:
        self._answers: list[_Answer] = []

    def add(self, operation: str, content: bytes) -> None:
        """Keep an answer. One that is no JSON holds no values."""
        try:
            parsed = json.loads(content)
        except (ValueError, RecursionError):
            return
        self._answers.append(_Answer(operation, operation.partition(" ")[2], parsed))

    def value(self, path: str, key: str, kind: str) -> FoundValue | None:
        """A value for the parameter ``key`` of the operation at ``path``, of the type ``kind`` (of JSON Schema; empty: any)."""
        for candidates in (self._linked(path, key), self._of_collection(path, key), self._of_the_same_name(path, key)):
            for found in candidates:
                if _fits(found.value, kind):
                    return found
        return None

    def _linked(self, path: str, key: str) -> Iterator[FoundValue]:
        """Values in links: ``/articles/first-steps`` for ``/articles/{slug}``."""
        if f"{{{key}}}" not in path:
            return
        pattern = re.compile("".join(_part(part, key) for part in re.split(r"({[^}]*})", path)))
        for answer in self._answers:
            for _, value in _fields(answer.content):
                if isinstance(value, str) and "/" in value and (match := pattern.fullmatch(urlsplit(value).path)):
                    yield FoundValue(unquote(match[1]), f"{key} from a link in {answer.operation}")

    def _of_collection(self, path: str, key: str) -> Iterator[FoundValue]:
        """Values in the answer of ``/articles`` for ``/articles/{slug}/comments``."""
        before = path.partition(f"{{{key}}}")[0].rstrip("/")
        if before == path:  # it stands in the query
            before = path
        for answer in self._answers:
            if answer.path.rstrip("/") != before:
                continue
            for name in _names_for(key):
                for field, value in _fields(answer.content):
                    if field.lower() == name:
                        yield FoundValue(value, f"{field} from {answer.operation}")

    def _of_the_same_name(self, path: str, key: str) -> Iterator[FoundValue]:
        """Values under the same name in any answer: ``username`` in ``/articles`` for ``/profiles/{username}``."""
        if key.lower() in GENERAL_NAMES:
            return
        for answer in self._answers:
            for field, value in _fields(answer.content):
                if _plain(field) == _plain(key):
                    yield FoundValue(value, f"{field} from {answer.operation}")


def _part(part: str, key: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return "([^/?#]+)" if part == f"{{{key}}}" else "[^/?#]+"


def _names_for(key: str) -> Iterator[str]:
    """Names of fields that may hold the value, the most likely first: ``article_id``, then ``id``."""
    yield key.lower()
    suffix = ID_SUFFIX.search(key)
    if suffix:
        yield suffix[1].lower()
    yield from (name for name in IDENTIFIERS if suffix is None or name != suffix[1].lower())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _fields(content: Any) -> Iterator[tuple[str, Any]]:
    """Every plain value with the name of its field, in the order of the answer, the outermost first."""
    left = MAX_VALUES
    level: list[tuple[str, Any]] = [("", content)]
    while level and left > 0:
        below: list[tuple[str, Any]] = []
        for name, value in level:
            left -= 1
            if left <= 0:
                return
            if isinstance(value, dict):
                below += [(str(key), each) for key, each in value.items()]
            elif isinstance(value, list):
                below += [(name, each) for each in value]
            elif value is not None:
                yield name, value
        level = below


def _fits(value: object, kind: str) -> bool:
    """Whether a value has a type of JSON Schema. A number in a string is a number: identifiers often are."""
    if isinstance(value, bool):
        return kind in ("boolean", "")
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdecimal())
    if kind == "number":
        return isinstance(value, int | float)
    if kind in ("string", ""):
        return isinstance(value, int) or (isinstance(value, str) and 0 < len(value) <= 200)
    return False
