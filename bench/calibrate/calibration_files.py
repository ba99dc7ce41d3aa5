"""The files of a calibration: ``<part>.csv`` with the rows of each part, and ``calibration.json``.

A part that was not measured has no rows. A part whose file is broken has none either, and a line in ``problems``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from bench.calibrate.rows import (
    PARTS,
    ROW_TYPES,
    CalibrationRow,
    FreezeRow,
    GeneratorRow,
    LagRow,
    MemoryRow,
    NoiseRow,
    OverheadRow,
    ProbeRow,
    VerdictRow,
)
from bench.results import files
from bench.results.schema import SCHEMA, CalibrationPartRecord, CalibrationRecord, MachineRecord

RECORD = "calibration.json"

MAX_VALUE = 1e12
"""No machine can measure a larger number in the unit of any column. A larger one means a broken file."""

SIGNED = ("log_ratio", "overhead_s", "slowed_percent")
"""Columns that may be zero or negative. The others are always positive."""

Row = TypeVar("Row", bound=CalibrationRow)


@dataclass(frozen=True)
class Calibration:
    """The content of a calibration's folder."""

    folder: Path
    record: CalibrationRecord
    """calibration.json. Without parts if it is missing or broken."""
    rows: dict[str, tuple[CalibrationRow, ...]]
    """Rows of each part."""
    problems: tuple[str, ...]
    """What is wrong with the files, a sentence each."""

    @property
    def generators(self) -> tuple[GeneratorRow, ...]:
        """Rows of the part generators."""
        return self._of(GeneratorRow)

    @property
    def lag(self) -> tuple[LagRow, ...]:
        """Rows of the part lag."""
        return self._of(LagRow)

    @property
    def freeze(self) -> tuple[FreezeRow, ...]:
        """Rows of the part freeze."""
        return self._of(FreezeRow)

    @property
    def memory(self) -> tuple[MemoryRow, ...]:
        """Rows of the part memory."""
        return self._of(MemoryRow)

    @property
    def overhead(self) -> tuple[OverheadRow, ...]:
        """Rows of the part overhead."""
        return self._of(OverheadRow)

    @property
    def noise(self) -> tuple[NoiseRow, ...]:
        """Rows of the part noise."""
        return self._of(NoiseRow)

    @property
    def probe(self) -> tuple[ProbeRow, ...]:
        """Rows of the part probe."""
        return self._of(ProbeRow)

    @property
    def verdicts(self) -> tuple[VerdictRow, ...]:
        """Rows of the part verdicts."""
        return self._of(VerdictRow)

    def _of(self, row_type: type[Row]) -> tuple[Row, ...]:
        return tuple(row for rows in self.rows.values() for row in rows if isinstance(row, row_type))


def csv_text(rows: Sequence[CalibrationRow]) -> str:
    """The rows as CSV: the fields are the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(rows[0])])
    writer.writerows(map(astuple, rows))
    return text.getvalue()


def read_calibration(folder: Path) -> Calibration:
    """Read every file of a calibration. Broken files raise nothing, see ``problems``."""
    problems: list[str] = []
    record = _record(folder, problems)
    rows = {part: _part_rows(folder, part, record.parts.get(part), problems) for part in PARTS}
    return Calibration(folder, record, rows, tuple(problems))


def _record(folder: Path, problems: list[str]) -> CalibrationRecord:
    path = folder / RECORD
    if path.exists():
        try:
            return files.read_record(path, CalibrationRecord)
        except files.BrokenFile as error:
            problems.append(_named(path, error))
    return CalibrationRecord(SCHEMA, MachineRecord(), "", {})


def _part_rows(
    folder: Path, part: str, record: CalibrationPartRecord | None, problems: list[str]
) -> tuple[CalibrationRow, ...]:
    path = folder / f"{part}.csv"
    if not path.exists() and record is None:
        return ()
    try:
        if record is not None:
            files.check_files(folder, {path.name: record.bytes})
        return _rows(path, ROW_TYPES[part])
    except files.BrokenFile as error:
        problems.append(_named(path, error))
        return ()


def _named(path: Path, error: files.BrokenFile) -> str:
    return f"{path.name}: {str(error).removeprefix(f'{path}: ')}"


def _rows(path: Path, row_type: type[Row]) -> tuple[Row, ...]:
    """The rows of one file, with every column checked. BrokenFile names the line."""
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise files.BrokenFile(f"{path}: cannot be read ({error})") from None
    header = lines[0] if lines else []
    types = {field.name: str(field.type) for field in fields(row_type)}
    if missing := [name for name in types if name not in header]:
        raise files.BrokenFile(f"{path}: has no column {', '.join(missing)}; measure it again")
    if len(lines) < 2:
        raise files.BrokenFile(f"{path}: has no rows")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise files.BrokenFile(f"{path}: line {number} has {len(line)} columns of {len(header)}; it was cut short")
        texts = dict(zip(header, line, strict=True))
        try:
            rows.append(row_type(**{name: _value(name, type_, texts[name]) for name, type_ in types.items()}))
        except ValueError as error:
            raise files.BrokenFile(f"{path}: line {number}: {error}") from None
    return tuple(rows)


def _value(name: str, type_: str, text: str) -> Any:
    if type_ == "str":
        return text
    try:
        value = int(text) if type_ == "int" else float(text)
    except ValueError:
        raise ValueError(f"{name} is {text[:40]!r}, not a number") from None
    if not abs(value) < MAX_VALUE or (value <= 0 and name not in SIGNED):
        raise ValueError(f"{name} cannot be {text[:40]}")
    if name == "percentile" and value >= 100:
        raise ValueError(f"{name} cannot be {text[:40]}")
    return value
