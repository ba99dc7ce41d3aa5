"""The guard: a small process between the harness and each process tree it starts, so that no tree outlives the harness.

    python -I -S -E bench/running/supervisor.py <channel> <cores> <program> [argument ...]

``channel`` is the guard's end of a socket pair, ``cores`` a list such as ``0,2`` or nothing. Over the channel it says,
a line each:

    pid <pid>           the program runs; its standard streams, folder and environment are the guard's own
    cannot <reason>     the program could not be started
    exit <status>       the program ended; negative for a signal, as in subprocess
    gone                nothing of the tree is left (the last line)

It waits until the program ends or the channel does. The channel ends when the harness asks for a stop, and also when
the harness is killed outright: the kernel closes it. Either way the whole tree is then taken down.

Why a process of its own: PR_SET_PDEATHSIG reaches one process and not its children, and a server that daemonises has
left the process group. On Linux the guard is a *subreaper*: whoever loses a parent below it becomes its child, so "no
children left" means "no descendants left". Elsewhere it takes down the process group, and says nothing about daemons.

Imports are few because a guard starts before every server: about 20 ms, most of it the interpreter.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

LADDER_S = ((signal.SIGTERM, 0.4), (signal.SIGINT, 0.4))
"""Signals before SIGKILL and how long each is given, in seconds. SIGTERM first, for SIGINT makes every Python below,
such as the processes of a pool, print where it was. To uvicorn the second means "at once", and PostgreSQL then waits no
longer for clients. An idle uvicorn leaves in 0.1 s. A server that is stuck leaves at no signal, and more patience would
break the promise that nothing outlives the harness by 2 s."""

KILL_AGAIN_S = 0.02
"""How often SIGKILL is repeated, in seconds, for what was forked while the last one went round."""

LOOK_AGAIN_S = 0.05
"""How often the tree is looked at while it stops, in seconds, where no SIGCHLD tells: without a subreaper."""

GIVE_UP_S = 5.0
"""How long SIGKILL is repeated, in seconds: what survives it hangs in the kernel or belongs to somebody else."""

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The guard leaves when its work is done, not when it is told to."""

RESTORED = (*IGNORED, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
"""What an ignored signal is to the guard would be inherited by the program, so these are put back to the default."""

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
    """Keep this process, and what it starts, on these cores. Where that cannot be done at all (macOS), it is not."""
    if not cores or sys.platform != "linux":
        return
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        raise ProgramNotStarted(f"cannot be kept on cores {','.join(map(str, cores))}: {error.strerror}") from None


def spawn(argv: list[str]) -> int:
    """Start the program as leader of its own process group. Returns its pid once it runs; raises ProgramNotStarted."""
    reader, writer = os.pipe()
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        become(argv, writer, guard)
    os.close(writer)
    reason = b""
    while part := os.read(reader, 4096):  # ends when exec closes the writer, or with the reason why it could not
        reason += part
    os.close(reader)
    if not reason:
        return pid
    os.waitpid(pid, 0)
    raise ProgramNotStarted(reason.decode(errors="replace"))


def become(argv: list[str], writer: int, guard: int) -> None:
    """In the fork: turn into the program. Never returns."""
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should somebody kill the guard
        if os.getppid() != guard:
            return  # the guard was killed before that took hold
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(argv[0], argv)
    except OSError as error:
        what = "no such program" if isinstance(error, FileNotFoundError) else str(error.strerror)
        os.write(writer, f"{argv[0]}: {what}".encode(errors="replace"))
    except BaseException as error:  # whatever it is, it must not run on as a second guard
        os.write(writer, f"{argv[0]}: {error!r}".encode(errors="replace"))
    finally:
        os._exit(127)


class Tree:
    """The program and everything below it.

    On Linux an ended program is left a zombie until the rest is gone: its pid is the group's number, and while the
    zombie keeps it, a signal to the group cannot hit a stranger.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self.reaped = False

    def look(self) -> int | None:
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
        """(pid, process group) of all that live. Strays that ended are reaped on the way."""
        guard, found = os.getpid(), []
        for pid, state, parent, group in below(guard):
            zombie = state in b"ZX"
            if zombie and (parent != guard or pid == self.pid):
                continue  # its parent's to reap, or kept by us
            if zombie and os.waitpid(pid, os.WNOHANG)[0]:
                continue
            found.append((pid, group))  # a zombie that cannot be reaped has threads that live
        return found

    def send(self, number: int) -> None:
        """Signal everybody once: a second SIGINT means "now, not nicely" to many a program."""
        if not self.reaped or sys.platform != "linux":
            kill(-self.pid, number)
        for pid, group in self.living():
            if group != self.pid or self.reaped:
                kill(pid, number)

    def gone(self) -> bool:
        """Whether nothing is left."""
        if self.look() is None or self.living():
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
        return False  # somebody was forked behind our back


def below(root: int) -> list[tuple[int, bytes, int, int]]:
    """(pid, state, parent, process group) of the descendants of ``root`` and of its session. Empty without /proc.

    The session is asked too because without a subreaper an orphan is nobody's descendant.
    """
    children: dict[int, list[tuple[int, bytes, int, int]]] = {}
    found: dict[int, tuple[int, bytes, int, int]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc") if sys.platform == "linux" else ())):
        try:
            with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
                stat = file.read(1024)
        except OSError:
            continue  # it ended meanwhile
        # The name, in brackets, may hold anything, brackets and blanks included.
        state, parent, group, session, *_ = stat[stat.rindex(b")") + 2 :].split()
        entry = (pid, state, int(parent), int(group))
        children.setdefault(int(parent), []).append(entry)
        if int(session) == root and pid != root:
            found[pid] = entry
    ahead = [root]
    while ahead:
        for entry in children.pop(ahead.pop(), ()):
            found[entry[0]] = entry
            ahead.append(entry[0])
    return list(found.values())


def kill(pid: int, number: int) -> bool:
    """Send a signal; a negative pid is a process group. False when there is nobody (or nobody of ours)."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class SignalWaker:
    """Rings when a child changes its state: SIGCHLD, turned into a pipe that can be waited for beside the channel."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def wait(self, timeout_s: float | None, channel: int | None = None) -> None:
        """Return when a child changed its state, when the channel has something to say, or after ``timeout_s``."""
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


def ended(channel: int) -> bool:
    """Whether the harness has closed its end, or was killed."""
    try:
        return not os.read(channel, 4096)
    except BlockingIOError:
        return False
    except OSError:  # closed with something unread
        return True


def say(channel: int, line: str) -> bool:
    """Tell the harness; False when it is not there any more."""
    try:
        os.write(channel, f"{line}\n".encode(errors="replace"))
    except OSError:
        return False
    return True


def watch(tree: Tree, channel: int, bell: SignalWaker) -> None:
    """Wait until the program ends or the harness wants it to."""
    while tree.look() is None and not ended(channel):
        bell.wait(None, channel)
        tree.living()  # for the strays that have ended


def take_down(tree: Tree, bell: SignalWaker) -> bool:
    """Bring the tree down, politely first. False when something survived even SIGKILL."""
    if tree.gone():
        return True
    for number, patience_s in LADDER_S:
        tree.send(number)
        tree.send(signal.SIGCONT)  # a stopped process does not even see the signal
        if wait_gone(tree, bell, patience_s):
            return True
    give_up_s = time.monotonic() + GIVE_UP_S
    while time.monotonic() < give_up_s:
        tree.send(signal.SIGKILL)
        if wait_gone(tree, bell, KILL_AGAIN_S):
            return True
    return False


def wait_gone(tree: Tree, bell: SignalWaker, patience_s: float) -> bool:
    """Wait at most ``patience_s`` until nothing of the tree is left; whether that is so."""
    deadline_s = time.monotonic() + patience_s
    while not tree.gone():
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        bell.wait(min(left_s, LOOK_AGAIN_S))
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
    """Start, watch, take down. The exit status is 0 when nothing is left."""
    os.set_inheritable(channel, False)
    os.set_blocking(channel, False)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    passed = inherited_fds(channel)
    bell = SignalWaker()
    try:
        pin(cores)
        tree = Tree(spawn(argv))
    except ProgramNotStarted as error:
        say(channel, f"cannot {error}")
        return 1
    for fd in passed:  # they must close when the program ends
        os.close(fd)
    say(channel, f"pid {tree.pid}")
    told = False
    try:
        watch(tree, channel, bell)
        if told := tree.status is not None:
            say(channel, f"exit {tree.status}")
    finally:
        gone = take_down(tree, bell)
    if not told and tree.status is not None:
        say(channel, f"exit {tree.status}")
    if gone:
        say(channel, "gone")
    return 0 if gone else 1


if __name__ == "__main__":
    number, listed, *program = sys.argv[1:]
    os._exit(main(int(number), [int(core) for core in listed.split(",") if core], program))
