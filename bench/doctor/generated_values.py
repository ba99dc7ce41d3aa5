"""Makes up a value for a plain JSON Schema: text, number, truth value. The same schema, the same value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "user@example.com",
    "idn-email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "byte": "dGV4dA==",
    "json-pointer": "/a",
    "regex": "a",
}
"""A value of each format (JSON Schema, 2020-12, Validation, section 7.3; OpenAPI 3.0, section 4.4). Hosts and addresses are
those that are reserved for documents (RFC 2606, RFC 5737, RFC 3849)."""
TEXT = "text"


def made_up(schema: Mapping[str, Any]) -> Any:
    """A value of the schema's type, within its limits. None where none can be made."""
    kinds = schema.get("type")
    kind = next((each for each in kinds if each != "null"), None) if isinstance(kinds, list) else kinds
    if kind == "string":
        return _text(schema)
    if kind == "integer":
        value = _number(schema, 1.0)
        return None if value is None else int(value)
    if kind == "number":
        return _number(schema, 0.01)
    return True if kind == "boolean" else None


def _text(schema: Mapping[str, Any]) -> str | None:
    shortest, longest = _limit(schema, "minLength", 0), _limit(schema, "maxLength", math.inf)
    if isinstance(pattern := schema.get("pattern"), str):
        return _matching(pattern, shortest, longest)
    if (known := FORMATS.get(str(schema.get("format")))) is not None:
        return known
    text = TEXT * math.ceil(max(shortest, len(TEXT)) / len(TEXT))
    return text[: int(min(max(shortest, len(TEXT)), longest))]


def _matching(pattern: str, shortest: float, longest: float) -> str | None:
    """A text that the pattern is found in. Hypothesis knows how to make one, and makes a simple one."""
    from hypothesis import HealthCheck, find, settings
    from hypothesis.errors import HypothesisException, NoSuchExample
    from hypothesis.strategies import from_regex

    quiet = settings(
        database=None, derandomize=True, deadline=None, max_examples=200, suppress_health_check=list(HealthCheck)
    )
    try:
        texts = from_regex(pattern).filter(lambda text: text.isprintable() and text.isascii())
        return find(texts, lambda text: shortest <= len(text) <= longest, settings=quiet)
    except (HypothesisException, NoSuchExample, ValueError, RecursionError):
        return None


def _number(schema: Mapping[str, Any], step: float) -> float | None:
    """1 where that is allowed, else the number nearest to it. An identifier is at least 1."""
    least, most = _limit(schema, "minimum", -math.inf), _limit(schema, "maximum", math.inf)
    # In OpenAPI 3.0 exclusiveMinimum is a truth value that belongs to the minimum.
    above, below = _limit(schema, "exclusiveMinimum", -math.inf), _limit(schema, "exclusiveMaximum", math.inf)
    least = max(least + (step if schema.get("exclusiveMinimum") is True else 0), above + step)
    most = min(most - (step if schema.get("exclusiveMaximum") is True else 0), below - step)
    multiple = _limit(schema, "multipleOf", 0)
    value = min(max(1.0, least), most)
    if multiple > 0:
        value = multiple * math.ceil(value / multiple)
    return value if least <= value <= most and math.isfinite(value) else None


def _limit(schema: Mapping[str, Any], name: str, default: float) -> float:
    value = schema.get(name)
    return default if isinstance(value, bool) or not isinstance(value, int | float) else value
