"""Makes docs/file-formats.md and docs/schemas/*.json from schema.py: ``python -m bench.results.document [FOLDER]``."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from bench.results import control_messages, schema

DOCS = Path(__file__).resolve().parents[2] / "docs"

JSON_FILES: Mapping[str, type] = {
    "run.json": schema.RunRecord,
    "trial.json": schema.TrialRecord,
    "doctor.json": schema.DoctorFindingsRecord,
    "calibration.json": schema.CalibrationRecord,
}
CSV_FILES: Mapping[str, type] = {
    "counts.csv": schema.CountsRow,
    "server-<pid>.csv": schema.ServerRow,
    "stalls-<pid>.csv": schema.StallRow,
    "summary.csv": schema.SummaryRow,
    "claims.csv": schema.ClaimsRow,
}
CONSTANTS = ("CAUSES", "STALL_KINDS", "CATEGORIES")
"""Closed sets of names that the files use."""

PLAIN_TYPES = {str: "text", int: "integer", float: "number", bool: "boolean", type(None): "null"}

INTRODUCTION = """\
# File formats

This document is generated from `bench/results/schema.py` by `nox -s docs`. Do not edit it.

Version of all files: **{version}**. Another version is not read. JSON Schemas of the JSON files are in
[schemas/](schemas/).

    results/<run>/run.json                                  what was measured, how and where
    results/<run>/<scenario>/<variant>/<load>/<round>/      one trial; load: users-32, rate-500, …
        trial.json          written last: a folder without it is a trial that was cut short
        requests.hlog       latencies, as interval histograms
        counts.csv          requests counted, by interval and endpoint
        server-<pid>.csv    samples of the probe, one file for each worker process
        stalls-<pid>.csv    stalls and the lines that they are charged to, one file for each worker process
        server.log          output of the server, without secret values; at most its last megabyte
    results/<run>/<scenario>/logs/                          Locust's output, by group
    results/<run>/summary.csv, claims.csv                   figures and verdicts
    results/<run>/summary.md, charts/, index.html           drawn from the files above
    results/<run>/doctor.json, junit.xml                    runs of the doctor only
    results/calibration/calibration.json, <part>.csv        what the harness measured of itself
    results/latest                                          symbolic link to the newest run

Units stand in names: `_s`, `_ms` and `_us` are seconds, milliseconds and microseconds, `_rps` is requests per second. Times
without `unix` in their name are `time.perf_counter` in seconds (CLOCK_MONOTONIC on Linux), the same clock in all
processes of a machine. `clock` in trial.json says what to add for Unix time.

In CSV files the first line has the column names, and an empty cell means that there is no value. A field marked
"optional" may be missing from a JSON file; its value is then the default.
"""

HLOG = """\
## requests.hlog

An HdrHistogram interval log, version 1.3, with histograms in the compressed V2 encoding. Every tool for that format opens
it. One line:

    Tag=<endpoint>:<kind>,<start_s>,<length_s>,<max_ms>,<histogram in base64>

The endpoint is quoted as in a URL. Values are integer microseconds from {min_us:,} to {max_us:,}, with {digits} significant digits. An
interval lasts at most {interval_s:g} s and never crosses the start or end of a turn or of its warm-up. Kinds:

{kinds}
"""


def documents() -> dict[str, str]:
    """The text of every generated file, by its path relative to docs/."""
    schemas = {f"schemas/{name}": _json_schema(name, record) for name, record in JSON_FILES.items()}
    return {"file-formats.md": _file_formats(), **schemas}


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write generated documents into ``folder``."""
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _file_formats() -> str:
    sections = [INTRODUCTION.format(version=schema.SCHEMA)]
    seen: set[type] = set()
    for name in ("run.json", "trial.json"):
        sections += _record_sections(name, JSON_FILES[name], seen)
    sections.append(_hlog())
    for name, row in CSV_FILES.items():
        sections += _record_sections(name, row, seen)
    for name in ("doctor.json", "calibration.json"):
        sections += _record_sections(name, JSON_FILES[name], seen)
    sections.append(_control_messages(seen))
    sections.append(_closed_sets())
    return "\n".join(section.rstrip() + "\n" for section in sections)


def _record_sections(name: str, root: type, seen: set[type]) -> Iterator[str]:
    """The file's own fields, then each type that they use and that is not described yet."""
    yield _section(f"## {name}", root)
    for record in _nested(root, seen):
        yield _section(f"### {record.__name__}", record)


def _nested(record: type, seen: set[type]) -> Iterator[type]:
    """Dataclasses in the fields of ``record``, depth first, each once."""
    seen.add(record)
    for hint in get_type_hints(record).values():
        for inner in _dataclasses_in(hint):
            if inner not in seen:
                yield inner
                yield from _nested(inner, seen)


def _dataclasses_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
    for part in get_args(hint):
        yield from _dataclasses_in(part)


def _section(heading: str, record: type) -> str:
    summary = _summary(record)
    rows = [f"{heading}\n", f"{summary}\n", "| field | type | meaning |", "|---|---|---|"]
    hints, notes = get_type_hints(record), field_notes(record)
    for each in dataclasses.fields(record):
        note = _plain(notes.get(each.name, ""))
        rows.append(f"| `{each.name}` | {_type_words(hints[each.name])}{_default_words(each)} | {_cell(note)} |")
    return "\n".join(rows) + "\n"


def _summary(record: type) -> str:
    """The docstring as one paragraph, without the file's name in front of it."""
    return re.sub(r"^[\w<>-]+\.(json|csv): (\w)", lambda found: found[2].upper(), _plain(inspect.getdoc(record) or ""))


def _type_words(hint: Any) -> str:
    """A type in words: ``list of text``, ``number or null``."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint in PLAIN_TYPES:
        return PLAIN_TYPES[hint]
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_words(part) for part in parts)
    if origin is tuple:
        return f"list of {_type_words(parts[0])}"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"object of {_type_words(parts[1])}, by name"
    if inspect.isclass(hint) and dataclasses.is_dataclass(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    raise TypeError(f"no words for the type {hint}")


def _default_words(each: Field[Any]) -> str:
    return "" if each.default is MISSING and each.default_factory is MISSING else ", optional"


def field_notes(record: type) -> dict[str, str]:
    """The text behind each field of a dataclass, as its source has it; fields without a text are left out."""
    (declaration,) = ast.parse(inspect.cleandoc(inspect.getsource(record))).body
    assert isinstance(declaration, ast.ClassDef)
    notes = {}
    for statement, following in pairwise(declaration.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = _text_of(following)
            if text is not None:
                notes[statement.target.id] = inspect.cleandoc(text)
    return notes


def _constant_notes() -> dict[str, str]:
    """The text behind each constant of schema.py."""
    body = ast.parse(inspect.getsource(schema)).body
    notes = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            text = _text_of(following)
            if text is not None:
                notes[statement.targets[0].id] = inspect.cleandoc(text)
    return notes


def _text_of(statement: ast.stmt) -> str | None:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _hlog() -> str:
    listed = [line for line in _constant_notes()["KINDS"].splitlines() if line.partition(":")[0] in schema.KINDS]
    return HLOG.format(
        min_us=schema.HISTOGRAM_MIN_US,
        max_us=schema.HISTOGRAM_MAX_US,
        digits=schema.HISTOGRAM_DIGITS,
        interval_s=schema.INTERVAL_S,
        kinds="\n".join(f"- `{name}`: {text.strip()}" for name, _, text in (line.partition(":") for line in listed)),
    )


def _control_messages(seen: set[type]) -> str:
    introduction = (
        "## Control messages\n\n"
        "Messages between the harness and Locust: JSON objects, one a line, over a socket pair. No command sends them yet.\n"
        "`kind` says which message it is. They are not kept on disk.\n"
    )
    messages: list[type] = list(get_args(control_messages.ControlMessage))
    sections = []
    for message in messages:
        sections.append(_section(f"### {message.__name__}", message))
        sections += [_section(f"### {inner.__name__}", inner) for inner in _nested(message, seen)]
    return "\n".join([introduction, *sections])


def _closed_sets() -> str:
    notes = _constant_notes()
    lines = ["## Closed sets of names\n"]
    for name in CONSTANTS:
        values = ", ".join(f"`{value}`" for value in getattr(schema, name))
        lines.append(f"**{name}**: {values}. {_plain(notes.get(name, ''))}\n")
    return "\n".join(lines)


def _json_schema(name: str, record: type) -> str:
    made = TypeAdapter(record).json_schema()
    described = {record.__name__: record, **{inner.__name__: inner for inner in _nested(record, set())}}
    _describe(made, record)
    for title, definition in made.get("$defs", {}).items():
        _describe(definition, described[title])
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**head, **made, "title": name}, indent=2, ensure_ascii=False) + "\n"


def _describe(definition: dict[str, Any], record: type) -> None:
    """Add the texts of a dataclass and its fields."""
    definition["description"] = _plain(inspect.getdoc(record) or "")
    for name, note in field_notes(record).items():
        if name in definition.get("properties", {}):
            definition["properties"][name]["description"] = _plain(note)


def _plain(text: str) -> str:
    """One paragraph of Markdown."""
    return " ".join(text.replace("``", "`").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS, documents())
