"""Logs in to an app, and finds in its answer what later requests have to carry.

candidates = credentials(content, headers)     # ((("Authorization", "Bearer eyJ…"),), …)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http.cookies import CookieError, SimpleCookie
from typing import Any

from bench.model.requests import SampleRequest

TOKEN_FIELDS = (
    "access_token",
    "accesstoken",
    "access",
    "token",
    "id_token",
    "idtoken",
    "jwt",
    "auth_token",
    "authtoken",
)
"""Fields of an answer that hold a token, the most usual first, in lower case."""
SCHEMES = ("Bearer", "Token")
"""Schemes of an Authorization header that take such a token."""
MAX_DEPTH = 5

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Login:
    """How to log in."""

    operation: str
    """``POST /token``."""
    data: Mapping[str, Any]
    """The fields that it takes."""


def credentials(content: bytes, headers: Sequence[tuple[str, str]]) -> tuple[Headers, ...]:
    """The headers that a login's answer may stand for, the most likely first; empty where it has no token and no cookie."""
    cookies = _cookies(headers)
    try:
        token = next(_tokens(json.loads(content)), None)
    except (ValueError, RecursionError):
        token = None
    found: list[Headers] = []
    if token is not None:
        found += [(("Authorization", f"{scheme} {token}"), *cookies) for scheme in SCHEMES]
        found.append((("Authorization", token), *cookies))
    elif cookies:
        found.append(cookies)
    return tuple(found)


def _tokens(content: Any, depth: int = 0) -> Iterator[str]:
    if not isinstance(content, dict) or depth > MAX_DEPTH:
        return
    by_name = {str(key).lower(): value for key, value in content.items()}
    for name in TOKEN_FIELDS:
        value = by_name.get(name)
        if isinstance(value, str) and value and value.isascii() and value.isprintable():
            yield value
    for value in content.values():
        yield from _tokens(value, depth + 1)


def _cookies(headers: Sequence[tuple[str, str]]) -> Headers:
    found: dict[str, str] = {}
    for name, value in headers:
        if name.lower() == "set-cookie":
            jar = SimpleCookie()
            try:
                jar.load(value)
            except CookieError:
                continue
            found |= {key: morsel.coded_value for key, morsel in jar.items()}
    text = "; ".join(f"{key}={value}" for key, value in found.items())
    return (("Cookie", text),) if text and text.isascii() and text.isprintable() else ()


def is_refusal(status: int | None) -> bool:
    """Whether a status says that a login is missing."""
    return status in (401, 403)


def anonymous(request: SampleRequest) -> SampleRequest:
    """The request without what says who sends it: a recorded one may hold another login's token."""
    kept = tuple(each for each in request.headers if each[0].lower() not in ("authorization", "cookie"))
    return replace(request, headers=kept)


def with_headers(request: SampleRequest, headers: Headers) -> SampleRequest:
    """The request with ``headers`` in place of those of the same names."""
    names = {name.lower() for name, _ in headers}
    kept = tuple(each for each in request.headers if each[0].lower() not in names)
    return replace(request, headers=(*kept, *headers))
