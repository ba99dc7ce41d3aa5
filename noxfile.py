"""The menu: ``nox -l`` lists it, ``nox -s bench`` measures everything, options go after ``--``."""

import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # under the nox command the project is not importable by itself

from bench.planning import catalogue  # noqa: E402

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
EXTRAS = PROJECT["project"]["optional-dependencies"]
OWN = "own"  # the scenario that --app makes
IN_PARALLEL = ("tests/unit", "tests/drawing", "tests/unmeasured")
ONE_BY_ONE = ("tests/integration", "tests/system")
RUN = time.strftime("%Y-%m-%d_%H%M%S")  # one name for all scenarios of one command

# All sessions that measure or draw share one environment; a scenario's own packages are added when it is first measured.
# They have venv_backend="none", because nox makes an environment for each session.
ENVIRONMENT = ROOT / ".nox" / "harness"
BIN = ENVIRONMENT / "bin"
PYTHON = str(BIN / "python")

# nox kills an interrupted command after half a second; ours stops its servers first, which takes up to 5.
TIME_TO_STOP: dict[str, Any] = {"interrupt_timeout": 15.0, "terminate_timeout": 5.0}


def install(session: nox.Session, *groups: str) -> None:
    """Install the project's packages, those of all scenarios and some dependency groups, pinned."""
    wanted = [*packages(*EXTRAS), *nox.project.dependency_groups(PROJECT, *groups)]
    session.install(*wanted, "--constraint", str(ROOT / "constraints.txt"))
    # Where it is set, every server and Locust compiles all that it imports again: starting takes twice as long.
    session.env["PYTHONDONTWRITEBYTECODE"] = ""


def packages(*extras: str) -> list[str]:
    """The project's dependencies, and those of some extras: the packages that single scenarios need."""
    return [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in EXTRAS[extra])]


def add_to_environment(session: nox.Session, *extras: str) -> None:
    """Install the project's packages and those of some extras in the shared environment, unless they are there."""
    session.env["PYTHONDONTWRITEBYTECODE"] = ""  # see install()
    session.env["PATH"] = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    wanted = packages(*extras)
    constraints = ROOT / "constraints.txt"
    state = hashlib.sha256("\n".join([*sorted(wanted), constraints.read_text(), sys.version]).encode()).hexdigest()
    done = ENVIRONMENT / f"installed-{state[:16]}"
    if done.exists():
        return
    uv = shutil.which("uv") or find_uv_of_nox()
    if not Path(PYTHON).exists():
        make = [uv, "venv", "--quiet", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
        session.run(*make, str(ENVIRONMENT), external=True)
    pip = [uv, "pip", "install", "--python", PYTHON] if uv else [PYTHON, "-m", "pip", "install"]
    session.run(*pip, "--quiet", *wanted, "--constraint", str(constraints), external=True)
    done.touch()


def find_uv_of_nox() -> str | None:
    """Return the uv that is installed beside nox, if there is one."""
    uv = Path(sys.executable).with_name("uv")
    return str(uv) if uv.exists() else None


def given(option: str) -> str | None:
    """An option's value on the command line: what sessions there are is decided before nox hands out the options."""
    words = sys.argv[1:]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == option:
            return value if equals else following
    return None


APPS = (ROOT / (given("--apps") or "apps")).absolute()
SCENARIOS = [OWN] if given("--app") else [*catalogue.names(APPS)] or ["none"]


@nox.session(venv_backend="none")
@nox.parametrize("scenario", [nox.param(name, id=name) for name in SCENARIOS])
def bench(session: nox.Session, scenario: str) -> None:
    """Measure one scenario: -- --profile quick|standard|thorough --check …, or your own: -- --app mypkg.main:app …"""
    named = [] if any(arg.split("=")[0] == "--run" for arg in session.posargs) else ["--run", RUN]
    if scenario == OWN:
        add_to_environment(session)
        here = ("--invoked-from", session.invoked_from)
        session.run(PYTHON, "-m", "bench", "bench", *here, *named, *session.posargs, external=True, **TIME_TO_STOP)
        return
    extra = catalogue.load(scenario, APPS).extra if scenario in catalogue.names(APPS) else ""
    add_to_environment(session, *([extra] if extra else []))
    session.run(PYTHON, "-m", "bench", "bench", scenario, *named, *session.posargs, external=True, **TIME_TO_STOP)


@nox.session(default=False, venv_backend="none")
def doctor(session: nox.Session) -> None:
    """Find the lines that hold an app of your own up: -- mypkg.main:app --app-dir DIR --python PATH --fail-on NAME …"""
    add_to_environment(session)
    session.run(
        PYTHON,
        "-m",
        "bench",
        "doctor",
        "--invoked-from",
        session.invoked_from,
        *session.posargs,
        external=True,
        **TIME_TO_STOP,
    )


@nox.session(default=False, venv_backend="none")
def report(session: nox.Session) -> None:
    """Draw a run again without measuring: -- results/<run> --check"""
    add_to_environment(session)
    session.run(
        PYTHON,
        "-m",
        "bench",
        "report",
        "--force",
        *(session.posargs or ["results/latest"]),
        external=True,
        **TIME_TO_STOP,
    )


@nox.session(default=False, venv_backend="none")
def web(session: nox.Session) -> None:
    """Measure from Locust's web UI: -- SCENARIO … --web-host HOST --web-port N --processes N"""
    named = [name for name in catalogue.names() if name in session.posargs]
    extras = {catalogue.load(name).extra for name in named or catalogue.names()}
    add_to_environment(session, *sorted(extras - {""}))
    session.run(PYTHON, "-m", "bench", "web", *session.posargs, external=True, **TIME_TO_STOP)


@nox.session(default=False, venv_backend="none")
def calibrate(session: nox.Session) -> None:
    """Measure the harness itself: -- --part generators|lag|freeze|memory|overhead|noise|probe|verdicts --rounds N"""
    add_to_environment(session)
    session.run(PYTHON, "-m", "bench", "calibrate", *session.posargs, external=True, **TIME_TO_STOP)


@nox.session
def tests(session: nox.Session) -> None:
    """Test everything, with real servers and real Locust: -- any options of pytest"""
    install(session, "tests")
    if session.posargs:
        session.run("python", "-m", "pytest", *session.posargs, **TIME_TO_STOP)
        return
    # What measures nothing runs in parallel. The rest would disturb itself.
    session.run("python", "-m", "pytest", "-n", "auto", "--dist", "loadfile", *IN_PARALLEL, **TIME_TO_STOP)
    session.run("python", "-m", "pytest", *ONE_BY_ONE, **TIME_TO_STOP)


@nox.session(default=False)
def unit(session: nox.Session) -> None:
    """Run the tests that need no server: -- any options of pytest"""
    install(session, "tests")
    session.run("python", "-m", "pytest", "-n", "auto", "tests/unit", *session.posargs, **TIME_TO_STOP)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Read 100,000 damaged inputs, in ten minutes or less: -- --inputs N --seconds N --seed N"""
    install(session, "tests")
    session.run("python", "tests/fuzz/fuzz_readers.py", *session.posargs, **TIME_TO_STOP)


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Measure for an hour and check that no process grows: -- --seconds N --web"""
    install(session, "tests")
    session.run("python", "tests/soak/soak.py", *session.posargs, **TIME_TO_STOP)


@nox.session(default=False, venv_backend="none")
def package(session: nox.Session) -> None:
    """Build the wheel, and measure with it from an empty folder, as somebody would who has no checkout."""
    uv = shutil.which("uv") or find_uv_of_nox()
    if uv is None:
        session.error("uv is needed: pip install uv")
    with tempfile.TemporaryDirectory() as place:
        session.run(uv, "build", "--quiet", "--wheel", "--out-dir", place, external=True)
        (wheel,) = Path(place).glob("*.whl")
        elsewhere = Path(place) / "elsewhere"
        elsewhere.mkdir()
        run = [uv, "tool", "run", "--constraints", str(ROOT / "constraints.txt"), "--from", str(wheel), "async-bench"]
        with session.chdir(elsewhere):
            session.run(*run, "bench", "blocking", "--profile", "quick", external=True, **TIME_TO_STOP)
        if [path.name for path in elsewhere.iterdir()] != ["results"]:
            session.error(f"something else than results/ was written: {sorted(elsewhere.iterdir())}")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and which part may import which."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"), "--constraint", str(ROOT / "constraints.txt"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("lint-imports")
    session.run("python", "tests/support/check_names.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "types")
    session.run("mypy", *session.posargs)
    # Tests compare with pytest.approx, which is of another type, and take names from where they are used.
    loose = ["--no-strict-equality", "--implicit-reexport", "--allow-untyped-decorators"]
    apps_under_test = ["--exclude", "tests/support/(probe_apps|doctor_apps|ugly)"]
    session.env["MYPYPATH"] = str(ROOT / "tests" / "support")
    session.run("mypy", "--explicit-package-bases", *loose, *apps_under_test, "tests", "locustfiles")


@nox.session(default=False, venv_backend="none")
def docs(session: nox.Session) -> None:
    """Make the generated documents again: file formats, JSON Schemas, claims."""
    add_to_environment(session)
    session.run(PYTHON, "-m", "bench.results.document", external=True)
    session.run(PYTHON, "-m", "bench.planning.document_claims", external=True)
