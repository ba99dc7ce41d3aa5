"""The values that an OpenAPI document itself has for its schemas: examples, defaults, constants, enums.

    values = SchemaValues(document)
    values.of_holder({"schema": {"$ref": "#/components/schemas/Kind"}})       # MISSING when the document has none

References are followed within the document. Whatever the document says, this ends (MAX_STEPS).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.doctor.generated_values import made_up

MAX_REFERENCES = 20
"""References that lead to references. The limit ends a loop in a document."""
MAX_SCHEMA_DEPTH = 8
"""Nested schemas that are followed. The limit ends a schema that contains itself."""
MAX_STEPS = 20_000
"""Parts of a document that are looked at for one request. A schema whose parts each refer to it several times would
otherwise take forever, at any depth."""
MAX_ITEMS = 20
"""Items of a list that is made up."""
UNKNOWN = "any type"
MISSING = object()


class TooLarge(Exception):
    """More than MAX_STEPS parts of the document were looked at."""


class SchemaValues:
    """A document, and the values in it. Where values are made up is the caller's choice, for each schema."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._steps = 0
        self._making_up = False

    def restart(self) -> None:
        """Begin to count the steps anew: another request."""
        self._steps = 0

    def of_schema(self, schema: Any, make_up: bool = False) -> Any:
        """The value of a schema; MISSING when the document has none. ``make_up``: make up what it does not have."""
        self._making_up = make_up
        try:
            return self._schema_value(schema)
        finally:
            self._making_up = False

    def kind(self, schema: Any) -> str:
        """The type of JSON Schema that a value must have; empty where any will do."""
        schema = self.resolved(schema)
        parts = [schema, *map(self.resolved, (*listed(schema.get("anyOf")), *listed(schema.get("oneOf"))))]
        kinds = [kind for part in parts if isinstance(kind := part.get("type"), str) and kind != "null"]
        return kinds[0] if kinds else ""

    def skeleton(self, schema: Any, gap: str, depth: int = 0) -> Any:
        """A value with its gaps marked by ``gap`` and the type that is wanted."""
        schema = self.resolved(schema)
        if "allOf" in schema:
            schema = self._merged(schema)
        if (value := self._schema_value(schema)) is not MISSING:
            return value
        if "properties" in schema and depth < MAX_SCHEMA_DEPTH:
            required = set(map(str, listed(schema.get("required"))))
            properties = mapping(schema["properties"])
            return {key: self.skeleton(each, gap, depth + 1) for key, each in properties.items() if key in required}
        return f"{gap}: {self.kind(schema) or UNKNOWN}>"

    def of_holder(self, holder: dict[str, Any]) -> Any:
        """The value that a parameter or media type, or else its schema, has in the document; MISSING when there is none."""
        if "example" in holder:
            return holder["example"]
        for example in mapping(holder.get("examples")).values():
            if "value" in (resolved := self.resolved(example)):
                return resolved["value"]
        return self._schema_value(holder.get("schema", {}))

    def _schema_value(self, schema: Any, depth: int = 0) -> Any:
        schema = self.resolved(schema)
        if depth > MAX_SCHEMA_DEPTH:
            return MISSING
        if (value := _declared_value(schema)) is not MISSING:
            return value
        for part in (*listed(schema.get("anyOf")), *listed(schema.get("oneOf"))):
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
        for part in map(self.resolved, listed(schema.get("allOf"))):
            whole = self._merged(part, depth + 1) if "allOf" in part and depth < MAX_SCHEMA_DEPTH else part
            for key, value in whole.items():
                if key == "properties" and isinstance(value, dict):
                    merged[key] = {**value, **merged.get(key, {})}
                elif key == "required":
                    merged[key] = list(dict.fromkeys([*listed(value), *listed(merged.get(key))]))
                else:
                    merged.setdefault(key, value)
        return merged

    def _object_value(self, schema: dict[str, Any], depth: int) -> Any:
        made = {}
        for key in listed(schema.get("required")):
            value = self._schema_value(mapping(schema["properties"]).get(str(key)), depth + 1)
            if value is MISSING:
                return MISSING
            made[key] = value
        return made

    def resolved(self, value: Any) -> dict[str, Any]:
        """The target of a reference within the document; empty when there is none."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooLarge
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


def _declared_value(schema: dict[str, Any]) -> Any:
    """The value that a schema itself gives; MISSING when it gives none."""
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    return MISSING


def listed(value: Any) -> list[Any]:
    """A list of the document; empty where there is none, or something else."""
    return value if isinstance(value, list) else []


def mapping(value: Any) -> Mapping[str, Any]:
    """An object of the document; empty where there is none, or something else."""
    return value if isinstance(value, dict) else {}
