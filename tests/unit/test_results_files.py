"""The results folder: whole files or none, and a refusal by name of what is not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bench.results import layout, schema
from bench.results.files import BrokenFile, check_files, file_sizes, read_json, write_json, write_text
from bench.results.layout import point_latest
from bench.results.schema import SCHEMA

WHOLE = {"schema": SCHEMA, "scenario": "blocking", "reasons": ["ünïcode"]}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Writing


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "folder" / "trial.json", WHOLE)
    assert read_json(tmp_path / "new" / "folder" / "trial.json") == WHOLE
    assert names(tmp_path / "new" / "folder") == ["trial.json"]


def test_writing_again_replaces(tmp_path: Path) -> None:
    write_text(tmp_path / "page", "long " * 1000)
    write_text(tmp_path / "page", "short")
    assert (tmp_path / "page").read_text() == "short"
    assert names(tmp_path) == ["page"]


def test_others_may_read_it(tmp_path: Path) -> None:
    write_text(tmp_path / "page", "for all")
    assert (tmp_path / "page").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("stage", ["replace", "chmod"])
@pytest.mark.parametrize("crash", [OSError("no space left"), KeyboardInterrupt()], ids=["OSError", "KeyboardInterrupt"])
def test_a_crash_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, crash: BaseException
) -> None:
    write_text(tmp_path / "page", "old")

    def fails(*_: Any) -> None:
        raise crash

    monkeypatch.setattr(Path, stage, fails)
    with pytest.raises(type(crash)):
        write_text(tmp_path / "page", "new")
    monkeypatch.undo()
    assert (tmp_path / "page").read_text() == "old"
    assert names(tmp_path) == ["page"]


def test_what_cannot_be_encoded_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "page", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "page", "half of it \ud800 is not text")
    assert (tmp_path / "page").read_text() == "old"
    assert names(tmp_path) == ["page"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_json_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "trial.json", {**WHOLE, "value": value})
    assert names(tmp_path) == []


# Reading


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(json.dumps(WHOLE)[:-20].encode(), "not whole JSON", id="cut"),
        pytest.param(b"", "not whole JSON", id="empty"),
        pytest.param(b"[1, 2]", "not a JSON object", id="a list"),
        pytest.param(b"{}", "schema None, this version reads", id="no schema"),
        pytest.param(b'{"schema": 999}', "schema 999, this version reads", id="another schema"),
        pytest.param(b'{"schema": "\xff"}', "cannot be read", id="not UTF-8"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "trial.json"
    path.write_bytes(content)
    with pytest.raises(BrokenFile) as refused:
        read_json(path)
    assert str(path) in str(refused.value)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    write_json(tmp_path / "whole.json", WHOLE)
    text = (tmp_path / "whole.json").read_bytes()
    for length in range(len(text) - 1):  # the last byte is a line break
        (tmp_path / "cut.json").write_bytes(text[:length])
        with pytest.raises(BrokenFile, match=r"cut\.json"):
            read_json(tmp_path / "cut.json")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BrokenFile, match=r"nothing\.json: there is no such file"):
        read_json(tmp_path / "nothing.json")
    with pytest.raises(BrokenFile, match="cannot be read"):
        read_json(tmp_path)


# Sizes


def test_files_are_as_long_as_the_trial_says(tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text("start_s\n")
    (tmp_path / "requests.hlog").write_text("#\n")
    (tmp_path / "server.log").write_text("not counted: it may grow")
    sizes = file_sizes(tmp_path)
    assert sizes == {"counts.csv": 8, "requests.hlog": 2}
    check_files(tmp_path, sizes)


@pytest.mark.parametrize("name", layout.TRIAL_FILES)
@pytest.mark.parametrize("content", ["cut", "much longer than it was"])
def test_a_file_of_another_size_is_refused_by_name(tmp_path: Path, name: str, content: str) -> None:
    for each in layout.TRIAL_FILES:
        (tmp_path / each).write_text("12345678")
    sizes = file_sizes(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(BrokenFile, match=f"{name}: {len(content)} bytes where trial.json says 8"):
        check_files(tmp_path, sizes)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BrokenFile, match=r"requests\.hlog: missing"):
        check_files(tmp_path, {"requests.hlog": 3})


# Folders


def test_a_trials_folder_says_what_it_is(tmp_path: Path) -> None:
    folder = layout.trial_folder(tmp_path / "run", "blocking", "awaited", "users-32", 3)
    assert folder.relative_to(tmp_path).parts == ("run", "blocking", "awaited", "users-32", "3")


def test_latest_follows_the_newest(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        point_latest(tmp_path, tmp_path / name)
        assert (tmp_path / "latest").resolve() == (tmp_path / name).resolve()
    assert names(tmp_path) == ["latest", "one", "two"]


def test_a_folder_called_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    point_latest(tmp_path, tmp_path / "one")
    assert names(tmp_path) == ["latest"]
    assert (tmp_path / "latest").is_dir()
    assert not (tmp_path / "latest").is_symlink()


def test_the_columns_of_failures_are_the_causes() -> None:
    assert [column for column in schema.COUNTS_COLUMNS if column.startswith("failed_")] == [
        f"failed_{cause}" for cause in schema.CAUSES
    ]
