"""Reads an OpenAPI document (3.0 or 3.1): which operations can be measured, and with which requests.

    found = operations(document, Selection())
    found.requests     # requests that are complete and safe to repeat
    found.skipped      # the other operations, each with the reason in one line

Pure. The value of a parameter is the user's, or else the document's ``example``, ``examples``, ``default``, ``const``
or ``enum``, in this order; nothing is guessed. Optional parameters are left out. Source: OpenAPI Specification 3.1.0,
sections 4.8.10 (Operation Object), 4.8.12 (Parameter Object) and 4.8.14 (Media Type Object).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from bench.model.requests import SampleRequest, SkippedOperation

SAFE = ("GET", "HEAD")
"""Safe methods (RFC 9110, section 9.2.1). Only these are measured unless the user names an operation."""
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
MAX_REFERENCES = 20
"""References that lead to references. The limit ends a loop in a document."""
MAX_SCHEMA_DEPTH = 8
"""Nested schemas that are followed. The limit ends a schema that contains itself."""
MAX_STEPS = 20_000
"""Parts of a document that are looked at for one request. A schema whose parts each refer to it several times would
otherwise take forever, at any depth."""
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token (RFC 9110, section 5.6.2)."""
JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\b")

MISSING = object()


@dataclass(frozen=True)
class Selection:
    """What the user selected: more operations, operations to skip, values and headers."""

    include: tuple[str, ...] = ()
    """Operations that are measured although their method is not safe: ``POST /search``."""
    exclude: tuple[str, ...] = ()
    """Operations that are skipped."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """``{"item_id": 5}`` for every operation, ``{"GET /items/{item_id}": {"item_id": 5}}`` for one; there ``body``."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request."""

    def secret_values(self) -> Iterator[str]:
        """Values of headers and parameters, which no result may hold."""
        yield from (value for _, value in self.headers)
        yield from _texts(self.params)


@dataclass(frozen=True)
class Operations:
    """All operations of a document, in its order."""

    requests: tuple[SampleRequest, ...]
    skipped: tuple[SkippedOperation, ...]


class MissingValue(Exception):
    """A request needs a value that is not known; the message says which."""


def operations(document: Mapping[str, Any], selection: Selection) -> Operations:
    """Every operation of ``document``, as a request or with the reason why it is skipped.

    ValueError when it is not an OpenAPI document, or when ``selection`` names an operation that it does not have.
    """
    if not isinstance(document.get("openapi"), str) or not isinstance(document.get("paths", {}), dict):
        raise ValueError("this is not an OpenAPI 3 document: it has no 'openapi' with a version, or no 'paths'")
    reader = _Reader(document, selection)
    requests: list[SampleRequest] = []
    skipped: list[SkippedOperation] = []
    names = []
    for name, method, path, operation in reader.operations():
        names.append(name)
        reason = _skip_reason(name, method, selection)
        try:
            if not reason:
                requests.append(reader.request(name, method, path, operation))
        except MissingValue as unfilled:
            reason = str(unfilled)
        if reason:
            skipped.append(SkippedOperation(name, reason))
    for wanted in (*selection.include, *selection.exclude, *(key for key in selection.params if " " in key)):
        if wanted not in names:
            raise ValueError(f"the app has no operation {wanted!r}; it has: {', '.join(names) or 'none'}")
    return Operations(tuple(requests), tuple(skipped))


def _skip_reason(name: str, method: str, selection: Selection) -> str:
    if name in selection.exclude:
        return "excluded with --exclude"
    if method == "HEAD":
        return "the load generator does not support HEAD"
    if method not in SAFE and name not in selection.include:
        return f'{method} may change data: include it with --include "{name}"'
    return ""


class _Reader:
    """A document with its references, and the user's selection."""

    def __init__(self, document: Mapping[str, Any], selection: Selection) -> None:
        self._document = document
        self._selection = selection
        self._steps = 0

    def operations(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        for path, shared in self._document.get("paths", {}).items():
            self._steps = 0
            item = self._resolved(shared)
            for method in METHODS:
                operation = item.get(method.lower())
                if isinstance(operation, dict):
                    parameters = [*_listed(item.get("parameters")), *_listed(operation.get("parameters"))]
                    yield f"{method} {path}", method, str(path), {**operation, "parameters": parameters}

    def request(self, name: str, method: str, path: str, operation: dict[str, Any]) -> SampleRequest:
        """The operation's request. MissingValue when it needs a value that is not known."""
        self._steps = 0
        try:
            return self._request(name, method, path, operation)
        except UnicodeEncodeError:
            raise MissingValue("its values in the document are no valid Unicode: give them with --params") from None

    def _request(self, name: str, method: str, path: str, operation: dict[str, Any]) -> SampleRequest:
        if not path.startswith("/"):
            raise MissingValue("its path does not start with '/', so it may lead to another server")
        for_operation = self._selection.params.get(name)
        given = {key: value for key, value in self._selection.params.items() if " " not in key}
        given |= for_operation if isinstance(for_operation, dict) else {}
        values = self._values(operation["parameters"], given)
        for key in re.findall(r"{([^}]*)}", path):
            if ("path", key) not in values:
                raise MissingValue(_missing(key, "path", "it has no example"))
            path = path.replace(f"{{{key}}}", quote(_text(values["path", key]), safe=""))
        query = [(key, item) for (where, key), value in values.items() if where == "query" for item in _items(value)]
        headers = [(key, _text(value)) for (where, key), value in values.items() if where == "header"]
        cookies = [f"{key}={_text(value)}" for (where, key), value in values.items() if where == "cookie"]
        headers += [("Cookie", "; ".join(cookies))] if cookies else []
        for key, text in headers:
            if not HEADER_NAME.fullmatch(key):
                raise MissingValue("the document names a header with characters that a header's name cannot have")
            if not text.isascii() or not text.isprintable():
                raise MissingValue(
                    f"the header {key} would have characters that a header cannot have: give its value with --params"
                )
        body = self._body(operation, given)
        headers += [("Content-Type", "application/json")] if body else []
        path = quote(path, safe="/%:@!$&'()*+,;=-._~")
        full_path = f"{path}?{urlencode(query)}" if query else path
        return SampleRequest(name, method, full_path, (*headers, *self._selection.headers), body)

    def _values(self, parameters: list[Any], given: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        """Values by (place, name). A parameter of the operation replaces the one of its path."""
        values: dict[tuple[str, str], Any] = {}
        sent = {key.lower() for key, _ in self._selection.headers}
        for parameter in map(self._resolved, parameters):
            where, key = str(parameter.get("in")), str(parameter.get("name"))
            if where == "header" and key.lower() in sent:
                continue
            if key in given:
                values[where, key] = given[key]
            elif parameter.get("required"):
                value = self._document_value(parameter)
                if value is MISSING:
                    kind = self._resolved(parameter.get("schema", {})).get("type", "any type")
                    raise MissingValue(_missing(key, where, f"{kind}, without an example or a default"))
                values[where, key] = value
        return values

    def _body(self, operation: dict[str, Any], given: Mapping[str, Any]) -> str:
        body = self._resolved(operation.get("requestBody"))
        if "body" in given:
            return json.dumps(given["body"])
        if not body.get("required"):
            return ""
        kinds = _mapping(body.get("content"))
        content = next((media for kind, media in kinds.items() if JSON_TYPE.match(kind)), None)
        if content is None:
            raise MissingValue(f"needs a body of {', '.join(kinds) or 'unknown type'}, not JSON")
        value = self._document_value(self._resolved(content))
        if value is MISSING:
            raise MissingValue(
                "needs a body, and the document has no example or default: give it as 'body' with --params"
            )
        return json.dumps(value)

    def _document_value(self, holder: dict[str, Any]) -> Any:
        """The value that a parameter or media type, or else its schema, has in the document; MISSING when there is none."""
        if "example" in holder:
            return holder["example"]
        for example in _mapping(holder.get("examples")).values():
            if "value" in (resolved := self._resolved(example)):
                return resolved["value"]
        return self._schema_value(holder.get("schema", {}))

    def _schema_value(self, schema: Any, depth: int = 0) -> Any:
        schema = self._resolved(schema)
        if depth > MAX_SCHEMA_DEPTH:
            return MISSING
        if (value := _declared_value(schema)) is not MISSING:
            return value
        for part in (*_listed(schema.get("anyOf")), *_listed(schema.get("oneOf"))):
            if (value := self._schema_value(part, depth + 1)) is not MISSING:
                return value
        if "allOf" in schema:
            return self._schema_value(self._merged(schema), depth + 1)
        if "properties" in schema:
            return self._object_value(schema, depth)
        return MISSING

    def _merged(self, schema: dict[str, Any], depth: int = 0) -> dict[str, Any]:
        """A schema with ``allOf`` as one schema: a value has to fit all parts, so their properties add up."""
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self._resolved, _listed(schema.get("allOf"))):
            whole = self._merged(part, depth + 1) if "allOf" in part and depth < MAX_SCHEMA_DEPTH else part
            for key, value in whole.items():
                if key == "properties" and isinstance(value, dict):
                    merged[key] = {**value, **merged.get(key, {})}
                elif key == "required":
                    merged[key] = list(dict.fromkeys([*_listed(value), *_listed(merged.get(key))]))
                else:
                    merged.setdefault(key, value)
        return merged

    def _object_value(self, schema: dict[str, Any], depth: int) -> Any:
        made = {}
        for key in _listed(schema.get("required")):
            value = self._schema_value(_mapping(schema["properties"]).get(str(key)), depth + 1)
            if value is MISSING:
                return MISSING
            made[key] = value
        return made

    def _resolved(self, value: Any) -> dict[str, Any]:
        """The target of a reference within the document; empty when there is none."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise MissingValue("its schema is too large to be filled in: give the values with --params")
        for _ in range(MAX_REFERENCES):
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


def _missing(key: str, where: str, why: str) -> str:
    return f"needs a value for {key} ({where}, {why}): give it with --params"


def _declared_value(schema: dict[str, Any]) -> Any:
    """The value that a schema itself gives; MISSING when it gives none."""
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    return MISSING


def _listed(value: Any) -> list[Any]:
    """A list of the document; empty where there is none, or something else."""
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    """An object of the document; empty where there is none, or something else."""
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
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
        yield _text(value)


def _items(value: Any) -> Iterator[str]:
    yield from map(_text, value if isinstance(value, list) else [value])
