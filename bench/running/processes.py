"""Processes: start and stop, with no process left behind.

    with start(["uvicorn", "app:app"], name="server", log=folder / "server.log", cores=(0,)) as server:
        reason = wait_until_ready({"server": (server, "http://127.0.0.1:8000/health")}, deadline_s=10)["server"]
        if reason is not None:
            print(f"{reason}; see {server.log}")

Each process tree has a supervisor (supervisor.py). It takes the whole tree down on request, and also when this process
dies, SIGKILL included. The supervisor has its own session, so Ctrl-C in the terminal reaches only the harness, which
decides what to stop and in which order.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import psutil

SUPERVISOR = Path(__file__).resolve().with_name("supervisor.py")

START_DEADLINE_S = 20.0
"""How long a supervisor may take to report that the program runs. Usually 0.03 s; more on a machine that swaps."""

STOP_DEADLINE_S = 7.0
"""How long a supervisor may take to stop its tree: 0.8 s of signals, 5 s of SIGKILL, and some reserve."""

KILLED_DEADLINE_S = 2.0
"""How long to wait for processes that were sent SIGKILL as the last resort."""

KILLED_POLL_S = 0.01
"""How often to check whether they have ended. They are not children of this process, so no signal reports it."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when the thread that started it ends."""


class StartError(Exception):
    """A process could not be started; the message is the reason in one line."""


@dataclass(frozen=True)
class Program:
    """A program to start."""

    argv: Sequence[str | os.PathLike[str]]
    name: str
    """For messages."""
    log: Path
    """File for both output streams. It is emptied first."""
    env: Mapping[str, str] | None = None
    """The whole environment. None: the one of this process."""
    cwd: Path | None = None
    cores: tuple[int, ...] | None = None
    """The cores it may use. None: all. Ignored where processes cannot be pinned, as on macOS."""
    pass_fds: tuple[int, ...] = ()
    """Descriptors that it inherits under their numbers."""


class Process:
    """A running program and all of its descendants. Made by ``start``, ended by ``stop`` or ``with``.

    ``pid`` is the program's, ``supervisor_pid`` the supervisor's. Not thread-safe.
    """

    def __init__(self, program: Program, supervisor: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.name = program.name
        self.log = program.log
        self.cores = program.cores
        self.pid = 0
        self.supervisor_pid = supervisor.pid
        self._supervisor = supervisor
        self._channel = channel
        self._received = b""
        self._channel_ended = False  # then the supervisor has ended, too
        self._start_error: str | None = None
        self._status: int | None = None
        self._tree_ended = False
        self._stopped = False

    def __repr__(self) -> str:
        return f"<Process {self.name} pid={self.pid} supervisor={self.supervisor_pid} status={self._status}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def poll(self) -> int | None:
        """The program's exit status, None while it runs; negative for a signal, as in subprocess.

        -9 if the supervisor was killed, since the program then dies with it.
        """
        while self._receive(0):
            pass
        return self._status

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the program to end. Its exit status, or None if it still runs after ``timeout_s``."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while self._status is None and self._receive(_left_s(deadline_s)):
            pass
        return self._status

    def pin(self, cores: tuple[int, ...]) -> None:
        """Keep the whole tree on ``cores``: every thread it has now and everything it starts later. Linux only.

        For servers that are pinned only after they have started: starting takes a second of CPU time, and several
        servers would otherwise share one core for it.
        """
        if sys.platform != "linux":
            return
        for _ in range(2):  # the second pass catches what was being started during the first
            for process in _tree_of(self.supervisor_pid):
                with suppress(OSError):
                    for thread in os.listdir(f"/proc/{process.pid}/task"):
                        with suppress(OSError):  # the thread has just ended
                            os.sched_setaffinity(int(thread), cores)
        self.cores = cores

    def request_stop(self) -> None:
        """Have the tree stopped, without waiting for it. ``stop`` waits."""
        if self._stopped:
            return
        with suppress(OSError):  # the supervisor has ended already
            self._channel.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        """Stop the tree (SIGTERM, SIGINT, SIGKILL) and return when no process of it is left. Idempotent."""
        if self._stopped:
            return
        self.request_stop()
        deadline_s = time.monotonic() + STOP_DEADLINE_S
        while not self._channel_ended and self._receive(_left_s(deadline_s)):
            pass
        if not self._tree_ended:
            self._kill_tree()
        self._supervisor.wait()
        self._channel.close()
        if self._status is None:
            self._status = -signal.SIGKILL
        self._stopped = True

    def _receive(self, timeout_s: float | None) -> bool:
        """Take in messages of the supervisor. False when none came in time, or when it has ended."""
        if self._channel_ended or self._stopped:
            return False
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if not poll.poll(None if timeout_s is None else timeout_s * 1000):
            return False
        try:
            part = self._channel.recv(4096)
        except ConnectionError:
            part = b""
        if not part:
            self._channel_ended = True
            if self._status is None:
                self._status = -signal.SIGKILL
            return False
        *lines, self._received = (self._received + part).split(b"\n")
        for line in lines:
            self._on_message(*line.decode(errors="replace").partition(" ")[::2])
        return True

    def _on_message(self, kind: str, value: str) -> None:
        match kind:
            case "pid":
                self.pid = int(value)
            case "error":
                self._start_error = value
                self._tree_ended = True
            case "exit":
                self._status = int(value)
            case "gone":
                self._tree_ended = True

    def _wait_started(self) -> None:
        """Return when the program runs. StartError gives the reason why it does not."""
        deadline_s = time.monotonic() + START_DEADLINE_S
        while not self.pid and self._start_error is None:
            if self._receive(_left_s(deadline_s)):
                continue
            killed, silent = "its supervisor was killed", f"its supervisor sent nothing in {START_DEADLINE_S:g} s"
            raise StartError(f"{self.name}: {killed if self._channel_ended else silent}")
        if self._start_error is not None:
            raise StartError(f"{self.name}: {self._start_error}")

    def _kill_tree(self) -> None:
        """The last resort, for a supervisor that hangs or was killed.

        The supervisor is a child that was not waited for yet, so no other process can have its pid or session number.
        """
        left = _tree_of(self.supervisor_pid)
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        self._supervisor.kill()
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
) -> Process:
    """``start_program`` for a program that inherits no descriptors."""
    return start_program(Program(argv, name, log, env, cwd, cores))


def start_program(program: Program) -> Process:
    """Start a program and return once it runs (about 30 ms; whether it is *ready* is another question).

    Its input is empty. StartError gives the reason in one line.
    """
    command = [os.fspath(part) for part in program.argv]
    if not command:
        raise StartError(f"{program.name}: no program given")
    ours, theirs = socket.socketpair()
    try:
        with theirs, _emptied(program.log) as output:
            cores = ",".join(map(str, program.cores or ()))
            supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", str(SUPERVISOR), str(theirs.fileno()), cores, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=program.env,
                cwd=program.cwd,
                pass_fds=[theirs.fileno(), *program.pass_fds],
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        ours.close()
        raise StartError(f"{program.name}: {_one_line(error)}") from None
    except BaseException:
        ours.close()
        raise
    process = Process(program, supervisor, ours)
    try:
        process._wait_started()
    except BaseException:
        process.stop()
        raise
    return process


def stop_all(processes: Iterable[Process]) -> None:
    """Stop several trees at the same time. Returns when no process of any is left."""
    processes = list(processes)
    for process in processes:
        process.request_stop()
    for process in processes:
        process.stop()


def run_in_foreground(argv: Sequence[str], cwd: Path, quiet: bool = False) -> int:
    """Run a program on this terminal until it ends, ``quiet`` without its output. Returns its exit status.

    On Linux it dies with this process.

    For one process without children: a supervisor has no terminal.
    """
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(
        list(argv), cwd=cwd, check=False, stdout=output, stderr=output, preexec_fn=_die_with_parent
    ).returncode


def end_with_parent() -> None:
    """Have this process get SIGTERM when the program that started it ends, by whatever cause. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def exit_text(status: int) -> str:
    """An exit status in words: ``exited with status 1``, ``was killed by SIGSEGV``."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _left_s(deadline_s: float | None) -> float | None:
    return None if deadline_s is None else max(0.0, deadline_s - time.monotonic())


def _emptied(log: Path) -> BinaryIO:
    """The log, emptied, opened for appending, so that two processes that write to it do not overwrite each other."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    return log.open("ab")


def _one_line(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split())


def _tree_of(supervisor_pid: int) -> list[psutil.Process]:
    """The supervisor's descendants, and all other processes of its session."""
    found: set[psutil.Process] = set()
    with suppress(psutil.Error):
        found.update(psutil.Process(supervisor_pid).children(recursive=True))
    for process in psutil.process_iter():
        try:
            if process.pid != supervisor_pid and os.getsid(process.pid) == supervisor_pid:
                found.add(process)
        except OSError:
            continue  # it has ended, or this process may not ask
    return list(found)


def _lives(process: psutil.Process) -> bool:
    """Whether it still runs. A zombie does not; its new parent decides when it is reaped."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
