"""Encodes the fields of a form as a request's body."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


class SampleFile(str):
    """The text of a file in a form."""


SAMPLE_FILE = SampleFile("A small file.\n")
"""What is sent where an operation takes a file."""


def encoded_form(fields: Mapping[str, Any]) -> str:
    """As ``application/x-www-form-urlencoded``: ``username=ada&password=secret``. A list repeats its field."""
    return urlencode(list(_pairs(fields)))


def encoded_multipart(fields: Mapping[str, Any]) -> tuple[str, str]:
    """As ``multipart/form-data``: the content type with its boundary, and the text (RFC 7578)."""
    pairs = list(_pairs(fields))
    boundary = hashlib.sha256(repr(pairs).encode()).hexdigest()[:32]
    lines: list[str] = []
    for name, value in pairs:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "")
        file = '; filename="sample.txt"\r\nContent-Type: text/plain' if isinstance(value, SampleFile) else ""
        lines += [f"--{boundary}", f'Content-Disposition: form-data; name="{quoted}"{file}', "", value]
    return f"{MULTIPART}; boundary={boundary}", "\r\n".join([*lines, f"--{boundary}--", ""])


def _pairs(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        for each in value if isinstance(value, list) else [value]:
            yield str(name), each if isinstance(each, str) else json.dumps(each)
