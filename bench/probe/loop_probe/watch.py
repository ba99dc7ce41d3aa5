"""The thread beside the loop: asks it for signs of life, looks at it when they do not come, and writes what it saw.

What it costs decides how it works. Nothing is done per request. The thread looks 50 times a second; whether it also
wakes the loop depends: one that waits in a process whose other threads use next to no CPU is well, and so is one that
has no time to lose and has begun requests since the last look. They are asked once a row. While a server is idle the
thread sleeps, until what the loop waits for (its epoll, which can be watched like any file) wakes both of them up: so
it is there when the first request blocks.

A call that ends before it is a stall still holds the loop, and fifty users make it wait all the time. So a look that
finds the loop's thread away from where it waits, and sees it use no CPU meanwhile, looks again a millisecond later. A
thread that slept all that time is in such a call, and is charged for the beat: by sampling, as profilers do.

C code that keeps the interpreter lock to itself (json.loads of a large text, a regular expression) stops this thread
too. When that ends, the lock is handed over right behind the call, before anything else of that thread runs: this
thread wakes up late, finds the loop's thread still at that line, and charges it for as long as it was late itself.
(``faulthandler.dump_traceback_later`` would see it meanwhile. It reads the stacks of threads without holding the lock:
where this thread was late because forty others compete for it, they run meanwhile, and such a reader can crash the app.
It is also the app's to use: there is one a process.)
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from asyncio import AbstractEventLoop
from asyncio.base_events import BaseEventLoop
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple, TypeVar

from .files import SERVER_COLUMNS, STALLS_COLUMNS, Table
from .gauges import Meter, OwnDelay, find_server, tokens, wakings
from .ledger import Charges, StallAttribution
from .settings import ProbeSettings
from .stacks import OwnCode, Stack, StallSource, frames, job_of, stack_of

BEAT_S = 0.020
"""How often the thread looks. A stall is found within one beat."""
LOOK_S = 0.010
"""How often it looks while an answer is due: stacks of a stall of 50 ms are seen three times."""
ROW_S = 0.100
"""As store.py promises."""
IDLE_CPU_SHARE = 0.1
"""A process that used less of a core since the last look has nobody who keeps the interpreter from its loop."""
OTHERS_CPU_SHARE = 0.3
"""Others that used less of a core did not starve the loop: a thread that competes for the lock gets half of it."""
LATE_S = 1.5 * BEAT_S
"""A look so long after it was due is late: something kept this thread from running, too."""
DOZE_AFTER_S = 1.0
DOZE_S = 0.5
"""A server that nobody has asked anything for a second is left alone, but for a row so often: several that are up at
once, waiting for their turns, must not slow the one that has it. To wake up costs 50 us of a core by itself."""
FULL_SHARE = 0.8
"""A loop's thread that used so much of a core had no time to lose in calls that wait."""
CLOSER_S = 0.001
"""How long a call must last to be told from a system call on its way: sends and receives take a hundredth of it."""
SLEPT_SHARE = 0.05
"""Of a core: a thread that used less of it slept; reading its clock and its state costs it nothing."""
COMPETES_EVERY_S = 0.020
"""A thread that competes for the interpreter wakes up every 5 ms (sys.getswitchinterval) to ask for it; on a busy
machine later. One that sleeps in a call (a clock, a socket, a lock) does not."""

_RUN_ONCE: CodeType = BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]
T = TypeVar("T")
_QUEUES = ("threading", "queue")


def attach(settings: ProbeSettings) -> None:
    """LoopMonitor the loop that runs now. A failure is said in the log once; the app goes on without it."""
    try:
        loop = asyncio.get_running_loop()
        LoopMonitor(settings, loop, find_server(sys._getframe())).start()
    except Exception as error:
        _say_failed(error)


class CpuUsage(NamedTuple):
    """CPU time used until a moment, by the process and by the loop's thread (None where that is not to be had)."""

    at_s: float
    cpu_s: float
    loop_cpu_s: float | None

    def since(self, before: CpuUsage) -> tuple[float, float | None]:
        """Shares of a core that both used since then."""
        passed_s = max(self.at_s - before.at_s, 1e-6)
        used = (self.cpu_s - before.cpu_s) / passed_s
        if self.loop_cpu_s is None or before.loop_cpu_s is None:
            return used, None
        return used, (self.loop_cpu_s - before.loop_cpu_s) / passed_s


class LoopMonitor:
    """One loop under watch. To be made on its thread."""

    def __init__(self, settings: ProbeSettings, loop: AbstractEventLoop, server: Any) -> None:
        folder, pid = Path(settings.folder), os.getpid()
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._uvicorn = server
        self._state = getattr(server, "server_state", None)
        self._wakings = wakings(loop)
        self._own = OwnCode(settings.code)
        self._ledger = StallAttribution(settings.threshold_s)
        self._samples = Table(str(folder / f"server-{pid}.csv"), SERVER_COLUMNS)
        self._stalls = Table(str(folder / f"stalls-{pid}.csv"), STALLS_COLUMNS)
        self._meter = Meter()
        self._threshold_s = settings.threshold_s
        self._start_up = settings.start_up
        self._off = False
        self._thread = threading.Thread(target=self._run, name="loop-probe", daemon=True)
        # Shared with the loop's thread: single reads and writes only, which need no lock.
        self._sent_s: float | None = None
        self._answers: deque[tuple[float, float]] = deque()
        self._runner: CodeType | None = None
        # The watching thread's own.
        now_s = time.perf_counter()
        self._looked_s = now_s
        self._active_s = now_s
        self._dozes = False
        self._requests = 0
        self._row_s = now_s
        self._lag_s = 0.0
        self._lag_max_s = 0.0
        self._looked = self._asked = self._use()
        self._places: dict[int, tuple[CodeType, int, int]] = {}
        self._caught: dict[int, Stack] = {}
        self._schedule = self._meter.loop_schedule()
        self._asked_late = False
        self._seen: list[tuple[CodeType, int]] = []

    def start(self) -> None:
        """Begin. A forked child of the app has no such thread, and leaves the files alone."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_to_parent)
        self._thread.start()

    def _leave_to_parent(self) -> None:
        if self._off:
            return
        self._off = True
        for opened in (self._samples, self._stalls, self._meter):
            opened.close()

    # On the loop's thread

    def _answer(self) -> None:
        sent_s, now_s = self._sent_s, time.perf_counter()
        if sent_s is None or self._off:
            return
        self._answers.append((sent_s, now_s))
        if self._runner is None:
            caller = sys._getframe().f_back
            self._runner = caller.f_code if caller is not None else None
        if now_s - sent_s < self._threshold_s:
            self._sent_s = None
            return
        # In a stall the next beat follows at once: a loop that is blocked in every turn is seen without a gap.
        self._sent_s = now_s
        self._loop.call_soon(self._answer)

    # On the watching thread

    def _run(self) -> None:
        due_s = time.perf_counter()
        try:
            self._own_delay = OwnDelay()
            self._own_delay.read_s()
            while not self._off and self._loop.is_running():
                due_s = self._pause(self._look(due_s))
            if not self._off:
                self._stalls.write(self._ledger.rows())
        except Exception as error:
            if not self._off and not self._loop.is_closed():
                _say_failed(error)

    def _look(self, due_s: float) -> float:
        """One look, which was due at ``due_s``; returns when the next one is due.

        A beat counts from when it was due: a thread that is kept from asking is no sign of life.
        """
        now_s, loop_cpu_s = time.perf_counter(), self._meter.loop_cpu_s()
        last_s, self._looked_s = self._looked_s, now_s
        threads = frames()
        loop_frame = threads.get(self._loop_thread)
        if loop_frame is None:
            return now_s + BEAT_S
        caller = loop_frame.f_back
        waits = self._waits(loop_frame.f_code, caller.f_code if caller is not None else None)
        stacks, self._caught = self._caught, {}
        if not stacks and now_s - (self._sent_s or due_s) >= LOOK_S:
            # Before anything else: whatever reads a file lets the others run on, and their stacks change.
            stacks = {ident: stack_of(frame) for ident, frame in threads.items()}
        use = CpuUsage(now_s, time.process_time(), loop_cpu_s)
        before, self._looked = self._looked, use
        late_s = now_s - due_s
        self._take_answers(before)
        row_due = now_s - self._row_s >= ROW_S - BEAT_S / 2  # the looks come nearest to it so
        begun = self._begun()
        self._dozes = self._is_idle(waits, begun, use.since(before)[0], now_s)
        asks = self._sent_s is None and (
            (row_due and not self._dozes) or self._must_ask(waits, begun > 0 and late_s < LOOK_S, *use.since(before))
        )
        if asks:
            # A look that comes late asks as if it had come in time: what was used meanwhile counts.
            self._asked, self._asked_late = (before, True) if late_s >= LOOK_S else (use, False)
            self._schedule = self._releasing(self._meter.loop_schedule)
            self._sent_s = min(due_s, now_s)
            self._releasing(self._loop.call_soon_threadsafe, self._answer)
        sent_s = self._sent_s
        overdue = sent_s is not None and now_s - sent_s >= LOOK_S
        if sent_s is not None and overdue and stacks:
            self._sample(sent_s, use, stacks, late_s > LATE_S and self._is_excused(late_s, begun, before, use))
        else:
            self._seen, self._places = [], {}
        if row_due:
            self._write_row(use, threads)
        if overdue or (sent_s is not None and not asks):
            return now_s + LOOK_S
        if self._dozes:
            return now_s + DOZE_S
        if asks and not waits and loop_cpu_s is not None and self._meter.loop_cpu_s() == loop_cpu_s:
            self._look_closer(last_s, now_s)
        return now_s + BEAT_S

    def _begun(self) -> int:
        """Requests begun since the last look."""
        before = self._requests
        if self._state is not None:
            self._requests = self._state.total_requests
        return self._requests - before

    def _is_excused(self, late_s: float, begun: int, before: CpuUsage, use: CpuUsage) -> bool:
        """Whether this look is late because the machine was busy, and not because somebody kept the interpreter.

        A loop that ran meanwhile and has finished none of the requests that it began was held all the same: waiting
        for the interpreter means waking up every 5 ms, and on a busy machine waiting for a core each time.
        """
        if use.cpu_s - before.cpu_s < OTHERS_CPU_SHARE * late_s:
            return True
        ran_s = (use.loop_cpu_s or 0.0) - (before.loop_cpu_s or 0.0)
        if self._state is not None and ran_s >= OTHERS_CPU_SHARE * late_s and 0 < begun <= len(self._state.tasks):
            return False
        return self._releasing(self._own_delay.read_s) >= late_s / 2

    def _is_idle(self, waits: bool, begun: int, used: float, now_s: float) -> bool:
        """Whether nothing has happened for a while: no request begun or in flight, and nothing else either."""
        if self._wakings is None or self._state is None:
            return False
        if not waits or begun or used > IDLE_CPU_SHARE or self._state.tasks or self._sent_s is not None:
            self._active_s = now_s
        return now_s - self._active_s > DOZE_AFTER_S

    def _pause(self, due_s: float) -> float:
        """Sleep until then, or, while dozing, until there is something for the loop to do; returns when it was due."""
        begun_s = time.perf_counter()
        pause_s = due_s - begun_s
        if pause_s <= 0:
            return due_s
        if not self._dozes or self._wakings is None:
            time.sleep(pause_s)
            return due_s
        before_s = self._meter.loop_cpu_s()
        if not self._wakings.poll(pause_s * 1000):
            return due_s
        # Both were woken up at once. For as long as its thread has run since then, it kept this one from running.
        ran_s = (self._meter.loop_cpu_s() or 0.0) - (before_s or 0.0)
        self._active_s = time.perf_counter()
        return max(begun_s, self._active_s - ran_s)

    def _look_closer(self, begun_s: float, now_s: float) -> None:
        """Is the loop's thread asleep in a call? If so, that is charged for the time from ``begun_s`` to ``now_s``.

        It has been asked for a sign of life a moment ago. Without an answer, and without CPU time used by it or by
        others who might keep the interpreter from it, it has slept since then.
        """
        first = self._use()
        time.sleep(CLOSER_S)
        if self._sent_s is None or not self._serves():
            return
        stack = stack_of(frames().get(self._loop_thread))
        used, loop_used = self._use().since(first)
        if loop_used is None or loop_used > SLEPT_SHARE or used > OTHERS_CPU_SHARE or not self._meter.loop_sleeps():
            return
        self._ledger.briefly(begun_s, now_s, (("loop", self._own.charge(stack), 1.0),))

    def _use(self) -> CpuUsage:
        return CpuUsage(time.perf_counter(), time.process_time(), self._meter.loop_cpu_s())

    def _releasing(self, operation: Callable[..., T], *arguments: object) -> T:
        """Call what lets other threads run meanwhile.

        When it takes long to come back, one of them has kept the interpreter and has handed it over just now: this is
        the moment to see which, and where.
        """
        begun_s = time.perf_counter()
        result = operation(*arguments)
        if not self._caught and time.perf_counter() - begun_s >= LOOK_S:
            self._caught = {ident: stack_of(frame) for ident, frame in frames().items()}
        return result

    def _must_ask(self, waits: bool, begun: bool, used: float, loop_used: float | None) -> bool:
        if waits:
            return used - (loop_used or 0.0) > IDLE_CPU_SHARE
        return not begun or loop_used is None or loop_used < FULL_SHARE

    def _waits(self, code: CodeType, caller: CodeType | None) -> bool:
        """Whether the loop's thread is where a loop waits for something to do.

        On asyncio that is a selector's select. uvloop has no frames: the deepest one is whoever runs the loop, which is
        also where an answer is called from.
        """
        if caller is _RUN_ONCE:
            return code.co_name == "select"
        return code is self._runner

    def _take_answers(self, before: CpuUsage) -> None:
        while self._answers:
            sent_s, answered_s = self._answers.popleft()
            self._lag_s = answered_s - sent_s
            self._lag_max_s = max(self._lag_max_s, self._lag_s)
            if self._lag_s < self._threshold_s:
                self._ledger.in_time()
                continue
            schedule = self._releasing(self._meter.loop_schedule)
            self._ledger.answered(sent_s, answered_s, schedule.delayed_s - self._schedule.delayed_s)
            self._schedule, self._asked, self._asked_late = schedule, before, True

    def _sample(self, sent_s: float, use: CpuUsage, stacks: dict[int, Stack], quiet: bool) -> None:
        """See who holds the loop up, and charge them.

        ``quiet``: this thread came late, but not because somebody kept the interpreter; the machine was busy.
        """
        self._lag_max_s = max(self._lag_max_s, use.at_s - sent_s)
        if not self._serves():
            self._ledger.forget()
            return
        stack = stacks.pop(self._loop_thread)
        stacks.pop(threading.get_ident(), None)
        used, loop_used = use.since(self._asked)
        others_used = used - (loop_used or 0.0)
        starving = self._running(stacks) if others_used >= OTHERS_CPU_SHARE else []
        place = [(each.code, each.position) for each in stack]
        stuck = place == self._seen and self._own.call(stack[0]) != ""
        self._seen = place
        waits = self._waits(stack[0].code, stack[1].code if len(stack) > 1 else None)
        schedule = self._releasing(self._meter.loop_schedule)
        slices = schedule.slices - self._schedule.slices
        blocked = not self._asked_late and slices < (use.at_s - self._asked.at_s) / COMPETES_EVERY_S
        kind = "" if quiet and not stuck else kind_of(waits, loop_used, others_used, bool(starving), blocked)
        charges: Charges = ()
        if kind == "loop":
            charges = ((kind, self._own.charge(stack), 1.0),)
        elif kind == "gil":
            charges = tuple((kind, self._own.charge(other), 1 / len(starving)) for other in starving)
        self._ledger.overdue(sent_s, use.at_s, charges, schedule.delayed_s - self._schedule.delayed_s)

    def _serves(self) -> bool:
        """Whether anybody is kept waiting: not while the app starts up (and imports), nor while it shuts down."""
        server = self._uvicorn
        return server is None or ((server.started or self._start_up) and not server.should_exit)

    def _running(self, stacks: dict[int, Stack]) -> list[Stack]:
        """Stacks of the threads that run, or would: those that moved since the last look, or else all that do not wait.

        Their CPU time would tell, but reading it means files: each lets all the others have a go with the interpreter,
        and a look at forty of them takes seconds.
        """
        ready = {ident: s for ident, s in stacks.items() if s and not self._own.waits(s) and not _idles(s)}
        places = {ident: (stack[0].code, stack[0].position, len(stack)) for ident, stack in ready.items()}
        before, self._places = self._places, places
        moved = [ready[ident] for ident, place in places.items() if before.get(ident, place) != place]
        return moved or list(ready.values())

    def _write_row(self, use: CpuUsage, threads: dict[int, FrameType]) -> None:
        now_s = use.at_s
        sent_s, pool = self._sent_s, tokens(self._loop)
        overdue_s = now_s - sent_s if sent_s is not None else 0.0
        lag_s = overdue_s if overdue_s > LOOK_S else self._lag_s
        state = self._state
        if pool is not None and pool.waiting and pool.borrowed >= pool.total and self._serves():
            self._charge_holders(now_s)
        else:
            self._ledger.has_tokens()
        row = (
            *(now_s, lag_s * 1000, max(lag_s, self._lag_max_s) * 1000),
            *(pool or (None, None, None)),
            *(len(threads) - 1, use.cpu_s, use.loop_cpu_s, self._releasing(self._meter.rss_mb)),
            *((len(state.connections), len(state.tasks)) if state is not None else (None, None)),
        )
        self._own_delay.read_s()
        self._releasing(self._samples.write, [row])
        if rows := self._ledger.rows():
            self._releasing(self._stalls.write, rows)
        self._lag_max_s = 0.0
        self._row_s = now_s

    def _charge_holders(self, now_s: float) -> None:
        """The threadpool is exhausted: who holds its tokens?"""
        workers = {t.ident for t in threading.enumerate() if type(t).__module__.startswith("anyio.")}
        holders = [self._holder(frame) for ident, frame in frames().items() if ident in workers]
        charges = [charge for charge in holders if charge is not None]
        self._ledger.exhausted(self._row_s, now_s, tuple(("threadpool", c, 1 / len(charges)) for c in charges), 1)

    def _holder(self, frame: FrameType) -> StallSource | None:
        """Whom to charge for a worker thread; None for one that waits for work."""
        stack = stack_of(frame)
        if _idles(stack):
            return None
        charge = self._own.charge(stack)
        runs = not charge.file and stack[0].code.co_name == "run" and job_of(frame)
        return charge._replace(callee=runs) if runs else charge


def kind_of(waits: bool, loop_used: float | None, others_used: float, others_run: bool, blocked: bool) -> str:
    """Why the loop is late: "loop" (its own thread is held), "gil" (it is kept from running), or "" (nobody's fault).

    ``loop_used`` and ``others_used`` are shares of a core since the loop was asked, of its thread (None: not known) and
    of all others; ``blocked``: the loop's thread slept all the time, which one that competes for the interpreter does
    not.
    """
    starves = others_run and others_used >= OTHERS_CPU_SHARE
    if waits:
        return "gil" if starves else ""
    if not starves or blocked or loop_used is None or loop_used >= others_used:
        return "loop"
    return "gil"


def _idles(stack: Stack) -> bool:
    """Whether a worker thread waits for work: it is in its queue, with no code but the libraries' own on its stack."""
    modules = [str(place.names.get("__name__", "")) for place in stack]
    if not all(module.startswith(("anyio.", "concurrent.futures.", *_QUEUES)) for module in modules):
        return False
    return not modules or modules[0] in _QUEUES or stack[0].code.co_name == "_worker"  # concurrent.futures has no queue


def _say_failed(error: Exception) -> None:
    os.write(2, f"loop_probe: failed: {type(error).__name__}: {error}\n".encode(errors="backslashreplace"))
