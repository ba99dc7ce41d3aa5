"""The fingerprint: complete, shareable, and never the reason why a run fails."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from bench.results.schema import CgroupRecord, GitRecord
from bench.running import fingerprint

ROOT = Path(__file__).resolve().parents[2]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "core.hooksPath=/dev/null"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init")
    return root


def test_fingerprint_is_json_with_the_main_facts() -> None:
    found = fingerprint.fingerprint()
    as_data = asdict(found)
    assert json.loads(json.dumps(as_data, allow_nan=False)) == as_data
    assert found.cpu.cores_logical == os.cpu_count()
    assert (found.memory_bytes or 0) > 0
    assert found.python.version == ".".join(map(str, sys.version_info[:3]))
    assert found.python.gil_enabled in (True, False)
    assert {"uvicorn", "fastapi", "starlette", "httpx", "locust"} <= set(found.packages)
    assert None not in found.packages.values()


def test_fingerprint_is_the_same_each_time() -> None:
    assert fingerprint.fingerprint() == fingerprint.fingerprint()


def test_fingerprint_tells_neither_host_nor_paths() -> None:
    text = json.dumps(asdict(fingerprint.fingerprint()))
    for secret in (sys.prefix, sys.base_prefix, str(Path.home()), str(ROOT)):
        assert secret not in text
    # A host name such as "vm" may be part of another word, so only a whole value counts.
    assert f'"{socket.gethostname()}"' not in text


def test_nothing_heavy_is_imported() -> None:
    program = (
        "import sys; from bench.running import fingerprint; fingerprint.fingerprint();"
        "print([name for name in ('pandas', 'locust', 'matplotlib', 'numpy', 'gevent') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_facts_that_are_not_available_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    monkeypatch.setattr(psutil, "cpu_count", refuse)
    monkeypatch.setattr(metadata, "version", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)
    found = fingerprint.fingerprint()
    assert found.memory_bytes is None
    assert found.cpu.cores_physical is None
    assert found.cpu.model is None
    assert found.cgroup == CgroupRecord()
    assert found.packages == {}
    assert fingerprint.git_state(ROOT) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has control groups")
@pytest.mark.parametrize(
    ("files", "cpu_cores", "memory_bytes"),
    [
        ({}, None, None),
        ({"a/b/cpu.max": "max 100000\n", "a/b/memory.max": "max\n"}, None, None),
        ({"a/b/cpu.max": "150000 100000\n", "a/b/memory.max": "1048576\n"}, 1.5, 1_048_576),
        ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n", "a/memory.max": "4096\n"}, 0.5, 4096),
    ],
)
def test_cgroup_limits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    cpu_cores: float | None,
    memory_bytes: int | None,
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(fingerprint, "_cgroup_folders", lambda controller: [inner, inner.parent, tmp_path])
    found = fingerprint.fingerprint().cgroup
    assert found == CgroupRecord(cpu_cores, memory_bytes)


def test_cgroup_limits_of_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("200000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    monkeypatch.setattr(fingerprint, "_cgroup_folders", lambda controller: [tmp_path])
    assert fingerprint.fingerprint().cgroup == CgroupRecord(cpu_cores=2.0)


def test_git_state(repository: Path) -> None:
    assert fingerprint.git_state(repository) is None, "no commit yet"
    (repository / "file").write_text("one")
    git(repository, "add", "file")
    git(repository, "commit", "-m", "first")
    revision = git(repository, "rev-parse", "HEAD")
    assert fingerprint.git_state(repository) == GitRecord(revision, False)
    (repository / "file").write_text("two")
    assert fingerprint.git_state(repository) == GitRecord(revision, True)
    git(repository, "checkout", "file")
    (repository / "new").write_text("")
    assert fingerprint.git_state(repository) == GitRecord(revision, True)


def test_git_state_is_that_of_its_own_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "inner").mkdir()
    assert fingerprint.git_state(repository / "inner") is None
    assert fingerprint.git_state(repository / "nowhere") is None
    git(repository, "commit", "--allow-empty", "-m", "first")
    revision = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(repository / "elsewhere"))  # as inside a git hook
    assert fingerprint.git_state(repository) == GitRecord(revision, False)


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert fingerprint.git_state(repository) is None
