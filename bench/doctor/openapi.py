"""Reads OpenAPI documents (3.0 or 3.1): which operations can be measured, and with which requests.

    found = operations([Document("", document)], Selection(), Answers())
    found.requests     # requests that are complete and safe to repeat
    found.skipped      # the other operations, each with the reason in one line

Pure. The value of a parameter is the user's, or else the document's ``example``, ``examples``, ``default``, ``const``
or ``enum``, or else one from an answer of the app, in this order. Only where the user asks for it, one is made that fits
the schema. Optional parameters are left out. Source: OpenAPI Specification 3.1.0, sections 4.8.10 (Operation Object),
4.8.12 (Parameter Object), 4.8.14 (Media Type Object) and 4.8.15 (Encoding Object).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from bench.doctor.answer_values import Answers
from bench.doctor.generated_values import made_up
from bench.doctor.request_bodies import FORM, MULTIPART, SAMPLE_FILE, encoded_form, encoded_multipart
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
MAX_ITEMS = 20
"""Items of a list that is made up."""
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token (RFC 9110, section 5.6.2)."""
JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\b")

MISSING = object()
UNFILLED = "<fill in"
"""Beginning of a value in a file of parameters that the user has yet to fill in."""


@dataclass(frozen=True)
class Document:
    """An OpenAPI document, and where its app is mounted."""

    prefix: str
    """In front of every path."""
    content: Mapping[str, Any]


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
            yield from (value for _, value in recorded.headers)
            yield recorded.body
            yield from (value for _, value in parse_qsl(recorded.path.partition("?")[2]))

    def includes(self, name: str) -> bool:
        """Whether the user wants the operation ``name`` although its method is not safe."""
        return self.include_writes or any(matches(name, pattern) for pattern in self.include)

    def excludes(self, name: str) -> bool:
        """Whether the user does not want it."""
        return any(matches(name, pattern) for pattern in self.exclude)


@dataclass(frozen=True)
class Operations:
    """All operations of the documents, in their order."""

    requests: tuple[SampleRequest, ...]
    skipped: tuple[SkippedOperation, ...]


class MissingValue(Exception):
    """A request needs a value that is not known; the message says which."""


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern (``POST /search*``) names the operation. ``*`` is any text, ``?`` any character."""
    return name == pattern or fnmatchcase(name, re.sub(r"\[", "[[]", pattern))


def operations(documents: Sequence[Document], selection: Selection, answers: Answers | None = None) -> Operations:
    """Every operation of the ``documents``, as a request or with the reason why it is skipped.

    An operation that several documents have counts once, as the first has it. ValueError when one is not an OpenAPI
    document, or when ``selection`` names an operation that none has.
    """
    requests: dict[str, SampleRequest] = {}
    skipped: dict[str, SkippedOperation] = {}
    for reader, name, method, path, operation in _each(documents, selection, answers or Answers()):
        if name in requests or name in skipped:
            continue
        left_out = _skipped(name, method, selection)
        try:
            if left_out is None:
                requests[name] = reader.request(name, method, path, operation)
        except MissingValue as unfilled:
            left_out = SkippedOperation(name, str(unfilled), "value")
        if left_out is not None:
            skipped[name] = left_out
    names = {*requests, *skipped}
    for wanted in (*selection.include, *selection.exclude, *(key for key in selection.params if " " in key)):
        if not any(matches(name, wanted) for name in names):
            known = ", ".join(name for name in (*requests, *skipped)) or "none"
            raise ValueError(f"the app has no operation {wanted!r}; it has: {known}")
    return Operations(tuple(requests.values()), tuple(skipped.values()))


def operation_names(documents: Sequence[Document]) -> tuple[str, ...]:
    """Every operation, as ``GET /items/{item_id}``. ValueError when one is not an OpenAPI document."""
    return tuple(dict.fromkeys(name for _, name, *_ in _each(documents, Selection(), Answers())))


def parameters_to_fill(
    documents: Sequence[Document], selection: Selection, answers: Answers
) -> dict[str, dict[str, Any]]:
    """The parameters of every operation, as a file of parameters has them; gaps say what is to be filled in."""
    found: dict[str, dict[str, Any]] = {}
    for reader, name, method, path, operation in _each(documents, selection, answers):
        if method != "HEAD" and name not in found and (values := reader.fillable(name, path, operation)):
            found[name] = values
    return found


def _each(
    documents: Sequence[Document], selection: Selection, answers: Answers
) -> Iterator[tuple[_Reader, str, str, str, dict[str, Any]]]:
    """Each operation with the reader of its document: reader, name, method, path, operation."""
    for document in documents:
        content = document.content
        if not isinstance(content.get("openapi"), str) or not isinstance(content.get("paths", {}), dict):
            raise ValueError("this is not an OpenAPI 3 document: it has no 'openapi' with a version, or no 'paths'")
        reader = _Reader(document, selection, answers)
        for each in reader.operations():
            yield (reader, *each)


def _skipped(name: str, method: str, selection: Selection) -> SkippedOperation | None:
    if selection.excludes(name):
        return SkippedOperation(name, "excluded with --exclude", "excluded")
    if method == "HEAD":
        return SkippedOperation(name, "the load generator does not support HEAD", "unsupported")
    if method not in SAFE and not selection.includes(name):
        return SkippedOperation(name, f'{method} may change data: include it with --include "{name}"', "write")
    return None


class _Reader:
    """A document with its references, and the user's selection."""

    def __init__(self, document: Document, selection: Selection, answers: Answers) -> None:
        self._document = document.content
        self._prefix = document.prefix
        self._selection = selection
        self._answers = answers
        self._steps = 0
        self._sources: list[str] = []
        self._making_up = False
        """Whether values are made up where the document has none."""

    def operations(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        for path, shared in self._document.get("paths", {}).items():
            self._steps = 0
            item = self._resolved(shared)
            for method in METHODS:
                operation = item.get(method.lower())
                if isinstance(operation, dict):
                    parameters = [*_listed(item.get("parameters")), *_listed(operation.get("parameters"))]
                    full = f"{self._prefix}{path}"
                    yield f"{method} {full}", method, full, {**operation, "parameters": parameters}

    def request(self, name: str, method: str, path: str, operation: dict[str, Any]) -> SampleRequest:
        """The operation's request. MissingValue when it needs a value that is not known."""
        self._steps = 0
        self._sources = []
        recorded = self._selection.recorded.get(name)
        if recorded is not None and name not in self._selection.params:
            headers = (*recorded.headers, *self._selection.headers)
            return SampleRequest(name, method, recorded.path, headers, recorded.body, recorded.source)
        try:
            return replace(self._request(name, method, path, operation), source=", ".join(self._sources))
        except UnicodeEncodeError:
            raise MissingValue("its values in the document are no valid Unicode: give them with --params") from None

    def fillable(self, name: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
        """What a file of parameters may say of the operation: its parameters that are required, and its body."""
        self._steps = 0
        given = self._given(name)
        values: dict[str, Any] = {}
        for parameter in map(self._resolved, operation["parameters"]):
            key, schema = str(parameter.get("name")), self._resolved(parameter.get("schema", {}))
            if parameter.get("required") or f"{{{key}}}" in path:
                value = self._value(parameter, path, given)
                values[key] = f"{UNFILLED}: {schema.get('type', 'any type')}>" if value is MISSING else value
        body = self._resolved(operation.get("requestBody"))
        if body and (media := self._media(body)) is not None:
            value = given.get("body", self._document_value(media[1]))
            if value is MISSING:
                value = self._skeleton(media[1].get("schema", {}))
            values["body"] = value
        return values

    def _skeleton(self, schema: Any, depth: int = 0) -> Any:
        """A body with its gaps marked."""
        schema = self._resolved(schema)
        if "allOf" in schema:
            schema = self._merged(schema)
        if (value := self._schema_value(schema)) is not MISSING:
            return value
        if "properties" in schema and depth < MAX_SCHEMA_DEPTH:
            required = set(map(str, _listed(schema.get("required"))))
            properties = _mapping(schema["properties"])
            return {key: self._skeleton(each, depth + 1) for key, each in properties.items() if key in required}
        return f"{UNFILLED}: {schema.get('type', 'any type')}>"

    def _given(self, name: str) -> dict[str, Any]:
        """The user's values for an operation, without those that are yet to be filled in."""
        for_operation = self._selection.params.get(name)
        given = {key: value for key, value in self._selection.params.items() if " " not in key}
        given |= for_operation if isinstance(for_operation, dict) else {}
        return {key: value for key, value in given.items() if UNFILLED not in json.dumps(value)}

    def _request(self, name: str, method: str, path: str, operation: dict[str, Any]) -> SampleRequest:
        if not path.startswith("/"):
            raise MissingValue("its path does not start with '/', so it may lead to another server")
        given = self._given(name)
        template = path
        values = self._values(operation["parameters"], given, path)
        for key in re.findall(r"{([^}]*)}", path):
            if ("path", key) not in values:
                raise MissingValue(_missing(key, "path", "it has no example"))
            path = path.replace(f"{{{key}}}", quote(_text(values["path", key]), safe=""))
        if path.startswith("//"):
            raise MissingValue(f"its values make a path that leads to another server, from {template}")
        query = [(key, item) for (where, key), value in values.items() if where == "query" for item in _items(value)]
        kind, body = self._body(operation, given)
        headers = self._headers(values)
        headers += [("Content-Type", kind)] if kind else []
        path = quote(path, safe="/%:@!$&'()*+,;=-._~")
        full_path = f"{path}?{urlencode(query)}" if query else path
        return SampleRequest(name, method, full_path, (*headers, *self._selection.headers), body)

    def _headers(self, values: Mapping[tuple[str, str], Any]) -> list[tuple[str, str]]:
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
        return headers

    def _values(self, parameters: list[Any], given: Mapping[str, Any], path: str) -> dict[tuple[str, str], Any]:
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
                value = self._value(parameter, path, given)
                if value is MISSING:
                    kind = self._resolved(parameter.get("schema", {})).get("type", "any type")
                    raise MissingValue(_missing(key, where, f"{kind}, without an example or a default"))
                values[where, key] = value
        return values

    def _value(self, parameter: dict[str, Any], path: str, given: Mapping[str, Any]) -> Any:
        """The value of a parameter; MISSING when none is known."""
        where, key = str(parameter.get("in")), str(parameter.get("name"))
        if key in given:
            return given[key]
        if (value := self._document_value(parameter)) is not MISSING:
            return value
        schema = parameter.get("schema", {})
        if where in ("path", "query"):
            found = self._answers.value(path, key, self._kind(schema))
            if found is not None:
                self._sources.append(found.source)
                return found.value
        return self._generated(key, schema)

    def _kind(self, schema: Any) -> str:
        """The type of JSON Schema that a value must have; empty where any will do."""
        schema = self._resolved(schema)
        parts = [schema, *map(self._resolved, (*_listed(schema.get("anyOf")), *_listed(schema.get("oneOf"))))]
        kinds = [kind for part in parts if isinstance(kind := part.get("type"), str) and kind != "null"]
        return kinds[0] if kinds else ""

    def _generated(self, key: str, schema: Any) -> Any:
        if not self._selection.generate:
            return MISSING
        self._making_up = True
        try:
            value = self._schema_value(schema)
        finally:
            self._making_up = False
        if value is MISSING:
            return MISSING
        self._sources.append(f"{key} generated")
        return value

    def _media(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """The kind of body that is sent, and its description; None where none of the kinds can be made."""
        kinds = _mapping(body.get("content"))
        json_kinds = [kind for kind in kinds if JSON_TYPE.match(kind)]
        for kind in (*json_kinds, FORM, MULTIPART):
            if kind in kinds:
                return kind, self._resolved(kinds[kind])
        return None

    def _body(self, operation: dict[str, Any], given: Mapping[str, Any]) -> tuple[str, str]:
        """Content type and text of the body; both empty where none is needed."""
        body = self._resolved(operation.get("requestBody"))
        media = self._media(body)
        if "body" in given:
            return self._encoded(media[0] if media else "application/json", given["body"])
        if not body.get("required"):
            return "", ""
        if media is None:
            kinds = ", ".join(_mapping(body.get("content"))) or "unknown type"
            raise MissingValue(f"needs a body of {kinds}, which is neither JSON nor a form")
        kind, content = media
        value = self._document_value(content)
        if value is MISSING and kind == MULTIPART:
            value = self._file_form(content.get("schema", {}))
        if value is MISSING:
            value = self._generated("body", content.get("schema", {}))
        if value is MISSING:
            raise MissingValue(
                f"needs a body of {kind}, and the document has no example or default: give it as 'body' with --params"
            )
        return self._encoded(kind, value)

    def _encoded(self, kind: str, value: Any) -> tuple[str, str]:
        if kind == FORM and isinstance(value, Mapping):
            return FORM, encoded_form(value)
        if kind == MULTIPART and isinstance(value, Mapping):
            return encoded_multipart(value)
        return "application/json", json.dumps(value)

    def _file_form(self, schema: Any) -> Any:
        """The fields of a form with files, each file a small text; MISSING where another field has no value."""
        schema = self._resolved(schema)
        if "properties" not in schema:
            return MISSING
        made: dict[str, Any] = {}
        for key in map(str, _listed(schema.get("required"))):
            part = self._resolved(_mapping(schema.get("properties")).get(key))
            is_file = part.get("format") == "binary" or "contentMediaType" in part
            value = SAMPLE_FILE if is_file else self._schema_value(part)
            if value is MISSING:
                return MISSING
            made[key] = value
        self._sources.append("a small text as the file")
        return made

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
        return self._made_up(schema, depth) if self._making_up else MISSING

    def _made_up(self, schema: dict[str, Any], depth: int) -> Any:
        """A value for a schema without any of its own; MISSING where none can be made."""
        if schema.get("type") == "object":
            return {}
        if schema.get("type") == "array":
            item = self._schema_value(schema.get("items", {}), depth + 1)
            least = schema.get("minItems")
            count = min(MAX_ITEMS, max(1, least)) if isinstance(least, int) else 1
            return [] if item is MISSING else [item] * count
        value = made_up(schema)
        return MISSING if value is None else value

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
