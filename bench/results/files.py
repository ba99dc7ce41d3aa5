"""Reads and writes results files: whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.results.layout import PROBE_FILES, TRIAL_FILES
from bench.results.schema import SCHEMA

MAX_ERROR_CHARS = 200


class BrokenFile(Exception):
    """A results file that is cut short, changed or of another schema. The message names the file."""


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a reader never sees half of it, whatever happens to the writer."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


Record = TypeVar("Record")


_adapters: dict[type, TypeAdapter[Any]] = {}


def adapter_of(record_type: type[Record]) -> TypeAdapter[Record]:
    """What reads and writes ``record_type``. Made once a type, since that takes milliseconds."""
    if record_type not in _adapters:
        _adapters[record_type] = TypeAdapter(record_type)
    return _adapters[record_type]


def write_record(path: Path, record: object) -> None:
    """Write a record of schema.py as JSON, whole or not at all. ValueError for a value of another type, NaN or infinity."""
    content = adapter_of(type(record)).dump_python(record, mode="json", warnings="error")
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_record(path: Path, record_type: type[Record]) -> Record:
    """Read a JSON file as ``record_type``. BrokenFile names the file and the first thing that is wrong with it."""
    content = read_json(path)
    try:
        return adapter_of(record_type).validate_json(json.dumps(content), strict=True)
    except RecursionError:
        raise BrokenFile(f"{path}: nested too deeply") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BrokenFile(f"{path}: {where}: {first['msg']}") from None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as JSON, whole or not at all. NaN and infinity are refused: they are not JSON."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of this schema. BrokenFile names the file and says what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BrokenFile(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenFile(f"{path}: cannot be read ({error})") from None
    except json.JSONDecodeError as error:
        raise BrokenFile(f"{path}: not whole JSON ({error.msg}, line {error.lineno})") from None
    except (ValueError, RecursionError) as error:  # a number with too many digits, or nesting without end
        raise BrokenFile(f"{path}: not usable JSON ({str(error)[:MAX_ERROR_CHARS]})") from None
    if not isinstance(content, dict):
        raise BrokenFile(f"{path}: not a JSON object")
    if content.get("schema") != SCHEMA:
        raise BrokenFile(f"{path}: schema {content.get('schema')!r}, this version reads {SCHEMA}")
    return content


def file_sizes(folder: Path, names: tuple[str, ...] = (*TRIAL_FILES, *PROBE_FILES)) -> dict[str, int]:
    """Sizes in bytes of the files that match ``names`` (patterns, as of glob) and are there, for ``trial.json``."""
    found = [path for name in names for path in sorted(folder.glob(name)) if path.is_file()]
    return {path.name: path.stat().st_size for path in found}


def check_files(folder: Path, sizes: Mapping[str, int]) -> None:
    """Raise BrokenFile for the first file in ``folder`` that is missing or not as long as ``trial.json`` says."""
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            raise BrokenFile(f"{path}: missing")
        if (found := path.stat().st_size) != size:
            raise BrokenFile(f"{path}: {found} bytes where trial.json says {size}; it was cut short or changed")
