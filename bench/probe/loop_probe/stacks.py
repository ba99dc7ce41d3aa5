"""What a thread is doing, in a word: the deepest line of the app's own code, and the call that it is in.

Only code objects, positions and globals are looked at. Locals are not: reading them from outside would keep objects
alive that the app has let go.
"""

from __future__ import annotations

import ast
import builtins
import dis
import linecache
import os
import re
import sys
import sysconfig
from functools import partial
from inspect import CO_COROUTINE
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple

from .settings import HERE

INSTALLED = ("site-packages", "dist-packages")
FRAMEWORK = ("anyio", "asyncio", "fastapi", "starlette", "uvicorn")
"""Carries requests through the app's own code and to its threads; what it does on its own is not the app's line."""
DEEPEST = 400
"""ScenarioTables looked at, from the callee: beyond is recursion."""
REMEMBERED = 4096
"""Code positions remembered. An app has dozens; one that makes code as it goes must not fill the memory."""
LONGEST_LEAF = 80
ENTERING = ("BEFORE_WITH", "LOAD_SPECIAL")
WAITING_MODULES = ("threading", "queue", "selectors", "socket", "ssl", "subprocess", "concurrent.futures.thread")
WAITING_CALLS = ("acquire", "wait", "sleep", "select", "poll", "accept", "connect", "recv", "recv_into", "join")
"""Where a thread waits and runs nothing, for systems that do not tell its CPU time."""


class StallSource(NamedTuple):
    """Whom a piece of time is charged to. Empty file: no code of the app's own is on the stack."""

    file: str
    line: int
    function: str
    callee: str


class CodeLocation(NamedTuple):
    """One frame, as it was: frames themselves move on."""

    code: CodeType
    position: int
    names: dict[str, Any]


Stack = list[CodeLocation]
"""Leaf first."""


def stack_of(frame: FrameType | None) -> Stack:
    """The frames of a thread. Takes no lock and gives the interpreter to nobody, so that they are of one moment."""
    stack: Stack = []
    while frame is not None and len(stack) < DEEPEST:
        stack.append(CodeLocation(frame.f_code, frame.f_lasti, frame.f_globals))
        frame = frame.f_back
    return stack


class OwnCode:
    """Tells the app's own code from everybody else's, and names what a stack is doing there."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self._folders = [os.path.join(folder, "") for folder in folders]
        paths = sysconfig.get_paths()
        self._others = [os.path.join(os.path.realpath(paths[name]), "") for name in ("stdlib", "purelib", "platlib")]
        self._others.append(os.path.join(HERE, ""))
        self._files: dict[str, str] = {}
        self._calls: dict[tuple[CodeType, int], tuple[int, str]] = {}

    def file(self, filename: str) -> str:
        """The path as its own folder sees it, such as ``apps/shop.py``; empty when it is not the app's own code."""
        known = self._files.get(filename)
        if known is None:
            known = self._files[filename] = self._file(filename)
        return known

    def charge(self, stack: Stack) -> StallSource:
        """Whom to charge for what a thread is doing."""
        index = next((i for i, place in enumerate(stack) if self.file(place.code.co_filename)), None)
        if index is None:
            return StallSource("", 0, "", _qualified(stack[0]) if stack else "")
        if index and _carries(stack[index - 1]):
            return StallSource("", 0, "", _qualified(stack[0]))
        place = stack[index]
        callee = _qualified(stack[index - 1]) if index else self.call(place)
        for around in stack[index + 1 :]:
            if not _is_part(place.code) or around.code.co_filename != place.code.co_filename:
                break
            place = around
            callee = callee or self.call(place)
        return StallSource(self.file(place.code.co_filename), self._located(place)[0], place.code.co_name, callee)

    def call(self, place: CodeLocation) -> str:
        """The call without a frame (C code) that a frame is in, such as ``time.sleep``; empty when it is in none."""
        return self._located(place)[1]

    def waits(self, stack: Stack) -> bool:
        """Whether a thread seems to wait for something. A guess from names, where CPU time is not to be had."""
        if not stack:
            return True
        if stack[0].names.get("__name__") in WAITING_MODULES:
            return True
        return self.call(stack[0]).rpartition(".")[2] in WAITING_CALLS

    def _file(self, filename: str) -> str:
        if filename.startswith("<"):
            return ""
        path = os.path.realpath(filename)
        for folder in self._folders:
            below = path[len(folder) :] if path.startswith(folder) else ""
            if not below or any(part in INSTALLED for part in below.split(os.sep)):
                continue
            if self._is_installed(folder):  # a package that is the app itself
                return os.path.join(os.path.basename(os.path.dirname(folder)), below)
            return "" if path.startswith(tuple(self._others)) else below
        return ""

    def _is_installed(self, folder: str) -> bool:
        return any(part in INSTALLED for part in folder.split(os.sep)) or folder.startswith(tuple(self._others))

    def _located(self, place: CodeLocation) -> tuple[int, str]:
        key = (place.code, place.position)
        known = self._calls.get(key)
        if known is None:
            if len(self._calls) >= REMEMBERED:
                self._calls.clear()
            known = self._calls[key] = _line_of(place), _call_at(place)
        return known


def _carries(place: CodeLocation) -> bool:
    """Whether it is a coroutine of the framework's: whoever awaits it, as a middleware does, has passed the work on."""
    package = str(place.names.get("__name__", "")).partition(".")[0]
    return package in FRAMEWORK and bool(place.code.co_flags & CO_COROUTINE)


def _is_part(code: CodeType) -> bool:
    """Whether it is a comprehension or generator expression: a part of the function around it to who reads it."""
    return code.co_name in ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


def _qualified(place: CodeLocation) -> str:
    """A function as its users know it: ``psycopg.Cursor.execute``, ``json.decoder.JSONDecoder.decode``."""
    module = str(place.names.get("__name__", ""))
    if any(part in INSTALLED for part in place.code.co_filename.split(os.sep)):
        module = module.partition(".")[0]  # what a package's files are called within is nobody's business
    name = getattr(place.code, "co_qualname", place.code.co_name).replace(".<locals>", "")
    return f"{module}.{name}"[:LONGEST_LEAF]


def _line_of(place: CodeLocation) -> int:
    line = place.code.co_firstlineno
    for offset, starts in dis.findlinestarts(place.code):
        if offset > place.position:
            break
        line = starts or line
    return line


def _call_at(place: CodeLocation) -> str:
    if place.position < 0:
        return ""
    opname = dis.opname[place.code.co_code[place.position]]
    if not opname.startswith(("CALL", "PRECALL")) and opname not in ENTERING and opname != "FOR_ITER":
        return ""
    expression = _expression(place)
    if expression is None:
        return ""
    if opname == "FOR_ITER":
        return f"{_named(expression, place.names)}.__next__"[:LONGEST_LEAF]
    if opname in ENTERING:
        return f"{_named(expression, place.names)}.__enter__"[:LONGEST_LEAF]
    if isinstance(expression, ast.Call):
        return _named(expression.func, place.names)[:LONGEST_LEAF]
    return ""


def _expression(place: CodeLocation) -> ast.expr | None:
    """The source of the one instruction that a frame is at."""
    text = _text(place)
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _text(place: CodeLocation) -> str:
    filename = place.code.co_filename
    if not hasattr(place.code, "co_positions"):  # before Python 3.11 there are lines only
        call = re.search(r"[\w.]+\(", linecache.getline(filename, _line_of(place)))
        return f"{call[0]})" if call else ""
    positions = list(place.code.co_positions())
    first, last, begins, ends = positions[place.position // 2]
    if first is None or last is None or begins is None or ends is None:
        return ""
    lines = [linecache.getline(filename, number).encode() for number in range(first, last + 1)]
    lines[-1] = lines[-1][:ends]  # columns count bytes
    lines[0] = lines[0][begins:]
    return b"".join(lines).decode(errors="replace")


def _named(expression: ast.expr, names: dict[str, Any]) -> str:
    """A function's name by where it comes from (``from time import sleep``: ``time.sleep``), else as it is written."""
    attributes: list[str] = []
    root = expression
    while isinstance(root, ast.Attribute):
        attributes.insert(0, root.attr)
        root = root.value
    if not isinstance(root, ast.Name):
        return ast.unparse(expression)
    known = names.get(root.id, getattr(builtins, root.id, None))
    return ".".join([_origin(known, root.id), *attributes])


def _origin(known: object, written: str) -> str:
    if known is None:
        return written
    if isinstance(known, ModuleType):
        return known.__name__
    if not isinstance(known, (BuiltinFunctionType, FunctionType, type)):
        known = type(known)
    module = known.__module__ or ""
    if not module or module == "builtins":
        return written if not isinstance(known, type) else known.__qualname__
    return f"{module.partition('.')[0]}.{known.__qualname__}"


def job_of(frame: FrameType) -> str:
    """What a worker thread of anyio's was given to do, in the frame that runs it: a call of C code has none of its own.

    The frame's copy of its locals is emptied at once, so that nothing is kept alive by it.
    """
    held = frame.f_locals
    job = held.get("func")
    if isinstance(held, dict):  # from Python 3.13 on it is a view, and nothing is copied
        held.clear()
    while isinstance(job, partial):
        job = job.func
    return _origin(job, "")[:LONGEST_LEAF]


def frames() -> dict[int, FrameType]:
    """The frame that each thread is in, by its identifier."""
    return sys._current_frames()
