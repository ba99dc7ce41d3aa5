"""Processes: start, wait until ready, stop, and never leave one behind.

    with start(["uvicorn", "app:app"], name="server", log=folder / "server.log", cores=(0,)) as server:
        reason = wait_until_ready({"server": (server, "http://127.0.0.1:8000/health")}, deadline_s=10)["server"]
        if reason is not None:
            print(reason, tail(server.log), sep="\\n")

Each tree has a guard (see guard.py), which takes the whole tree down when it is asked to and when this process dies,
SIGKILL included. The guard lives in a session of its own, so Ctrl-C in the terminal reaches only the harness, which
decides what to stop and in which order.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import httpx
import psutil

GUARD = Path(__file__).resolve().with_name("supervisor.py")

START_DEADLINE_S = 20.0
"""How long a guard may take to say that the program runs, in seconds. It takes 0.03; a machine that swaps, longer."""

STOP_DEADLINE_S = 7.0
"""How long a guard may take to bring its tree down, in seconds: its ladder of 0.8, the 5 it insists, and some slack."""

KILLED_DEADLINE_S = 2.0
"""How long to wait for what was sent SIGKILL as the last resort, in seconds."""

KILLED_POLL_S = 0.01
"""How often to look whether it is gone, in seconds: they are not our children, so nothing tells us."""

READY_POLL_S = 0.02
"""How often a server is asked, in seconds: half of it is what readiness is late by, and one such request costs 1 ms."""

ANSWER_TIMEOUT_S = 2.0
"""How long one such request may take before it is made anew, in seconds."""

LOWEST_PORT = 15_000
"""Where the search for a free port begins: below are the ports that databases and development servers like."""

EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

EPHEMERAL_ELSEWHERE = (32_768, 65_535)
"""Where that file is not: wide enough for Linux' own default and for macOS' (49152 to 65535)."""

PORT_TRIES = 200
"""How many ports are tried; one in a hundred taken would be much."""


PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when the thread that started it ends."""


class StartError(Exception):
    """A process could not be started; the message is the reason in one line."""


class Process:
    """A running program with everything below it. Made by ``start``; to be stopped by ``stop``, or by ``with``.

    ``pid`` is the program's, ``guard_pid`` its guard's. One thread at a time.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        cores: tuple[int, ...] | None,
        guard: subprocess.Popen[bytes],
        channel: socket.socket,
    ) -> None:
        self.name = name
        self.log = log
        self.cores = cores
        self.pid = 0
        self.guard_pid = guard.pid
        self._guard = guard
        self._channel = channel
        self._heard = b""
        self._silent = False  # the channel has ended: the guard is no more
        self._cannot: str | None = None
        self._status: int | None = None
        self._gone = False
        self._stopped = False

    def __repr__(self) -> str:
        return f"<Process {self.name} pid={self.pid} guard={self.guard_pid} status={self._status}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def poll(self) -> int | None:
        """The program's exit status, None while it runs; negative for a signal, as in subprocess.

        A guard that was killed takes its program along: -9.
        """
        while self._listen(0):
            pass
        return self._status

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the program to end; its exit status, or None if it still runs after ``timeout_s``."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while self._status is None and self._listen(_left(deadline_s)):
            pass
        return self._status

    def pin(self, cores: tuple[int, ...]) -> None:
        """Keep the whole tree, every thread that it has now and what it starts later, on ``cores``. Linux only.

        Starting takes a core a second, which several servers would queue for on the core that they are measured on.
        """
        if sys.platform != "linux":
            return
        for _ in range(2):  # again for what was being started meanwhile
            for below in _below(self.guard_pid):
                with suppress(OSError):
                    for thread in os.listdir(f"/proc/{below.pid}/task"):
                        with suppress(OSError):  # it has just ended
                            os.sched_setaffinity(int(thread), cores)
        self.cores = cores

    def ask_to_stop(self) -> None:
        """Have the tree stopped without waiting for it. ``stop`` waits."""
        if self._stopped:
            return
        with suppress(OSError):  # the guard has left already
            self._channel.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        """Stop the tree (SIGTERM, SIGINT, SIGKILL) and return when nothing of it is left. Again is no harm."""
        if self._stopped:
            return
        self.ask_to_stop()
        deadline_s = time.monotonic() + STOP_DEADLINE_S
        while not self._silent and self._listen(_left(deadline_s)):
            pass
        if not self._gone:
            self._kill_what_is_left()
        self._guard.wait()
        self._channel.close()
        if self._status is None:
            self._status = -signal.SIGKILL
        self._stopped = True

    def _listen(self, timeout_s: float | None) -> bool:
        """Take in what the guard says. False when it said nothing in time, or is no more."""
        if self._silent or self._stopped:
            return False
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if not poll.poll(None if timeout_s is None else timeout_s * 1000):
            return False
        try:
            heard = self._channel.recv(4096)
        except ConnectionError:
            heard = b""
        if not heard:
            self._silent = True
            if self._status is None:
                self._status = -signal.SIGKILL
            return False
        *lines, self._heard = (self._heard + heard).split(b"\n")
        for line in lines:
            self._take(*line.decode(errors="replace").partition(" ")[::2])
        return True

    def _take(self, word: str, rest: str) -> None:
        match word:
            case "pid":
                self.pid = int(rest)
            case "cannot":
                self._cannot = rest
                self._gone = True
            case "exit":
                self._status = int(rest)
            case "gone":
                self._gone = True

    def _wait_started(self) -> None:
        """Return when the program runs; StartError says why it does not."""
        deadline_s = time.monotonic() + START_DEADLINE_S
        while not self.pid and self._cannot is None:
            if self._listen(_left(deadline_s)):
                continue
            reason = "its guard was killed" if self._silent else f"its guard said nothing in {START_DEADLINE_S:g} s"
            raise StartError(f"{self.name}: {reason}")
        if self._cannot is not None:
            raise StartError(f"{self.name}: {self._cannot}")

    def _kill_what_is_left(self) -> None:
        """The last resort: the guard hangs or was killed itself.

        The guard is a child not yet waited for, so its pid, also its session's number, cannot be anybody else's.
        """
        left = _below(self.guard_pid)
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        self._guard.kill()
        deadline_s = time.monotonic() + KILLED_DEADLINE_S
        while any(map(_lives, left)) and time.monotonic() < deadline_s:
            time.sleep(KILLED_POLL_S)


def start(
    argv: Sequence[str | os.PathLike[str]],
    *,
    name: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    cores: tuple[int, ...] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> Process:
    """Start a program and return once it runs (about 30 ms; whether it is *ready* is another question).

    Its output, both streams, goes to ``log``, which begins empty; its input is empty. ``env`` is its whole environment
    (None: ours), ``cores`` are those it may use (None: all; ignored where processes cannot be pinned, as on macOS).
    It inherits the descriptors ``pass_fds`` under their numbers.
    StartError says in one line why it cannot be had.
    """
    command = [os.fspath(part) for part in argv]
    if not command:
        raise StartError(f"{name}: no program given")
    ours, theirs = socket.socketpair()
    try:
        with theirs, _fresh(log) as output:
            listed = ",".join(map(str, cores or ()))
            options = ("-I", "-S", "-E")
            guard = subprocess.Popen(
                [sys.executable, *options, str(GUARD), str(theirs.fileno()), listed, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=cwd,
                pass_fds=[theirs.fileno(), *pass_fds],
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        ours.close()
        raise StartError(f"{name}: {_one_line(error)}") from None
    except BaseException:
        ours.close()
        raise
    process = Process(name, log, cores, guard, ours)
    try:
        process._wait_started()
    except BaseException:
        process.stop()
        raise
    return process


def stop_all(processes: Iterable[Process]) -> None:
    """Stop several trees side by side; return when nothing of any is left."""
    processes = list(processes)
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        process.stop()


class _Ports:
    """Ports handed out by this process, so that it hands none out twice: a server binds its own only later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: set[int] = set()
        self._random = random.SystemRandom()  # never the seeded one: two runs of one seed may go side by side

    def take(self, candidates: range) -> int | None:
        with self._lock:
            for _ in range(PORT_TRIES if candidates else 0):
                port = self._random.choice(candidates)
                if port not in self._given and _bindable(port):
                    self._given.add(port)
                    return port
        return None


_ports = _Ports()


def free_port() -> int:
    """A free TCP port on the loopback interface.

    It lies outside the kernel's ephemeral range: from there, an outgoing connection (a load test makes many) could take
    it before the server does. Only where nothing is free outside does the kernel choose one inside.
    """
    first, last = ephemeral_range()
    for candidates in (range(LOWEST_PORT, first), range(max(last + 1, LOWEST_PORT), 65_536)):
        if (port := _ports.take(candidates)) is not None:
            return port
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def ephemeral_range() -> tuple[int, int]:
    """First and last port that the kernel gives to outgoing connections."""
    try:
        first, last = EPHEMERAL_RANGE.read_text().split()
        return int(first), int(last)
    except (OSError, ValueError):
        return EPHEMERAL_ELSEWHERE


def run_in_front(argv: Sequence[str], cwd: Path) -> int:
    """Run a program on our own terminal until it ends; its exit status. On Linux it dies with this process.

    For one process without children: the guard's way has no terminal.
    """
    return subprocess.run(list(argv), cwd=cwd, check=False, preexec_fn=_die_with_parent).returncode


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until_ready(servers: Mapping[str, tuple[Process, str]], deadline_s: float) -> dict[str, str | None]:
    """Ask each server's URL until it answers, all side by side, for at most ``deadline_s`` seconds.

    None is ready: any answer with a status below 500. Otherwise the reason in one line, such as "exited with status 1
    while starting". Returns as soon as each server is decided; one that is slow holds up nobody else's polling.
    """
    return asyncio.run(_all_ready(servers, deadline_s))


async def _all_ready(servers: Mapping[str, tuple[Process, str]], deadline_s: float) -> dict[str, str | None]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=ANSWER_TIMEOUT_S, limits=limits) as client:
        waits = (_ready(client, process, url, deadline_s) for process, url in servers.values())
        return dict(zip(servers, await asyncio.gather(*waits), strict=True))


async def _ready(client: httpx.AsyncClient, process: Process, url: str, deadline_s: float) -> str | None:
    """None once the server answers, else why it does not."""
    asked = _Asked(client, url)
    answers = asyncio.create_task(asked.until_answered())
    exits = asyncio.create_task(_until_exit(process))
    try:
        await asyncio.wait((answers, exits), timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        # The exit first: on a port that was taken, somebody else answers while our server has failed.
        if (status := process.poll()) is not None:
            return f"{ended(status)} while starting"
        if answers.done():
            return answers.result()
        return f"{asked.seen} {deadline_s:g} s"
    finally:
        for task in (answers, exits):
            task.cancel()
        await asyncio.gather(answers, exits, return_exceptions=True)


class _Asked:
    """One server being asked over and over, and the most telling thing it did so far."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = httpx.URL(url)
        self.seen = "never answered in"

    async def until_answered(self) -> None:
        """Return at the first answer below 500."""
        path = self._url.raw_path.decode()
        while True:
            try:
                async with self._client.stream("GET", self._url) as answer:  # the body may be endless
                    status = answer.status_code
            except (httpx.RemoteProtocolError, httpx.ReadError):
                self.seen = f"hung up on GET {path} for"
            except httpx.HTTPError:
                pass  # refused, or no answer in time: not yet
            else:
                if status < 500:
                    return
                self.seen = f"answered {status} to GET {path} for"
            await asyncio.sleep(READY_POLL_S)


async def _until_exit(process: Process) -> None:
    while process.poll() is None:
        await asyncio.sleep(READY_POLL_S)


def tail(log: Path, lines: int = 40, limit: int = 8000) -> str:
    """The last ``lines`` lines of a log, from at most its last ``limit`` bytes. Empty if there is no such file.

    Bytes that are not UTF-8 become U+FFFD: a log may hold anything.
    """
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read(limit).decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


@dataclass(frozen=True)
class Cores:
    """Which cores the load generator and the servers may use. Equal or overlapping: they share."""

    generator: tuple[int, ...]
    server: tuple[int, ...]

    @property
    def shared(self) -> bool:
        """Whether the load generator has no core to itself, which a result must say."""
        return bool(set(self.generator) & set(self.server))


def cores_for(parallel: bool, available: Iterable[int] | None = None) -> Cores | None:
    """Split the cores that this process may use (or those given); None where processes cannot be pinned (macOS).

    The generator gets the last core to itself, the servers the others: it must never be what is measured. A single core
    both share. ``parallel`` is for scenarios about parallelism: of two cores the servers get both, or there would be
    nothing to see.

        cores_for(False, (0, 1, 2, 3))  ->  generator (3,), server (0, 1, 2)
        cores_for(True, (0, 1))         ->  generator (1,), server (0, 1)
    """
    if available is None:
        if sys.platform != "linux":
            return None
        available = os.sched_getaffinity(0)
    cores = tuple(sorted(available))
    if len(cores) == 1 or (parallel and len(cores) == 2):
        return Cores(cores[-1:], cores)
    return Cores(cores[-1:], cores[:-1])


def _left(deadline_s: float | None) -> float | None:
    return None if deadline_s is None else max(0.0, deadline_s - time.monotonic())


def _fresh(log: Path) -> BinaryIO:
    """The log, emptied, to be appended to: two processes that write there do not overwrite each other."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    return log.open("ab")


def _one_line(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split())


def ended(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _bindable(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _below(guard_pid: int) -> list[psutil.Process]:
    """What a guard guards: its descendants, and whoever is in its session."""
    found: set[psutil.Process] = set()
    with suppress(psutil.Error):
        found.update(psutil.Process(guard_pid).children(recursive=True))
    for process in psutil.process_iter():
        try:
            if process.pid != guard_pid and os.getsid(process.pid) == guard_pid:
                found.add(process)
        except OSError:
            continue  # ended meanwhile, or not ours to ask
    return list(found)


def _lives(process: psutil.Process) -> bool:
    """Whether it still runs. A zombie does not: when it is reaped is up to whoever inherits it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
