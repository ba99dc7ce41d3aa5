"""A request as data, and the server it goes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Idempotent by RFC 9110, section 9.2.2: may be sent again when a connection broke before any answer."""


@dataclass(frozen=True)
class Request:
    """One HTTP request. ``name`` groups requests in every table, by default ``GET /path`` without the query."""

    path: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    name: str = ""
    repeatable: bool = field(init=False)

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError(f"a path must start with '/', not {self.path!r}")
        if not all("!" <= character <= "~" for character in self.path):
            raise ValueError(f"a path must be quoted as in a URL (urllib.parse.quote), not {self.path!r}")
        for text in (self.path, self.method, *(part for header in self.headers for part in header)):
            if "\r" in text or "\n" in text:
                raise ValueError(f"a line break cannot stand in a request's head: {text!r}")
        if self.method == "HEAD":
            raise ValueError("HEAD is not supported: the length of its answer is not in the answer")
        object.__setattr__(self, "repeatable", self.method in SAFE_METHODS)

    @property
    def label(self) -> tuple[str, str]:
        """Method and name, as Locust's tables have them."""
        return self.method, self.name or self.path.partition("?")[0]

    def encode(self, authority: str) -> bytes:
        """The bytes on the wire, for the server ``authority`` (host:port)."""
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        ours = [("Host", authority), ("Accept", "*/*")]
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            ours.append(("Content-Length", str(len(self.body))))
        given = {key.lower() for key, _ in self.headers}
        lines += [f"{key}: {value}" for key, value in ours if key.lower() not in given]
        lines += [f"{key}: {value}" for key, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + self.body


@dataclass(frozen=True)
class Target:
    """A server under load: the variant it runs and where it listens."""

    name: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str, name: str = "") -> Target:
        """From ``http://127.0.0.1:8000``. ValueError for anything but plain HTTP."""
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"a host must be a plain http:// address, not {url!r}")
        return cls(name or url, parts.hostname, parts.port or 80)

    @property
    def authority(self) -> str:
        """host:port, as in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """What a socket connects to."""
        return self.host, self.port
