"""Removes secret values from text before it is written: a log may hold anything that an app prints.

    redact = Redactor(secret_values(scenario))
    redact("GET /items?token=s3cret-t0ken")         # GET /items?token=[redacted]

A value is also found in the encodings in which programs print values: as part of a URL, of JSON, of HTML, of Python's
repr, in base64 and in hex.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from bench.model import Scenario

MIN_SECRET_CHARS = 6
"""Shorter values stand in ordinary text by chance: port numbers, "true", "debug"."""
MIN_WORD_CHARS = 8
"""The same for a word of a value: "Bearer" and "Basic" are no secrets."""
MIN_BASE64_CHARS = 8
"""The same for the part of a value's base64 that does not depend on what stands before and after it."""
REPLACEMENT = "[redacted]"
MAX_LOG_BYTES = 1_000_000
"""Of a longer log only the end is kept. A server that prints a line for each request writes 100 MB in a run."""

ORDINARY = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "TMPDIR", "TZ", "LANG", "LANGUAGE", "TERM", "_"),
        *("HOSTNAME", "SHLVL", "COLUMNS", "LINES", "EDITOR", "PAGER", "DISPLAY", "LS_COLORS", "COLORTERM", "MAIL"),
        *("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "CI"),
    }
)
"""Environment variables whose values are no secrets, and stand in ordinary logs."""


class Redactor:
    """Replaces secret values, also encoded ones. Values that are too short are left."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        """The text without the values."""
        return text if self._pattern is None else self._pattern.sub(REPLACEMENT, text)

    def publish(self, log: Path, place: Path) -> None:
        """Write a log without the values to ``place``. Nothing happens where there is no log.

        Bytes that are not UTF-8 become U+FFFD.
        """
        try:
            with log.open("rb") as file:
                left_out = max(0, file.seek(0, os.SEEK_END) - MAX_LOG_BYTES)
                file.seek(left_out)
                content = file.read()
        except FileNotFoundError:
            return
        if left_out:
            part, _, content = content.partition(b"\n")  # a line that was cut could hold half a value
            content = b"[%d bytes left out]\n" % (left_out + len(part) + 1) + content
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(self(content.decode("utf-8", errors="replace")), encoding="utf-8")


def secret_values(scenario: Scenario) -> Iterator[str]:
    """Values that results of the scenario must not hold.

    Those that the user gave for the requests and in an environment file. Of a user's own app also those of the
    environment, but for well-known variables and paths. Programs of the catalogue do not get the environment.
    """
    yield from scenario.secrets
    for variant in scenario.variants:
        if variant.app is not None:
            yield from (value for _, value in variant.environment)
    if any(variant.app is not None for variant in scenario.variants):
        yield from of_environment(os.environ)


def redactor_of_own_app(variables: Mapping[str, str]) -> Redactor:
    """A redactor for messages about a user's own app, with the ``variables`` of its environment file."""
    return Redactor((*variables.values(), *of_environment(os.environ)))


def of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    """Values of variables that may be secret."""
    for name, value in environment.items():
        if name not in ORDINARY and not name.startswith("LC_") and not _is_path(value):
            yield value


def _is_path(value: str) -> bool:
    """Whether every part of it is a path that exists."""
    try:
        return all(part.startswith("/") and Path(part).exists() for part in value.split(os.pathsep))
    except (OSError, ValueError):
        return False


def _forms(secret: str) -> Iterator[str]:
    """The value as programs print it."""
    secret = secret.strip()
    if len(secret) < MIN_SECRET_CHARS:
        return
    yield from _encoded(secret)
    for word in secret.split():  # the token of "Bearer …", the lines of a key
        if word != secret and len(word) >= MIN_WORD_CHARS:
            yield from _encoded(word)


def _encoded(text: str) -> Iterator[str]:
    raw = text.encode("utf-8", errors="surrogateescape")
    yield text
    for quoted in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield quoted
        yield re.sub("%..", lambda found: found[0].lower(), quoted)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield raw.hex()
    yield raw.hex().upper()
    yield from _base64(raw)


def _base64(raw: bytes) -> Iterator[str]:
    """The characters of its base64 that are the same whatever bytes stand before and after it.

    Three bytes are four characters, so there are three cases. In each, the first and the last character may depend on a
    neighbour (RFC 4648, section 4).
    """
    for before in range(3):
        bits = 8 * (before + len(raw))
        first = -(-8 * before // 6)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            sure = encode(b"\0" * before + raw).decode()[first : bits // 6]
            if len(sure) >= MIN_BASE64_CHARS:
                yield sure
