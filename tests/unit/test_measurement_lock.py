"""One measurement a machine and user, in whatever folders, and who holds it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import ROOT, until

from bench.model.errors import UsageError
from bench.running import measurement_lock
from bench.running.measurement_lock import hold_machine, lock_file

HOLD = """
import sys
from pathlib import Path
from bench.running import measurement_lock
measurement_lock.lock_file = lambda: Path(sys.argv[1])
with measurement_lock.hold_machine("bench cpu into /r/monday"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock of this test's own: the real one may be held by a measurement."""
    path = tmp_path / "lock"
    monkeypatch.setattr(measurement_lock, "lock_file", lambda: path)
    return path


@contextmanager
def held_by_another(file: Path) -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        try:
            yield other
        finally:
            other.kill()


def test_the_second_is_refused_and_told_who_holds_it_until_that_is_killed(file: Path) -> None:
    with held_by_another(file) as other:
        with pytest.raises(UsageError) as refused, hold_machine("mine"):
            pass
        assert f"(bench cpu into /r/monday, process {other.pid}, since " in str(refused.value)
        assert "\n" not in str(refused.value)
    with hold_machine("mine"):  # not even a killed one leaves it locked
        assert file.read_text().startswith(f"mine, process {os.getpid()}")
    assert file.read_text() == ""


def test_one_that_waits_gets_it_when_the_other_ends(file: Path) -> None:
    said: list[str] = []
    got = threading.Event()

    def wait() -> None:
        with hold_machine("mine", wait=True, say=said.append):
            got.set()

    with held_by_another(file):
        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: bool(said), "it says that it waits")
        assert not got.is_set()
    assert got.wait(10)
    waiting.join()
    assert len(said) == 1
    assert said[0].startswith("waiting for another measurement to end: bench cpu into /r/monday, process ")


def test_it_is_free_again_after_an_error(file: Path) -> None:
    with pytest.raises(RuntimeError), hold_machine("mine"):
        raise RuntimeError
    with hold_machine("mine"):
        pass


def test_what_the_file_says_cannot_forge_lines_or_escape_sequences(file: Path) -> None:
    with held_by_another(file):
        file.write_text("a\nerror: \x1b[31mfalse\u202e" + "x" * 1000)
        with pytest.raises(UsageError) as refused, hold_machine("mine"):
            pass
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 600


def test_a_link_in_its_place_is_refused(file: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("content")
    file.symlink_to(precious)
    with pytest.raises(UsageError, match="cannot be opened"), hold_machine("mine"):
        pass
    assert precious.read_text() == "content"


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No home folder that can be made, and a temporary folder of the test's own."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(measurement_lock.pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir=str(tmp_path / "file")))
    monkeypatch.setattr(measurement_lock.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary" / f"async-bench-lock-{os.geteuid()}"


def test_without_a_home_it_lies_in_the_temporary_folder(no_home: Path) -> None:
    assert lock_file() == no_home / "measuring"
    assert no_home.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_somebody_else_put_there_is_not_used(no_home: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    no_home.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="no folder for the lock"):
        lock_file()
