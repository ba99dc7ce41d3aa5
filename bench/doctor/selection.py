"""What the user selected: which operations are asked, and with which values and headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token (RFC 9110, section 5.6.2)."""
ORDINARY_HEADERS = frozenset({"accept", "accept-language", "content-type", "content-language", "x-requested-with"})
"""Headers whose values are no secrets, and stand in ordinary logs."""
UNFILLED = "<fill in"
"""Beginning of a value in a file of parameters that the user has yet to fill in."""


@dataclass(frozen=True)
class Recorded:
    """A request that was recorded for an operation."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: str
    source: str
    """Where: ``a HAR file``."""


@dataclass(frozen=True)
class Selection:
    """What the user selected: more operations, operations to skip, values and headers."""

    include: tuple[str, ...] = ()
    """Operations that are measured although their method is not safe: ``POST /search``, or a pattern, ``POST /search*``."""
    exclude: tuple[str, ...] = ()
    """Operations that are skipped, or patterns."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """``{"item_id": 5}`` for every operation, ``{"GET /items/{item_id}": {"item_id": 5}}`` for one; there ``body``."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request."""
    include_writes: bool = False
    """Whether operations of every method are measured."""
    generate: bool = False
    """Whether values that are not known are made from the schema."""
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    """Recorded requests by operation."""

    def secret_values(self) -> Iterator[str]:
        """Values of headers, parameters and recorded requests, which no result may hold."""
        yield from (value for _, value in self.headers)
        yield from _texts(self.params)
        for recorded in self.recorded.values():
            yield from (value for name, value in recorded.headers if name.lower() not in ORDINARY_HEADERS)
            yield recorded.body
            yield from (value for _, value in parse_qsl(recorded.path.partition("?")[2]))

    def includes(self, name: str) -> bool:
        """Whether the user wants the operation ``name`` although its method is not safe."""
        return self.include_writes or self.names(name)

    def names(self, name: str) -> bool:
        """Whether the user named the operation, or a pattern that fits it."""
        return any(matches(name, pattern) for pattern in self.include)

    def excludes(self, name: str) -> bool:
        """Whether the user does not want it."""
        return any(matches(name, pattern) for pattern in self.exclude)

    def given(self, operation: str) -> dict[str, Any]:
        """The user's values for an operation, without those that are yet to be filled in."""
        for_operation = self.params.get(operation)
        given = {key: value for key, value in self.params.items() if " " not in key}
        given |= for_operation if isinstance(for_operation, dict) else {}
        return {key: value for key, value in given.items() if UNFILLED not in json.dumps(value)}


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern (``POST /search*``) names the operation. ``*`` is any text, ``?`` any character."""
    return name == pattern or fnmatchcase(name, re.sub(r"\[", "[[]", pattern))


def as_text(value: Any) -> str:
    """A value as it stands in a path, a query or a header."""
    return value if isinstance(value, str) else json.dumps(value)


def _texts(value: Any) -> Iterator[str]:
    """Every value in a JSON document, as text."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    else:
        yield as_text(value)
