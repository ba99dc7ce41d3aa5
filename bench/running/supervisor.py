"""The supervisor: a small process between the harness and each process tree it starts, so that no tree outlives the harness.

    python -I -S -E bench/running/supervisor.py <channel> <cores> <program> [argument ...]

``channel`` is the supervisor's end of a socket pair, ``cores`` a list such as ``0,2``, or empty. It sends these
messages over the channel, one a line:

    pid <pid>           the program runs, with the supervisor's standard streams, working folder and environment
    error <reason>      the program could not be started
    exit <status>       the program ended; negative for a signal, as in subprocess
    gone                no process of the tree is left (the last message)

It waits until the program ends or the channel closes. The channel closes when the harness requests a stop, and also
when the harness is killed, since the kernel then closes it. In each case the supervisor takes down the whole tree.

Why a separate process: PR_SET_PDEATHSIG reaches one process but not its children, and a server that daemonises has left
the process group. On Linux the supervisor is a *subreaper*: a descendant that loses its parent becomes its child, so
"no children left" means "no descendants left". Elsewhere it takes down the process group and cannot find daemons.

It imports little, since a supervisor starts before every server: about 20 ms, most of it the interpreter.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

STOP_SIGNALS_S = ((signal.SIGTERM, 0.4), (signal.SIGINT, 0.4))
"""Signals before SIGKILL, and how long to wait after each. SIGTERM comes first, since on SIGINT every Python process of
the tree, such as those of a pool, prints a traceback. On the second signal uvicorn stops at once and PostgreSQL stops
waiting for clients. An idle uvicorn ends in 0.1 s. A blocked server ends on neither signal, and no process may outlive
the harness by more than 2 s."""

KILL_REPEAT_S = 0.02
"""How often SIGKILL is repeated, for processes that were forked while the last one was sent."""

CHECK_S = 0.05
"""How often the tree is checked while it stops. Needed without a subreaper, where no SIGCHLD reports the end."""

MAX_KILL_S = 5.0
"""How long SIGKILL is repeated. A process that survives it hangs in the kernel or belongs to another user."""

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The supervisor ends when the tree has ended, not on a signal."""

RESTORED = (*IGNORED, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
"""Set to the default in the program, which would otherwise inherit that they are ignored."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class ProgramNotStarted(Exception):
    """The program cannot be started; the message is the reason in one line."""


def prctl(option: int, value: int) -> None:
    """Set one property of this process on Linux. Elsewhere, or in a Python without ctypes, nothing happens."""
    if sys.platform != "linux":
        return
    try:
        from ctypes import CDLL, c_ulong
    except ImportError:
        return
    CDLL(None).prctl(option, c_ulong(value), c_ulong(0), c_ulong(0), c_ulong(0))


def pin(cores: list[int]) -> None:
    """Keep this process and its children on these cores. Does nothing on macOS, which cannot pin."""
    if not cores or sys.platform != "linux":
        return
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        raise ProgramNotStarted(f"cannot be kept on cores {','.join(map(str, cores))}: {error.strerror}") from None


def spawn(argv: list[str]) -> int:
    """Start the program as leader of its own process group. Returns its pid once it runs; raises ProgramNotStarted."""
    reader, writer = os.pipe()
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        exec_program(argv, writer, supervisor)
    os.close(writer)
    reason = b""
    while part := os.read(reader, 4096):  # ends when exec closes the pipe, or after the reason why exec failed
        reason += part
    os.close(reader)
    if not reason:
        return pid
    os.waitpid(pid, 0)
    raise ProgramNotStarted(reason.decode(errors="replace"))


def exec_program(argv: list[str], writer: int, supervisor: int) -> None:
    """In the forked child: replace this process with the program. Never returns."""
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # in case the supervisor is killed
        if os.getppid() != supervisor:
            return  # the supervisor was killed before the line above
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(argv[0], argv)
    except OSError as error:
        what = "no such program" if isinstance(error, FileNotFoundError) else str(error.strerror)
        os.write(writer, f"{argv[0]}: {what}".encode(errors="replace"))
    except BaseException as error:  # the child must not continue as a second supervisor
        os.write(writer, f"{argv[0]}: {error!r}".encode(errors="replace"))
    finally:
        os._exit(127)


class Tree:
    """The program and all of its descendants.

    On Linux a program that has ended is kept as a zombie until the rest of the tree has ended. Its pid is the number of
    the process group, and while the zombie holds it, a signal to the group cannot reach an unrelated process.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self.reaped = False

    def poll(self) -> int | None:
        """The program's exit status, None while it runs."""
        if self.status is not None:
            return self.status
        if sys.platform != "linux":  # macOS has no waitid before Python 3.13
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status, self.reaped = os.waitstatus_to_exitcode(status), True
            return self.status
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            self.status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return self.status

    def living(self) -> list[tuple[int, int]]:
        """(pid, process group) of all living processes of the tree. Reaps orphans that have ended."""
        supervisor, found = os.getpid(), []
        for pid, state, parent, group in descendants(supervisor):
            zombie = state in b"ZX"
            if zombie and (parent != supervisor or pid == self.pid):
                continue  # its parent reaps it, or it is the program, which is kept
            if zombie and os.waitpid(pid, os.WNOHANG)[0]:
                continue
            found.append((pid, group))  # a zombie that cannot be reaped has living threads
        return found

    def send(self, number: int) -> None:
        """Send the signal once to every process. To many programs a second SIGINT means "stop without cleaning up"."""
        if not self.reaped or sys.platform != "linux":
            kill(-self.pid, number)
        for pid, group in self.living():
            if group != self.pid or self.reaped:
                kill(pid, number)

    def has_ended(self) -> bool:
        """Whether no process of the tree is left."""
        if self.poll() is None or self.living():
            return False
        if sys.platform != "linux":
            return not kill(-self.pid, 0)
        try:
            if not self.reaped:
                os.waitpid(self.pid, 0)
                self.reaped = True
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        return False  # a process was forked in the meantime


def descendants(root: int) -> list[tuple[int, bytes, int, int]]:
    """(pid, state, parent, process group) of the descendants and the session of ``root``. Empty without /proc.

    The session is included because without a subreaper an orphan is not a descendant.
    """
    children: dict[int, list[tuple[int, bytes, int, int]]] = {}
    found: dict[int, tuple[int, bytes, int, int]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc") if sys.platform == "linux" else ())):
        try:
            with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
                stat = file.read(1024)
        except OSError:
            continue  # it has ended
        # The name stands in parentheses and may contain parentheses and blanks.
        state, parent, group, session, *_ = stat[stat.rindex(b")") + 2 :].split()
        entry = (pid, state, int(parent), int(group))
        children.setdefault(int(parent), []).append(entry)
        if int(session) == root and pid != root:
            found[pid] = entry
    parents = [root]
    while parents:
        for entry in children.pop(parents.pop(), ()):
            found[entry[0]] = entry
            parents.append(entry[0])
    return list(found.values())


def kill(pid: int, number: int) -> bool:
    """Send a signal; a negative pid is a process group. False if there is no such process that may be signalled."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class SignalWaker:
    """Turns SIGCHLD into a readable pipe, so that a child's end and the channel can be waited for together."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def wait(self, timeout_s: float | None, channel: int | None = None) -> None:
        """Return when a child has changed its state, the channel is readable, or ``timeout_s`` has passed."""
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        if channel is not None:
            poll.register(channel, select.POLLIN)
        poll.poll(None if timeout_s is None else max(1, round(timeout_s * 1000)))
        try:
            while os.read(self.reader, 4096):
                pass
        except BlockingIOError:
            pass


def has_closed(channel: int) -> bool:
    """Whether the harness has closed its end of the channel, or was killed."""
    try:
        return not os.read(channel, 4096)
    except BlockingIOError:
        return False
    except OSError:  # closed with unread data
        return True


def send(channel: int, line: str) -> bool:
    """Send a message to the harness. False when the harness has ended."""
    try:
        os.write(channel, f"{line}\n".encode(errors="replace"))
    except OSError:
        return False
    return True


def watch(tree: Tree, channel: int, waker: SignalWaker) -> None:
    """Wait until the program ends or the harness requests a stop."""
    while tree.poll() is None and not has_closed(channel):
        waker.wait(None, channel)
        tree.living()  # reaps orphans that have ended


def take_down(tree: Tree, waker: SignalWaker) -> bool:
    """Stop the tree: STOP_SIGNALS_S first, then SIGKILL. False if a process survived SIGKILL."""
    if tree.has_ended():
        return True
    for number, timeout_s in STOP_SIGNALS_S:
        tree.send(number)
        tree.send(signal.SIGCONT)  # a stopped process does not receive the signal
        if wait_ended(tree, waker, timeout_s):
            return True
    deadline_s = time.monotonic() + MAX_KILL_S
    while time.monotonic() < deadline_s:
        tree.send(signal.SIGKILL)
        if wait_ended(tree, waker, KILL_REPEAT_S):
            return True
    return False


def wait_ended(tree: Tree, waker: SignalWaker, timeout_s: float) -> bool:
    """Wait at most ``timeout_s`` until no process of the tree is left. Returns whether that is so."""
    deadline_s = time.monotonic() + timeout_s
    while not tree.has_ended():
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        waker.wait(min(left_s, CHECK_S))
    return True


def inherited_fds(channel: int) -> list[int]:
    """Descriptors that are for the program: all but the standard streams and the supervisor's own channel."""
    listed = [fd for fd in map(int, os.listdir("/dev/fd")) if fd > 2 and fd != channel]
    return [fd for fd in listed if is_open(fd)]  # the one that read the folder is closed again


def is_open(fd: int) -> bool:
    """Whether ``fd`` is an open descriptor."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def main(channel: int, cores: list[int], argv: list[str]) -> int:
    """Start the program, watch it, take it down. The exit status is 0 when no process is left."""
    os.set_inheritable(channel, False)
    os.set_blocking(channel, False)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    passed = inherited_fds(channel)
    waker = SignalWaker()
    try:
        pin(cores)
        tree = Tree(spawn(argv))
    except ProgramNotStarted as error:
        send(channel, f"error {error}")
        return 1
    for fd in passed:  # they must close when the program ends
        os.close(fd)
    send(channel, f"pid {tree.pid}")
    reported = False
    try:
        watch(tree, channel, waker)
        if reported := tree.status is not None:
            send(channel, f"exit {tree.status}")
    finally:
        ended = take_down(tree, waker)
    if not reported and tree.status is not None:
        send(channel, f"exit {tree.status}")
    if ended:
        send(channel, "gone")
    return 0 if ended else 1


if __name__ == "__main__":
    number, listed, *program = sys.argv[1:]
    os._exit(main(int(number), [int(core) for core in listed.split(",") if core], program))
