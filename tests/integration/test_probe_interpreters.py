"""The probe under other versions of Python: its pure parts, and a blocking app in a real server.

The running interpreter is always tested. For each other version, uv makes an environment; a version that is not installed
is skipped, with the reason in pytest's summary.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from probed_server import blamed_line, serving, stalled_ms

ROOT = Path(__file__).resolve().parents[2]
RUNNING = "running"
VERSIONS = (RUNNING, "3.9", "3.12", "3.13")
"""The oldest that the probe supports, and those whose bytecode or frames differ."""
MIN_RIGHT = 0.9
"""As in test_probe_blame.py."""


def installed(version: str) -> str | None:
    """Path of a Python of this version, known to uv or to pyenv; None if there is none."""
    found = subprocess.run(
        ["uv", "python", "find", "--no-python-downloads", "--no-project", version],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        return found.stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return next((str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"))), None)


@pytest.fixture(scope="module", params=VERSIONS)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with uvicorn, FastAPI and pytest."""
    version: str = request.param
    if version == RUNNING:
        return sys.executable
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed, so there is no environment for other versions of Python")
    base = installed(version)
    if base is None:
        pytest.skip(f"Python {version} is not installed")
    environment = tmp_path_factory.mktemp("python") / version
    interpreter = environment / "bin" / "python"
    subprocess.run(["uv", "venv", "--quiet", "--python", base, str(environment)], check=True)
    packages = ["uv", "pip", "install", "--quiet", "--python", str(interpreter), "uvicorn", "fastapi", "pytest"]
    subprocess.run(packages, check=True)
    return str(interpreter)


def test_the_pure_parts(python: str, tmp_path: Path) -> None:
    options = ("-c", os.devnull, "--rootdir", str(tmp_path), "--noconftest", "-p", "no:cacheprovider", "-q")
    tests = str(ROOT / "tests" / "unit" / "test_probe_parts.py")
    done = subprocess.run(
        [python, "-B", "-m", "pytest", *options, tests],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("path", "callee"), [("/sleep", "time.sleep"), ("/driver", "slowdb.")])
def test_the_blocking_line_is_blamed(python: str, tmp_path: Path, path: str, callee: str) -> None:
    with serving("patterns:app", tmp_path, "--loop", "asyncio", python=python) as server:
        loaded = server.load(path, 8, 0.6)
        server.wait_for_rows(loaded.until_s)
        own = [row for row in server.stalls(loaded.begun_s, loaded.until_s) if row["file"]]
        assert "loop_probe: failed" not in server.log
    charged = stalled_ms(own, "kind", "file", "line")
    line = blamed_line("patterns.py", path)
    assert charged[("loop", "patterns.py", line)] >= MIN_RIGHT * charged.total() > 0, charged
    ((called, _), *_) = stalled_ms([row for row in own if row["line"] == line], "callee").most_common(1)
    assert called[0].startswith(callee)
