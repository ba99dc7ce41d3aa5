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
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from bench.doctor.answer_values import Answers
from bench.doctor.request_bodies import FORM, MULTIPART, SAMPLE_FILE, encoded_form, encoded_multipart
from bench.doctor.schema_values import MISSING, UNKNOWN, SchemaValues, TooLarge, listed, mapping
from bench.doctor.selection import HEADER_NAME, UNFILLED, Selection, as_text, matches
from bench.model.requests import SampleRequest, SkippedOperation

SAFE = ("GET", "HEAD")
"""Safe methods (RFC 9110, section 9.2.1). Only these are measured unless the user names an operation."""
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\b")


@dataclass(frozen=True)
class Document:
    """An OpenAPI document, and where its app is mounted."""

    prefix: str
    """In front of every path."""
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Operations:
    """All operations of the documents, in their order."""

    requests: tuple[SampleRequest, ...]
    skipped: tuple[SkippedOperation, ...]


class MissingValue(Exception):
    """A request needs a value that is not known; the message says which."""


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
        if method == "HEAD" or name in found:
            continue
        try:
            values = reader.fillable(name, path, operation)
        except TooLarge:
            continue
        if values:
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
    if method == "DELETE" and selection.include_writes and not selection.names(name):
        reason = f'a deletion answers well only once, and takes data from the others: name it with --include "{name}"'
        return SkippedOperation(name, reason, "once")
    if method not in SAFE and not selection.includes(name):
        return SkippedOperation(name, f'{method} may change data: include it with --include "{name}"', "write")
    return None


class _Reader:
    """A document with its references, and the user's selection."""

    def __init__(self, document: Document, selection: Selection, answers: Answers) -> None:
        self._paths = document.content.get("paths", {})
        self._prefix = document.prefix
        self._schemas = SchemaValues(document.content)
        self._selection = selection
        self._answers = answers
        self._sources: list[str] = []

    def operations(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        for path, shared in self._paths.items():
            self._schemas.restart()
            item = self._schemas.resolved(shared)
            for method in METHODS:
                operation = item.get(method.lower())
                if isinstance(operation, dict):
                    parameters = [*listed(item.get("parameters")), *listed(operation.get("parameters"))]
                    full = f"{self._prefix}{path}" if str(path).startswith("/") else str(path)
                    yield f"{method} {full}", method, full, {**operation, "parameters": parameters}

    def request(self, name: str, method: str, path: str, operation: dict[str, Any]) -> SampleRequest:
        """The operation's request. MissingValue when it needs a value that is not known."""
        self._schemas.restart()
        self._sources = []
        recorded = self._selection.recorded.get(name)
        if recorded is not None and name not in self._selection.params:
            headers = (*recorded.headers, *self._selection.headers)
            return SampleRequest(name, method, recorded.path, headers, recorded.body, recorded.source)
        try:
            return replace(self._request(name, method, path, operation), source=", ".join(self._sources))
        except UnicodeEncodeError:
            raise MissingValue("its values in the document are no valid Unicode: give them with --params") from None
        except TooLarge:
            raise MissingValue("its schema is too large to be filled in: give the values with --params") from None

    def fillable(self, name: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
        """What a file of parameters may say of the operation: its parameters that are required, and its body."""
        self._schemas.restart()
        given = self._selection.given(name)
        values: dict[str, Any] = {}
        for parameter in map(self._schemas.resolved, operation["parameters"]):
            key = str(parameter.get("name"))
            if parameter.get("required") or f"{{{key}}}" in path:
                value = self._value(parameter, path, given)
                values[key] = f"{UNFILLED}: {self._kind(parameter)}>" if value is MISSING else value
        body = self._schemas.resolved(operation.get("requestBody"))
        if body and (media := self._media(body)) is not None:
            value = given.get("body", self._schemas.of_holder(media[1]))
            if value is MISSING:
                value = self._schemas.skeleton(media[1].get("schema", {}), UNFILLED)
            values["body"] = value
        return values

    def _request(self, name: str, method: str, path: str, operation: dict[str, Any]) -> SampleRequest:
        if not path.startswith("/"):
            raise MissingValue("its path does not start with '/', so it may lead to another server")
        given = self._selection.given(name)
        template = path
        values = self._values(operation["parameters"], given, path)
        for key in re.findall(r"{([^}]*)}", path):
            if ("path", key) not in values:
                raise MissingValue(_missing(key, "path", "it has no example"))
            path = path.replace(f"{{{key}}}", quote(as_text(values["path", key]), safe=""))
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
        headers = [(key, as_text(value)) for (where, key), value in values.items() if where == "header"]
        cookies = [f"{key}={as_text(value)}" for (where, key), value in values.items() if where == "cookie"]
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
        for parameter in map(self._schemas.resolved, parameters):
            where, key = str(parameter.get("in")), str(parameter.get("name"))
            if where == "header" and key.lower() in sent:
                continue
            if key in given:
                values[where, key] = given[key]
            elif parameter.get("required"):
                value = self._value(parameter, path, given)
                if value is MISSING:
                    raise MissingValue(
                        _missing(key, where, f"{self._kind(parameter)}, without an example or a default")
                    )
                values[where, key] = value
        return values

    def _value(self, parameter: dict[str, Any], path: str, given: Mapping[str, Any]) -> Any:
        """The value of a parameter; MISSING when none is known."""
        where, key = str(parameter.get("in")), str(parameter.get("name"))
        if key in given:
            return given[key]
        if (value := self._schemas.of_holder(parameter)) is not MISSING:
            return value
        schema = parameter.get("schema", {})
        if where in ("path", "query"):
            found = self._answers.value(path, key, self._schemas.kind(schema))
            if found is not None:
                self._sources.append(found.source)
                return found.value
        return self._generated(key, schema)

    def _generated(self, key: str, schema: Any) -> Any:
        if not self._selection.generate:
            return MISSING
        value = self._schemas.of_schema(schema, make_up=True)
        if value is MISSING:
            return MISSING
        self._sources.append(f"{key} generated")
        return value

    def _kind(self, parameter: dict[str, Any]) -> str:
        return self._schemas.kind(parameter.get("schema", {})) or UNKNOWN

    def _media(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """The kind of body that is sent, and its description; None where none of the kinds can be made."""
        kinds = mapping(body.get("content"))
        json_kinds = [kind for kind in kinds if JSON_TYPE.match(kind)]
        for kind in (*json_kinds, FORM, MULTIPART):
            if kind in kinds:
                return kind, self._schemas.resolved(kinds[kind])
        return None

    def _body(self, operation: dict[str, Any], given: Mapping[str, Any]) -> tuple[str, str]:
        """Content type and text of the body; both empty where none is needed."""
        body = self._schemas.resolved(operation.get("requestBody"))
        media = self._media(body)
        if "body" in given:
            return self._encoded(media[0] if media else "application/json", given["body"])
        if not body.get("required"):
            return "", ""
        if media is None:
            kinds = ", ".join(mapping(body.get("content"))) or "unknown type"
            raise MissingValue(f"needs a body of {kinds}, which is neither JSON nor a form")
        kind, content = media
        value = self._schemas.of_holder(content)
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
        schema = self._schemas.resolved(schema)
        if "properties" not in schema:
            return MISSING
        made: dict[str, Any] = {}
        for key in map(str, listed(schema.get("required"))):
            part = self._schemas.resolved(mapping(schema.get("properties")).get(key))
            is_file = part.get("format") == "binary" or "contentMediaType" in part
            value = SAMPLE_FILE if is_file else self._schemas.of_schema(part)
            if value is MISSING:
                return MISSING
            made[key] = value
        self._sources.append("a small text as the file")
        return made


def _missing(key: str, where: str, why: str) -> str:
    return f"needs a value for {key} ({where}, {why}): give it with --params"


def _items(value: Any) -> Iterator[str]:
    yield from map(as_text, value if isinstance(value, list) else [value])
