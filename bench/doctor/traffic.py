"""Requests that were recorded elsewhere: in a browser's HAR file, in an access log, or by the probe while a command ran.

    recorded = by_operation(read_har(text), ("GET /items/{item_id}",))
    recorded["GET /items/{item_id}"].path      # /items/5

Pure. Of the requests to one operation the first that was answered well stands for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bench.doctor.selection import HEADER_NAME, Recorded

SUCCESS = range(200, 400)
LEFT_OUT = frozenset(
    {
        *(
            "host",
            "connection",
            "content-length",
            "transfer-encoding",
            "accept-encoding",
            "keep-alive",
            "upgrade",
            "te",
        ),
        *("proxy-connection", "origin", "referer", "user-agent", "cache-control", "pragma", "priority", "dnt"),
        *("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range", "expect"),
    }
)
"""Headers that belong to the connection, to the browser's cache or to the page that sent the request."""
LEFT_OUT_PREFIX = (":", "sec-")
LOG_LINE = re.compile(r'"(?P<method>[A-Z]+) (?P<path>/\S*) HTTP/[\d.]+" (?P<status>\d{3})')
"""The request and the status in the common and the combined log format, and in uvicorn's."""


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it was sent."""

    method: str
    path: str
    """With its query."""
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


def read_har(text: str) -> list[RecordedRequest]:
    """The requests of a HAR file (version 1.2). ValueError when it is none."""
    try:
        entries = json.loads(text)["log"]["entries"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("it is no HAR file: it has no log with entries") from None
    return list(_har_requests(entries if isinstance(entries, list) else []))


def _har_requests(entries: list[Any]) -> Iterator[RecordedRequest]:
    for entry in entries:
        try:
            request = entry["request"]
            parts = urlsplit(request["url"])
            headers = [(str(each["name"]), str(each["value"])) for each in request.get("headers", [])]
            body = str((request.get("postData") or {}).get("text") or "")
            status, method = int(entry["response"]["status"]), str(request["method"])
        except (KeyError, TypeError, ValueError):
            continue  # an entry that the browser did not complete
        if parts.scheme in ("http", "https"):
            yield RecordedRequest(method, _path(parts.path, parts.query), status, _kept(headers), body)


def read_access_log(text: str) -> list[RecordedRequest]:
    """The GET requests of an access log. ValueError when no line is one."""
    found = [LOG_LINE.search(line) for line in text.splitlines()]
    requests = [
        RecordedRequest("GET", match["path"], int(match["status"]))
        for match in found
        if match and match["method"] == "GET"
    ]
    if not any(found):
        raise ValueError("no line of it is one of an access log in the common or combined format")
    return requests


def read_recording(text: str) -> list[RecordedRequest]:
    """The requests that the probe recorded, one JSON object a line."""
    requests = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the last line, when the server was killed
        headers = _kept([(str(name), str(value)) for name, value in row["headers"]])
        requests.append(RecordedRequest(row["method"], row["path"], row["status"], headers, row["body"]))
    return requests


def by_operation(requests: Iterable[RecordedRequest], operations: Sequence[str], source: str) -> Mapping[str, Recorded]:
    """The first good request to each of the ``operations`` that any was sent to."""
    patterns = sorted(((name, *_pattern(name)) for name in operations), key=lambda each: each[2])
    found: dict[str, Recorded] = {}
    for request in requests:
        if request.status not in SUCCESS or not all("!" <= character <= "~" for character in request.path):
            continue
        target = f"{request.method} {request.path.partition('?')[0]}"
        name = next((name for name, pattern, _ in patterns if pattern.fullmatch(target)), None)
        if name is not None and name not in found:
            found[name] = Recorded(request.path, request.headers, request.body, source)
    return found


def _pattern(operation: str) -> tuple[re.Pattern[str], int]:
    """What the operation's requests look like, and how many parts of its path are open: fewer are more specific."""
    parts = re.split(r"({[^}]*})", operation)
    text = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts)
    return re.compile(text), len(parts)


def _kept(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() not in LEFT_OUT
        and not name.lower().startswith(LEFT_OUT_PREFIX)
        and HEADER_NAME.fullmatch(name)
        and value.isascii()
        and value.isprintable()
    )


def _path(path: str, query: str) -> str:
    return f"{path or '/'}?{query}" if query else path or "/"
