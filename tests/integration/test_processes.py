"""Processes, with real ones: no process survives, and readiness is reported in one line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Protocol

import httpx
import psutil
import pytest
from harness import Bench, command, until

from bench.running import ports, processes
from bench.running.cores import Cores, cores_for
from bench.running.log_tail import tail
from bench.running.ports import free_port
from bench.running.processes import Process, StartError, stop_all
from bench.running.readiness import wait_until_ready

ROOT = Path(__file__).resolve().parents[2]

MAX_WAIT_S = 60.0
"""How long a test waits for an event. No test depends on how fast the event comes."""

LIFETIME_S = 120
"""How long a child of a test lives if it is not stopped, in seconds."""

NO_DEADLINE_S = 3600.0
"""A deadline that is never reached: the test ends by the event, or by pytest's time-out."""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs subreapers and PR_SET_PDEATHSIG")

# Each child creates an empty file named after its pid, in the folder that is its first argument, once it is set up.
PRELUDE = f"""
import os, signal, subprocess, sys, time
folder = sys.argv[1]
def here():
    open(os.path.join(folder, str(os.getpid())), "w").close()
def linger():
    time.sleep({LIFETIME_S})
def ignore():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""

SLEEPER = "here(); linger()"
STUBBORN = "ignore(); here(); linger()"
FAMILY = "[os.fork() for _ in range(2)]; here(); linger()"  # four processes, grandchildren among them
STUBBORN_FAMILY = f"ignore(); {FAMILY}"
DAEMON = """
ignore()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    here()
    linger()
os.wait()
here()
linger()
"""
DAEMON_LEFT_BEHIND = DAEMON.replace("os.wait()\nhere()\nlinger()", "os.wait()")


class Start(Protocol):
    """``started(program)``: run a piece of Python under a supervisor. It ends with the test."""

    def __call__(self, program: str, name: str = "child") -> Process: ...


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """The folder for the children's pids. Children that still live after the test are killed."""
    folder = tmp_path / "pids"
    folder.mkdir()
    yield folder
    for pid in map(int, os.listdir(folder)):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if str(folder) in process.cmdline():
                process.kill()


@pytest.fixture
def started(tmp_path: Path, pids: Path) -> Iterator[Start]:
    """See ``Start``."""
    running: list[Process] = []

    def start(program: str, name: str = "child") -> Process:
        process = processes.start(python(program, pids), name=name, log=tmp_path / f"{name}-{len(running)}.log")
        running.append(process)
        return process

    yield start
    stop_all(running)


@pytest.fixture
def patient_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that waits a minute after each signal, so that a slow machine cannot change what a child does."""
    text = processes.SUPERVISOR.read_text(encoding="utf-8")
    signals = "((signal.SIGTERM, 0.4), (signal.SIGINT, 0.4))"
    assert signals in text
    supervisor = tmp_path / "patient_supervisor.py"
    supervisor.write_text(text.replace(signals, signals.replace("0.4", str(MAX_WAIT_S))), encoding="utf-8")
    monkeypatch.setattr(processes, "SUPERVISOR", supervisor)
    monkeypatch.setattr(processes, "STOP_DEADLINE_S", 3 * MAX_WAIT_S)


def python(program: str, folder: Path) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", PRELUDE + program, str(folder)]


def runs(pid: int) -> bool:
    """Whether a process runs. A zombie does not; its new parent decides when it is reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_here(folder: Path, count: int) -> list[int]:
    """The pids of ``count`` children, once all of them are set up."""
    until(lambda: len(os.listdir(folder)) >= count, f"{count} children in place")
    found = [int(name) for name in os.listdir(folder)]
    assert len(found) == count
    return found


# Running and ending


@pytest.mark.parametrize(
    ("program", "status"),
    [("", 0), ("sys.exit(7)", 7), ("os.kill(os.getpid(), signal.SIGKILL)", -9), ("os.abort()", -6)],
)
def test_exit_status(started: Start, program: str, status: int) -> None:
    process = started(program)
    assert process.wait(MAX_WAIT_S) == status
    process.stop()
    process.stop()  # idempotent
    assert process.poll() == status


@pytest.mark.usefixtures("patient_supervisor")
def test_running_child(started: Start, pids: Path) -> None:
    process = started(SLEEPER)
    assert all_here(pids, 1) == [process.pid]
    assert process.poll() is None
    assert process.wait(0.01) is None
    assert os.getpgid(process.pid) == process.pid
    process.stop()
    assert process.poll() == -signal.SIGTERM
    assert not runs(process.pid)
    assert not psutil.pid_exists(process.supervisor_pid)


def test_context_manager_stops_on_error(tmp_path: Path, pids: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        processes.start(python(SLEEPER, pids), name="child", log=tmp_path / "log") as process,
    ):
        raise RuntimeError("on purpose")
    assert not runs(process.pid)


def test_streams_environment_and_folder(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "child.log"
    log.parent.mkdir()
    log.write_text("from the last time")
    program = (
        "import os, sys; print(repr(sys.stdin.read()), os.environ['WORD'], os.getcwd(), flush=True);"
        "print('aside', file=sys.stderr)"
    )
    argv = [sys.executable, "-I", "-S", "-c", program]
    with processes.start(argv, name="child", log=log, env={"WORD": "x=1"}, cwd=tmp_path) as process:
        assert process.wait(MAX_WAIT_S) == 0
    assert log.read_text() == f"'' x=1 {tmp_path}\naside\n"


def test_child_inherits_default_signals_and_no_other_descriptor(started: Start) -> None:
    process = started(
        """
numbers = [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGXFSZ, signal.SIGCHLD]
print([n for n in numbers if n != signal.SIGXFSZ and signal.getsignal(n) != signal.SIG_DFL])
print(signal.getsignal(signal.SIGINT) == signal.default_int_handler)
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print([fd for fd in range(3, 200) if os.path.exists(f"/dev/fd/{fd}")])
"""
    )
    assert process.wait(MAX_WAIT_S) == 0
    assert process.log.read_text().splitlines() == ["[]", "True", "set()", "[]"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be pinned here")
def test_pinned_to_cores(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    argv = [sys.executable, "-I", "-S", "-c", "import os; print(os.sched_getaffinity(0))"]
    with processes.start(argv, name="child", log=tmp_path / "log", cores=(core,)) as process:
        assert process.wait(MAX_WAIT_S) == 0
        assert process.cores == (core,)
    assert process.log.read_text() == f"{{{core}}}\n"
    with pytest.raises(StartError, match=r"^child: cannot be kept on cores 1000: "):
        processes.start(argv, name="child", log=tmp_path / "log", cores=(1000,))


def test_cannot_start(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("no program")
    log = tmp_path / "log"

    def reason(argv: list[str], log: Path = log, cwd: Path | None = None) -> str:
        with pytest.raises(StartError) as caught:
            processes.start(argv, name="server", log=log, cwd=cwd)
        return str(caught.value)

    assert reason(["no-such-program-anywhere"]) == "server: no-such-program-anywhere: no such program"
    assert reason([str(script)]) == f"server: {script}: Permission denied"
    assert reason([]) == "server: no program given"
    assert reason(["with\0nul"]) == "server: embedded null byte"
    assert reason(["true"], cwd=tmp_path / "nowhere") == f"server: {tmp_path}/nowhere: No such file or directory"
    assert reason(["true"], log=script / "log").startswith(f"server: {script}: ")
    script.chmod(0o755)
    assert reason([str(script)]) == f"server: {script}: Exec format error"


# Stopping


@pytest.mark.parametrize(
    ("program", "count"),
    [
        pytest.param(SLEEPER, 1, id="polite"),
        pytest.param(STUBBORN, 1, id="ignores SIGINT and SIGTERM"),
        pytest.param("os.kill(os.getpid(), signal.SIGSTOP) if here() is None else 0", 1, id="stopped"),
        pytest.param("ignore(); here(); os.kill(os.getpid(), signal.SIGSTOP)", 1, id="stopped and stubborn"),
        pytest.param(FAMILY, 4, id="grandchildren"),
        pytest.param(STUBBORN_FAMILY, 4, id="stubborn grandchildren"),
        pytest.param(f"os.fork() or os.setsid(); {STUBBORN}", 2, id="child that left the group"),
        pytest.param(DAEMON, 2, id="daemon", marks=linux_only),
    ],
)
def test_stop_leaves_nothing(started: Start, pids: Path, program: str, count: int) -> None:
    process = started(program)
    all_pids = all_here(pids, count)
    process.stop()
    assert not [pid for pid in all_pids if runs(pid)]
    assert not psutil.pid_exists(process.supervisor_pid)


@linux_only
def test_descendants_end_with_the_program(started: Start, pids: Path) -> None:
    process = started(DAEMON_LEFT_BEHIND)
    assert process.wait(MAX_WAIT_S) == 0
    (daemon,) = all_here(pids, 1)
    until(lambda: not runs(daemon), "the daemon has ended without a stop")


@pytest.mark.usefixtures("patient_supervisor")
def test_a_child_gets_sigterm_once_and_may_finish(started: Start, pids: Path) -> None:
    process = started(
        """
received = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: received.append(signal.Signals(number).name))
here()
while not received:
    signal.pause()
time.sleep(0.1)
print(*received, "done")
sys.exit(3)
"""
    )
    all_here(pids, 1)
    process.stop()
    assert process.poll() == 3
    assert process.log.read_text() == "SIGTERM done\n"


TREES = 20

ENDS_WITH_THE_OTHERS = f"""
stopping = os.path.join(os.path.dirname(folder), "stopping")
def stop(*_):
    open(os.path.join(stopping, str(os.getpid())), "w").close()
    while len(os.listdir(stopping)) < {TREES}:
        time.sleep(0.005)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
here()
linger()
"""


@pytest.mark.usefixtures("patient_supervisor")
def test_twenty_trees_stop_at_the_same_time(started: Start, pids: Path, tmp_path: Path) -> None:
    """No child ends before every child has received SIGTERM. Stopped one after the other, the first would be killed."""
    (tmp_path / "stopping").mkdir()
    trees = [started(ENDS_WITH_THE_OTHERS) for _ in range(TREES)]
    all_here(pids, TREES)
    stop_all(trees)
    assert [tree.poll() for tree in trees] == [0] * TREES
    stop_all(trees)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_supervisor_ignores_signals(started: Start, pids: Path, number: int) -> None:
    process = started(STUBBORN)
    all_here(pids, 1)
    os.kill(process.supervisor_pid, number)
    process.stop()
    assert not runs(process.pid)
    assert process.poll() == -signal.SIGKILL


@linux_only
def test_supervisor_killed_from_outside(started: Start, pids: Path) -> None:
    process = started(STUBBORN_FAMILY)
    all_pids = all_here(pids, 4)
    os.kill(process.supervisor_pid, signal.SIGKILL)
    assert process.wait(MAX_WAIT_S) == -signal.SIGKILL
    process.stop()
    until(lambda: not any(map(runs, all_pids)), "the tree has ended without its supervisor")


def test_supervisor_that_hangs(started: Start, pids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_DEADLINE_S", 0.1)
    process = started(STUBBORN_FAMILY)
    all_pids = all_here(pids, 4)
    os.kill(process.supervisor_pid, signal.SIGSTOP)
    process.stop()
    until(lambda: not any(map(runs, all_pids)), "a stopped supervisor does not keep the tree alive")
    assert process.poll() == -signal.SIGKILL


# The harness dies, or is interrupted

HARNESS = """
import sys, time
from pathlib import Path
from bench.running.processes import start
folder = Path(sys.argv[1])
try:
    trees = [start(argv, name=str(at), log=folder / f"{at}.log") for at, argv in enumerate(eval(sys.argv[2]))]
    (folder / "started").write_text(" ".join(str(tree.supervisor_pid) for tree in trees))
    time.sleep(60)
except KeyboardInterrupt:
    print(*(tree.poll() for tree in trees))
"""


@pytest.fixture
def harness(tmp_path: Path, pids: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A harness in a process of its own, which can be killed: ``harness(program, ...)`` starts a tree for each."""
    running: list[subprocess.Popen[str]] = []

    def run(*programs: str) -> subprocess.Popen[str]:
        argvs = repr([python(program, pids) for program in programs])
        harness = subprocess.Popen(
            [sys.executable, "-c", HARNESS, str(tmp_path), argvs],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            process_group=0,
        )
        running.append(harness)
        return harness

    yield run
    for process in running:
        process.kill()
        process.communicate()


INTERRUPTS_IGNORED = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
)


def test_interrupt_by_pid_is_obeyed_where_a_shell_had_it_ignored(tmp_path: Path) -> None:
    """A shell starts background jobs with SIGINT ignored. Without a terminal, an interrupt can only be deliberate."""
    run = ("bench", "trivial", "--variant", "plain_def", "--measure-s", "60", "--run", "r", "--results", tmp_path)
    with Bench(argv=[sys.executable, "-c", INTERRUPTS_IGNORED, *command(*run)]) as started:
        started.wait_for(lambda: len(started.descendants()) >= 2, "the server is started")
        os.kill(started.popen.pid, signal.SIGINT)
        _, errors = started.popen.communicate(timeout=MAX_WAIT_S)
        assert (started.popen.returncode, "Traceback" in errors) == (130, False)
        until(lambda: not started.left(), "no process is left")


def supervisors_of(tmp_path: Path) -> list[int]:
    until(lambda: (tmp_path / "started").exists() and (tmp_path / "started").read_text() != "", "the harness is up")
    return [int(pid) for pid in (tmp_path / "started").read_text().split()]


@linux_only
def test_nothing_survives_sigkill_of_the_harness(
    tmp_path: Path,
    pids: Path,
    harness: Callable[..., subprocess.Popen[str]],
    record_property: Callable[[str, object], None],
) -> None:
    process = harness(STUBBORN_FAMILY, DAEMON, SLEEPER)
    all_pids = [*all_here(pids, 4 + 2 + 1), *supervisors_of(tmp_path)]
    process.kill()
    ended_after_s = until(lambda: not any(map(runs, all_pids)), "no process is left after SIGKILL of the harness")
    record_property("ended_after_s", round(ended_after_s, 3))


@linux_only
def test_harness_killed_while_it_starts_trees(
    tmp_path: Path, pids: Path, harness: Callable[..., subprocess.Popen[str]]
) -> None:
    process = harness(*[STUBBORN] * 50)
    until(lambda: len(os.listdir(pids)) >= 3, "some trees are up, others not yet")
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    until(lambda: not any(runs(one.pid) for one in below), "no process is left that had started")
    until(lambda: not any(runs(int(pid)) for pid in os.listdir(pids)), "no process is left that started later")


def test_ctrl_c_reaches_the_harness_only(
    tmp_path: Path, pids: Path, harness: Callable[..., subprocess.Popen[str]]
) -> None:
    process = harness(SLEEPER, FAMILY)
    all_pids = [*all_here(pids, 5), *supervisors_of(tmp_path)]
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=MAX_WAIT_S)
    assert output == "None None\n"  # at that moment both still ran
    until(lambda: not any(map(runs, all_pids)), "no process is left once the harness has ended")


# Ports


def test_free_port_is_outside_the_ephemeral_range_and_bindable() -> None:
    first, last = ports.ephemeral_range()
    found = [free_port() for _ in range(50)]
    assert len(set(found)) == 50
    assert not [port for port in found if first <= port <= last or port < 1024]
    for port in found:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_free_port_where_everything_is_ephemeral(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ip_local_port_range"
    file.write_text("1024\t65535\n")
    monkeypatch.setattr(ports, "EPHEMERAL_RANGE", file)
    with socket.create_server(("127.0.0.1", free_port())):
        pass


@pytest.mark.parametrize("content", [None, "", "many few"])
def test_ephemeral_range_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    file = tmp_path / "ip_local_port_range"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr(ports, "EPHEMERAL_RANGE", file)
    assert ports.ephemeral_range() == ports.DEFAULT_EPHEMERAL_RANGE


# Readiness

APP = """
import os
from fastapi import FastAPI, Response

app = FastAPI()

@app.get("/health")
async def health() -> Response:
    return Response(status_code=int(os.environ.get("STATUS", "200")))
"""

ACCEPTS_NOTHING = """
import socket
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
here()
linger()
"""

HANGS_UP = """
import socket
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
here()
while True:
    caller, _ = listener.accept()
    caller.recv(1000)
    caller.close()
"""

FLOODS = """
import socket
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
here()
caller, _ = listener.accept()
caller.recv(1000)
caller.sendall(b"HTTP/1.1 200 OK\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n")
try:
    while True:
        caller.sendall(b"1\\r\\nx\\r\\n")
except ConnectionError:
    linger()
"""

Serve = Callable[..., tuple[Process, str]]


@pytest.fixture
def serve(tmp_path: Path, pids: Path) -> Iterator[Serve]:
    """``serve(status)``: uvicorn with an app whose health has that status; ``serve(program)``: that instead."""
    running: list[Process] = []
    (tmp_path / "health_app.py").write_text(APP)

    def start(what: int | str) -> tuple[Process, str]:
        port = free_port()
        uvicorn = [sys.executable, "-m", "uvicorn", "health_app:app", "--port", str(port), "--log-level", "warning"]
        argv = uvicorn if isinstance(what, int) else [*python(what, pids), str(port)]
        env = {**os.environ, "STATUS": str(what)}
        log = tmp_path / f"server-{len(running)}.log"
        running.append(processes.start(argv, name="server", log=log, env=env, cwd=tmp_path))
        return running[-1], f"http://127.0.0.1:{port}/health"

    yield start
    stop_all(running)


@pytest.mark.parametrize("status", [200, 404])
def test_ready(serve: Serve, status: int) -> None:
    assert wait_until_ready({"app": serve(status)}, MAX_WAIT_S) == {"app": None}


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("sys.exit(1)", "exited with status 1 while starting"),
        ("sys.exit(0)", "exited with status 0 while starting"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV while starting"),
    ],
)
def test_dies_while_starting(serve: Serve, program: str, reason: str) -> None:
    assert wait_until_ready({"app": serve(program)}, NO_DEADLINE_S) == {"app": reason}


def test_each_server_is_judged_by_itself(serve: Serve, tmp_path: Path) -> None:
    """All kinds at once: a slow server delays no other, and each has its own result."""
    servers = {
        "silent": serve(ACCEPTS_NOTHING),
        "refuses": serve("linger()"),
        "hangs up": serve(HANGS_UP),
        "floods": serve(FLOODS),
        "dies": serve("sys.exit(4)"),
        "broken": serve(500),
        "well": serve(200),
    }
    for name in ("broken", "well"):
        until(partial(answers, servers[name][1]), f"{name} is up")  # before the deadline begins
    for name in ("silent", "hangs up", "floods"):
        until((tmp_path / "pids" / str(servers[name][0].pid)).exists, f"{name} listens")
    servers["dies"][0].wait(MAX_WAIT_S)
    assert wait_until_ready(servers, deadline_s=5) == {
        "silent": "never answered in 5 s",
        "refuses": "never answered in 5 s",
        "hangs up": "closed the connection on GET /health for 5 s",
        "floods": None,
        "dies": "exited with status 4 while starting",
        "broken": "answered 500 to GET /health for 5 s",
        "well": None,
    }


def answers(url: str) -> bool:
    """Whether there is an answer, with any status."""
    with suppress(httpx.HTTPError):
        httpx.get(url, trust_env=False)
        return True
    return False


def test_port_taken_by_a_server_that_answers(serve: Serve) -> None:
    taken, url = serve(200)
    assert wait_until_ready({"first": (taken, url)}, MAX_WAIT_S) == {"first": None}
    late, _ = serve("sys.exit(1)")
    assert late.wait(MAX_WAIT_S) == 1
    assert wait_until_ready({"late": (late, url)}, MAX_WAIT_S) == {"late": "exited with status 1 while starting"}


def test_no_server_to_wait_for() -> None:
    assert wait_until_ready({}, MAX_WAIT_S) == {}


# Logs and cores


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", ""),
        (b"one\ntwo\n", "one\ntwo"),
        (b"one\ntwo\nthree\nfour\n", "two\nthree\nfour"),
        (b"\xff\xfe\x00garbage\x80", "\ufffd\ufffd\x00garbage\ufffd"),
        (("x" * 99 + "ü").encode(), "x" * 8 + "ü"),
        (b"x" * 50 + b"\nend", "x" * 6 + "\nend"),
    ],
)
def test_tail(tmp_path: Path, content: bytes, text: str) -> None:
    log = tmp_path / "log"
    log.write_bytes(content)
    limit = 10 if len(content) > 40 else 8000
    assert tail(log, lines=3, limit=limit) == text


def test_tail_of_random_bytes_is_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(os.urandom(100_000))
    assert len(tail(log)) <= 8000
    json.dumps(tail(log)).encode()


def test_tail_of_nothing(tmp_path: Path) -> None:
    assert tail(tmp_path / "no such file") == ""


@pytest.mark.parametrize(
    ("available", "parallel", "expected", "shared"),
    [
        ([0], False, Cores((0,), (0,)), True),
        ([5], True, Cores((5,), (5,)), True),
        ([1, 0], False, Cores((1,), (0,)), False),
        ([0, 1], True, Cores((1,), (0, 1)), True),
        ([2, 3, 7], False, Cores((7,), (2, 3)), False),
        ([2, 3, 7], True, Cores((7,), (2, 3)), False),
    ],
)
def test_cores_for(available: list[int], parallel: bool, expected: Cores, shared: bool) -> None:
    assert cores_for(parallel, available) == expected
    assert expected.shared is shared


def test_cores_of_this_machine() -> None:
    cores = cores_for(False)
    if sys.platform != "linux":
        assert cores is None
        return
    assert cores is not None
    assert set(cores.generator) | set(cores.server) == os.sched_getaffinity(0)


def test_harness_leaks_no_descriptor(started: Start) -> None:
    with closing(socket.socket()) as probe:
        before = probe.fileno()
    for _ in range(3):
        started("").stop()
    with closing(socket.socket()) as probe:
        assert probe.fileno() == before
