"""Reads an OpenAPI document (3.0 or 3.1): which operations can be asked, filled with what the document itself offers.

    found = operations(document, Selection())
    found.checks      # requests that are complete and safe to repeat
    found.left_out    # the others, each with the reason in one line

Pure. Parameters come from what the user gave, then from ``example``, ``examples``, ``default``, ``const`` and ``enum``,
in this order; nothing is guessed. Optional parameters are left to the app's own defaults. Source: OpenAPI Specification
3.1.0, sections 4.8.10 (Operation Object), 4.8.12 (Parameter Object) and 4.8.14 (Media Type Object).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

SAFE = ("GET", "HEAD")
"""Safe by RFC 9110, section 9.2.1: they are asked unbidden."""
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
DEEPEST_REFERENCE = 20
"""References that lead to references: a document's own loop ends there."""
DEEPEST_SCHEMA = 8
JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\b")

MISSING = object()


@dataclass(frozen=True)
class SampleRequest:
    """One request that stands for an operation of the app."""

    name: str
    """The operation as its document has it: ``GET /items/{item_id}``."""
    method: str
    path: str
    """Ready for the wire: ``/items/5?full=1``."""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


@dataclass(frozen=True)
class SkippedOperation:
    """An operation that is not asked, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """What the user said: further operations to ask, some to leave alone, and values for their parameters."""

    include: tuple[str, ...] = ()
    """Names of operations that are not safe, and are asked all the same: ``POST /search``."""
    exclude: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    """``{"item_id": 5}`` for every operation, ``{"GET /items/{item_id}": {"item_id": 5}}`` for one; there ``body``."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request."""


@dataclass(frozen=True)
class Operations:
    """All operations of a document, in its order."""

    checks: tuple[SampleRequest, ...]
    left_out: tuple[SkippedOperation, ...]


class MissingValue(Exception):
    """A request lacks a value; the message says which."""


def operations(document: Mapping[str, Any], wishes: Selection) -> Operations:
    """Every operation of ``document``, as a request or with the reason why it is none.

    ValueError when it is no OpenAPI document, or when ``wishes`` name an operation that it does not have.
    """
    if not isinstance(document.get("openapi"), str) or not isinstance(document.get("paths", {}), dict):
        raise ValueError("it is not an OpenAPI 3 document: it has no 'openapi' with a version, or no 'paths'")
    reader = _Reader(document, wishes)
    checks: list[SampleRequest] = []
    left_out: list[SkippedOperation] = []
    names = []
    for name, method, path, operation in reader.operations():
        names.append(name)
        reason = _unwanted(name, method, wishes)
        try:
            if not reason:
                checks.append(reader.check(name, method, path, operation))
        except MissingValue as unfilled:
            reason = str(unfilled)
        if reason:
            left_out.append(SkippedOperation(name, reason))
    for wish in (*wishes.include, *wishes.exclude, *(key for key in wishes.params if " " in key)):
        if wish not in names:
            raise ValueError(f"the app has no operation {wish!r}; it has: {', '.join(names) or 'none'}")
    return Operations(tuple(checks), tuple(left_out))


def _unwanted(name: str, method: str, wishes: Selection) -> str:
    if name in wishes.exclude:
        return "left out as asked"
    if method == "HEAD":
        return "the load generator cannot ask HEAD"
    if method not in SAFE and name not in wishes.include:
        return f'{method} may change something: ask for it with --include "{name}"'
    return ""


class _Reader:
    """One document with its references, and what the user gave."""

    def __init__(self, document: Mapping[str, Any], wishes: Selection) -> None:
        self._document = document
        self._wishes = wishes

    def operations(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        for path, shared in self._document.get("paths", {}).items():
            item = self._resolved(shared)
            for method in METHODS:
                operation = item.get(method.lower())
                if isinstance(operation, dict):
                    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
                    yield f"{method} {path}", method, str(path), {**operation, "parameters": parameters}

    def check(self, name: str, method: str, path: str, operation: dict[str, Any]) -> SampleRequest:
        """The operation's request; MissingValue says what it lacks."""
        if not path.startswith("/"):
            raise MissingValue("its path does not begin with '/', so it may lead to another server")
        own = self._wishes.params.get(name)
        given = {key: value for key, value in self._wishes.params.items() if " " not in key}
        given |= own if isinstance(own, dict) else {}
        values = self._values(operation["parameters"], given)
        for key in re.findall(r"{([^}]*)}", path):
            if ("path", key) not in values:
                raise MissingValue(_lacking(key, "path", "it has no example"))
            path = path.replace(f"{{{key}}}", quote(_text(values["path", key]), safe=""))
        query = [(key, item) for (where, key), value in values.items() if where == "query" for item in _items(value)]
        headers = [(key, _text(value)) for (where, key), value in values.items() if where == "header"]
        cookies = [f"{key}={_text(value)}" for (where, key), value in values.items() if where == "cookie"]
        headers += [("Cookie", "; ".join(cookies))] if cookies else []
        for key, text in headers:
            if not text.isascii() or not text.isprintable():
                raise MissingValue(
                    f"the header {key} would have characters that cannot stand there: give it with --params"
                )
        body = self._body(operation, given)
        headers += [("Content-Type", "application/json")] if body else []
        path = quote(path, safe="/%:@!$&'()*+,;=-._~")
        asked = f"{path}?{urlencode(query)}" if query else path
        return SampleRequest(name, method, asked, (*headers, *self._wishes.headers), body)

    def _values(self, parameters: list[Any], given: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        """Values by (where, name); an operation's own parameter replaces the one of its path."""
        values: dict[tuple[str, str], Any] = {}
        sent = {key.lower() for key, _ in self._wishes.headers}
        for parameter in map(self._resolved, parameters):
            where, key = str(parameter.get("in")), str(parameter.get("name"))
            if where == "header" and key.lower() in sent:
                continue
            if key in given:
                values[where, key] = given[key]
            elif parameter.get("required"):
                value = self._offered(parameter)
                if value is MISSING:
                    kind = self._resolved(parameter.get("schema", {})).get("type", "any type")
                    raise MissingValue(_lacking(key, where, f"{kind}, without an example or a default"))
                values[where, key] = value
        return values

    def _body(self, operation: dict[str, Any], given: Mapping[str, Any]) -> str:
        body = self._resolved(operation.get("requestBody", {}))
        if "body" in given:
            return json.dumps(given["body"])
        if not body.get("required"):
            return ""
        content = next((media for kind, media in body.get("content", {}).items() if JSON_TYPE.match(kind)), None)
        if content is None:
            raise MissingValue(f"needs a body of {', '.join(body.get('content', {})) or 'unknown type'}, not JSON")
        value = self._offered(self._resolved(content))
        if value is MISSING:
            raise MissingValue("needs a body, which has no example or default: give it as body with --params")
        return json.dumps(value)

    def _offered(self, holder: dict[str, Any]) -> Any:
        """What a parameter or a media type offers as a value of its own, or of its schema."""
        if "example" in holder:
            return holder["example"]
        for example in (holder.get("examples") or {}).values() if isinstance(holder.get("examples"), dict) else ():
            if "value" in (resolved := self._resolved(example)):
                return resolved["value"]
        return self._of_schema(holder.get("schema", {}))

    def _of_schema(self, schema: Any, depth: int = 0) -> Any:
        schema = self._resolved(schema)
        if depth > DEEPEST_SCHEMA:
            return MISSING
        for key in ("example", "default", "const"):
            if key in schema:
                return schema[key]
        for key in ("examples", "enum"):
            if isinstance(schema.get(key), list) and schema[key]:
                return schema[key][0]
        for key in ("anyOf", "oneOf", "allOf"):
            for part in schema.get(key) or ():
                if (value := self._of_schema(part, depth + 1)) is not MISSING:
                    return value
        if "properties" in schema:
            return self._of_object(schema, depth)
        return MISSING

    def _of_object(self, schema: dict[str, Any], depth: int) -> Any:
        made = {}
        for key in schema.get("required", ()):
            value = self._of_schema(schema["properties"].get(key, {}), depth + 1)
            if value is MISSING:
                return MISSING
            made[key] = value
        return made

    def _resolved(self, value: Any) -> dict[str, Any]:
        """What a reference within the document stands for; empty where it leads nowhere."""
        for _ in range(DEEPEST_REFERENCE):
            if not isinstance(value, dict):
                return {}
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return value
            value = self._at(reference)
        return {}

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return {}
        found: Any = self._document
        for step in reference[2:].split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found


def _lacking(key: str, where: str, why: str) -> str:
    return f"needs {key} ({where}, {why}): give it with --params"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _items(value: Any) -> Iterator[str]:
    yield from map(_text, value if isinstance(value, list) else [value])
