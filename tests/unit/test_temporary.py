"""Temporary folders that know their owner: removed at the end, or by the next start when the owner was killed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from harness import ROOT

from bench.running.temporary import OwnedFolder, remove_left_behind

MAKE = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from bench.running.temporary import OwnedFolder
owned = OwnedFolder("test")
(owned.folder("deep") / "file").write_text("content")
print(owned.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_gone_at_the_end(place: Path) -> None:
    with OwnedFolder("test") as owned:
        assert owned.path.parent == place
        assert owned.path.name.startswith("async-bench-test-")
        assert owned.path.stat().st_mode & 0o777 == 0o700
        (owned.folder("inner") / "file").write_text("content")
        assert remove_left_behind() == []
    assert list(place.iterdir()) == []
    owned.remove()  # again


def test_a_folder_is_left_behind_only_when_its_process_has_ended(place: Path) -> None:
    program = [sys.executable, "-c", MAKE, str(place)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as other:
        assert other.stdout is not None
        folder = Path(other.stdout.readline().strip())
        assert remove_left_behind() == []
        assert (folder / "deep" / "file").read_text() == "content"
        other.kill()
    assert remove_left_behind() == [folder]
    assert list(place.iterdir()) == []


def test_what_is_not_ours_stays(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Another program's folder of the same name, a file, a link to a folder of ours, and a link as the lock's file."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "owner").write_text("")
    (place / "async-bench-other").mkdir()
    (place / "async-bench-file").write_text("")
    (place / "async-bench-link").symlink_to(elsewhere)
    (place / "async-bench-forged").mkdir()
    (place / "async-bench-forged" / "owner").symlink_to(elsewhere / "owner")
    (place / "other").mkdir()
    (place / "other" / "owner").write_text("")
    before = sorted(place.rglob("*"))
    assert remove_left_behind() == []
    assert sorted(place.rglob("*")) == before
    assert (elsewhere / "owner").exists()
