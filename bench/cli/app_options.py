"""What the command line says of an app, checked: UsageError for what is not allowed, before anything is started.

Relative paths are relative to ``base``, where the user is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from bench.doctor.login import Login
from bench.doctor.selection import HEADER_NAME, Selection
from bench.doctor.traffic import RecordedRequest, read_access_log, read_har
from bench.model import AppSource
from bench.model.errors import UsageError

TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
OURS = ("--host", "--port", "--uds", "--fd", "--reload", "--workers", "--app-dir", "--factory", "--env-file")
"""Options of uvicorn that the harness sets itself, or that are its own options, or that it cannot watch."""
HEADER = re.compile(rf"({HEADER_NAME.pattern}):[ \t]*([^\r\n\0]*)")


def served(target: str, *, app_dir: Path | None, python: Path | None, factory: bool, base: Path) -> AppSource:
    """The app ``target``, to be found in ``app_dir``, by default ``base``."""
    if not TARGET.fullmatch(target):
        raise UsageError(f"an app is named as uvicorn does, MODULE:ATTRIBUTE as in shop.main:app, not {target!r}")
    folder = (base / (app_dir or "")).resolve()
    if not folder.is_dir():
        raise UsageError(f"--app-dir: there is no folder {folder}")
    return AppSource(target, str(folder), _interpreter(python, base), factory)


def running(url: str) -> AppSource:
    """The server at ``url``, which runs already."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc:
        raise UsageError(f"--url is a server's plain address, as in http://127.0.0.1:9000, not {url!r}")
    return AppSource(url, "", url=f"http://{parts.netloc}")


def _interpreter(python: Path | None, base: Path) -> str:
    if python is None:
        return ""
    found = shutil.which(python) if len(python.parts) == 1 else str(base / python)
    if found is None or not Path(found).is_file() or not os.access(found, os.X_OK):
        raise UsageError(f"--python: {python} is no program; name an interpreter, as in .venv/bin/python")
    return os.path.abspath(found)  # noqa: PTH100 (resolve would lead out of a virtual environment)


def first(words: Sequence[str]) -> str:
    """The app among the words of the command line, before uvicorn's options."""
    if not words:
        raise UsageError("name the app, MODULE:ATTRIBUTE as in shop.main:app, or a server that runs with --url")
    return words[0]


def check_alone(option: str, others: Mapping[str, object]) -> None:
    """UsageError for the first of ``others`` that was given: none of them goes with ``option``."""
    for name, given in others.items():
        if given:
            raise UsageError(
                f"{option} and {name} exclude each other: that server is not ours to start or to look into"
            )


def variables(env_file: Path | None, base: Path) -> dict[str, str]:
    """What an env file sets, as python-dotenv reads it."""
    if env_file is None:
        return {}
    text = _read(env_file, base, "--env-file")
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            blank = len(binding.original.string) - len(binding.original.string.lstrip("\n"))  # lines before it
            raise UsageError(f"--env-file: line {binding.original.line + blank} of {env_file} is not NAME=value")
    return {key: value or "" for key, value in dotenv_values(stream=StringIO(text)).items()}


def options(uvicorn: Sequence[str]) -> tuple[str, ...]:
    """uvicorn's own options, as they are."""
    for word in uvicorn:
        if word.partition("=")[0] in OURS:
            raise UsageError(f"{word.partition('=')[0]} cannot be given to uvicorn: the harness sees to that itself")
    return tuple(uvicorn)


def locustfile(path: Path | None, base: Path) -> str:
    """A locustfile of the user's own; empty where there is none."""
    if path is None:
        return ""
    _read(path, base, "--locustfile")
    return str((base / path).resolve())


def paths(given: Sequence[str]) -> tuple[str, ...]:
    """Paths as they stand in a URL."""
    for each in given:
        if not each.startswith("/") or not all("!" <= character <= "~" for character in each):
            raise UsageError(f"a path begins with '/' and is quoted as in a URL, unlike {each!r}")
    return tuple(given)


def path(given: str | None) -> str | None:
    """The same for one that may be missing."""
    return None if given is None else paths([given])[0]


def wishes(
    include: Sequence[str], exclude: Sequence[str], params: Path | None, headers: Sequence[str], base: Path
) -> Selection:
    """What is wished of the operations."""
    return Selection(tuple(include), tuple(exclude), _params(params, base), tuple(map(_header, headers)))


def _header(line: str) -> tuple[str, str]:
    found = HEADER.fullmatch(line)
    if found is None:
        raise UsageError(f"a header is written 'Name: value', unlike {line!r}")
    return found[1], found[2].strip()


def login(operation: str | None, data: Path | None, base: Path) -> Login | None:
    """How to log in; None where that is not asked for."""
    if operation is None and data is None:
        return None
    if operation is None or data is None:
        raise UsageError('--login and --login-data go together: --login "POST /token" --login-data login.json')
    if not re.fullmatch(r"(POST|GET|PUT) /\S*", operation):
        raise UsageError(f'--login names an operation, as in "POST /token", not {operation!r}')
    return Login(operation, _object(data, base, "--login-data", '{"username": "ada", "password": "…"}'))


def traffic(har: Path | None, access_log: Path | None, base: Path) -> tuple[tuple[RecordedRequest, ...], str]:
    """The requests of a HAR file and of an access log, and what they are called."""
    requests: list[RecordedRequest] = []
    sources = []
    for option, path, source, read in (
        ("--har", har, "a HAR file", read_har),
        ("--access-log", access_log, "an access log", read_access_log),
    ):
        if path is not None:
            try:
                requests += read(_read(path, base, option))
            except ValueError as error:
                raise UsageError(f"{option}: {path}: {error}") from None
            sources.append(source)
    return tuple(requests), " or ".join(sources)


def command(option: str, words: str) -> str:
    """A command of the user's own."""
    try:
        shlex.split(words)
    except ValueError as error:
        raise UsageError(f"{option}: {words!r} cannot be read as a command: {error}") from None
    return words


def _params(path: Path | None, base: Path) -> dict[str, Any]:
    return {} if path is None else _object(path, base, "--params", '{"item_id": 5}')


def _object(path: Path, base: Path, option: str, example: str) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(_read(path, base, option))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option}: {path} is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise UsageError(f"{option}: {path} must hold an object, as in {example}")
    return content


def _read(path: Path, base: Path, option: str) -> str:
    try:
        return (base / path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{option}: {path} cannot be read: {reason}") from None
