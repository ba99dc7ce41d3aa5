"""What a thread is doing: the deepest line of the app's own code, and the call it is in.

Reads code objects, positions and globals only. Reading locals from outside would keep objects alive that the app has
released.
"""

from __future__ import annotations

import ast
import builtins
import dis
import linecache
import os
import re
import sysconfig
from functools import partial
from inspect import CO_COROUTINE
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple

from .probe_settings import PROBE_FOLDER

INSTALLED = ("site-packages", "dist-packages")
FRAMEWORK = ("anyio", "asyncio", "fastapi", "starlette", "uvicorn")
"""Packages that run the app's coroutines. When only their frames are active, no line of the app is blamed."""
SOURCE_SUFFIXES = (".py", ".pyw", "")
"""Files whose lines are lines of Python. Code that was made of a template has the template's name and other line numbers, so
the line that renders it is blamed."""
MAX_FRAMES = 400
"""Frames read, from the deepest; more is recursion."""
MAX_CACHED_POSITIONS = 4096
"""An app has dozens. One that creates code while it runs must not fill the memory."""
MAX_CALLEE_LENGTH = 80
"""Longer names do not fit in a table of the report."""
WITH_OPCODES = ("BEFORE_WITH", "LOAD_SPECIAL")
WAITING_MODULES = ("threading", "queue", "selectors", "socket", "ssl", "subprocess", "concurrent.futures.thread")
WAITING_CALLS = ("acquire", "wait", "sleep", "select", "poll", "accept", "connect", "recv", "recv_into", "join")
"""Where a thread waits and does not run, by name."""
INLINE_FUNCTIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
"""Code objects that belong to the line of the function around them."""


class StallSource(NamedTuple):
    """The code that a stall is charged to. An empty file: no frame of the app's own code is on the stack."""

    file: str
    line: int
    function: str
    callee: str
    """The function that it calls; empty if it is in none."""


class CodeLocation(NamedTuple):
    """A copy of one frame: the frame itself moves on."""

    code: CodeType
    position: int
    """Offset of the current instruction."""
    names: dict[str, Any]
    """The module's globals."""


Stack = list[CodeLocation]
"""The deepest frame first."""


def stack_of(frame: FrameType | None) -> Stack:
    """The frames of a thread. Takes no lock and keeps the GIL, so that all are of one moment."""
    stack: Stack = []
    while frame is not None and len(stack) < MAX_FRAMES:
        stack.append(CodeLocation(frame.f_code, frame.f_lasti, frame.f_globals))
        frame = frame.f_back
    return stack


class OwnCode:
    """Tells the app's own code from other code, and names what a stack does there."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self._folders = [os.path.join(folder, "") for folder in folders]
        paths = sysconfig.get_paths()
        self._others = [os.path.join(os.path.realpath(paths[name]), "") for name in ("stdlib", "purelib", "platlib")]
        self._others.append(os.path.join(PROBE_FOLDER, ""))
        self._files: dict[str, str] = {}
        self._calls: dict[tuple[CodeType, int], tuple[int, str]] = {}

    def file(self, filename: str) -> str:
        """The path relative to its folder, such as ``apps/shop.py``; empty if it is not the app's own code."""
        known = self._files.get(filename)
        if known is None:
            known = self._files[filename] = self._file(filename)
        return known

    def source_of(self, stack: Stack) -> StallSource:
        """The code to charge for what a thread is doing."""
        index = next((i for i, location in enumerate(stack) if self.file(location.code.co_filename)), None)
        if index is None:
            return StallSource("", 0, "", _qualified(stack[0]) if stack else "")
        if index and _is_framework_coroutine(stack[index - 1]):
            return StallSource("", 0, "", _qualified(stack[0]))
        location = stack[index]
        callee = _qualified(stack[index - 1]) if index else self.call(location)
        for around in stack[index + 1 :]:
            inline = location.code.co_name in INLINE_FUNCTIONS
            if not inline or around.code.co_filename != location.code.co_filename:
                break
            location = around
            callee = callee or self.call(location)
        line, _ = self._located(location)
        return StallSource(self.file(location.code.co_filename), line, location.code.co_name, callee)

    def call(self, location: CodeLocation) -> str:
        """The C function that a frame is calling, such as ``time.sleep``; empty if there is none. C code has no frame."""
        return self._located(location)[1]

    def waits(self, stack: Stack) -> bool:
        """Whether a thread seems to wait. A guess from names: its CPU time would take too long to read."""
        if not stack:
            return True
        if stack[0].names.get("__name__") in WAITING_MODULES:
            return True
        return self.call(stack[0]).rpartition(".")[2] in WAITING_CALLS

    def _file(self, filename: str) -> str:
        if filename.startswith("<") or os.path.splitext(filename)[1] not in SOURCE_SUFFIXES:
            return ""
        path = os.path.realpath(filename)
        for folder in self._folders:
            below = path[len(folder) :] if path.startswith(folder) else ""
            if not below or any(part in INSTALLED for part in below.split(os.sep)):
                continue
            if self._is_installed(folder):  # the app is an installed package
                return os.path.join(os.path.basename(os.path.dirname(folder)), below)
            return "" if path.startswith(tuple(self._others)) else below
        return ""

    def _is_installed(self, folder: str) -> bool:
        return any(part in INSTALLED for part in folder.split(os.sep)) or folder.startswith(tuple(self._others))

    def _located(self, location: CodeLocation) -> tuple[int, str]:
        key = (location.code, location.position)
        known = self._calls.get(key)
        if known is None:
            if len(self._calls) >= MAX_CACHED_POSITIONS:
                self._calls.clear()
            known = self._calls[key] = line_of(location), call_at(location)
        return known


def line_of(location: CodeLocation) -> int:
    """The line of the current instruction."""
    line = location.code.co_firstlineno
    for offset, starts in dis.findlinestarts(location.code):
        if offset > location.position:
            break
        line = starts or line
    return line


def call_at(location: CodeLocation) -> str:
    """The function that the current instruction calls, by name; empty if it calls none or the source is missing."""
    if location.position < 0:
        return ""
    opname = dis.opname[location.code.co_code[location.position]]
    if not opname.startswith(("CALL", "PRECALL")) and opname not in WITH_OPCODES and opname != "FOR_ITER":
        return ""
    expression = _expression(location)
    if expression is None:
        return ""
    if opname == "FOR_ITER":
        return f"{_name_of(expression, location.names)}.__next__"[:MAX_CALLEE_LENGTH]
    if opname in WITH_OPCODES:
        return f"{_name_of(expression, location.names)}.__enter__"[:MAX_CALLEE_LENGTH]
    if isinstance(expression, ast.Call):
        return _name_of(expression.func, location.names)[:MAX_CALLEE_LENGTH]
    return ""


def job_of(frame: FrameType) -> str:
    """The function that one of anyio's worker threads runs, from the frame that calls it: C code has no frame.

    The frame's copy of its locals is cleared at once, so that it keeps nothing alive.
    """
    held = frame.f_locals
    job = held.get("func")
    if isinstance(held, dict):  # from Python 3.13 on it is a view and copies nothing
        held.clear()
    while isinstance(job, partial):
        job = job.func
    return _origin(job, "")[:MAX_CALLEE_LENGTH]


def _is_framework_coroutine(location: CodeLocation) -> bool:
    """Whether it is a coroutine of the framework. Code that awaits one, such as a middleware, has passed the work on."""
    package = str(location.names.get("__name__", "")).partition(".")[0]
    return package in FRAMEWORK and bool(location.code.co_flags & CO_COROUTINE)


def _qualified(location: CodeLocation) -> str:
    """A function as its users know it: ``psycopg.Cursor.execute``, ``json.decoder.JSONDecoder.decode``."""
    module = str(location.names.get("__name__", ""))
    if any(part in INSTALLED for part in location.code.co_filename.split(os.sep)):
        module = module.partition(".")[0]  # users know a package, not the modules inside
    name = getattr(location.code, "co_qualname", location.code.co_name).replace(".<locals>", "")
    return f"{module}.{name}"[:MAX_CALLEE_LENGTH]


def _expression(location: CodeLocation) -> ast.expr | None:
    """The source of the current instruction, parsed."""
    try:
        return ast.parse(_source(location).strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _source(location: CodeLocation) -> str:
    filename = location.code.co_filename
    if not hasattr(location.code, "co_positions"):  # before Python 3.11 only the line is known: its first call
        call = re.search(r"[\w.]+\(", linecache.getline(filename, line_of(location)))
        return f"{call[0]})" if call else ""
    positions = list(location.code.co_positions())
    first, last, begins, ends = positions[location.position // 2]
    if first is None or last is None or begins is None or ends is None:
        return ""
    lines = [linecache.getline(filename, number).encode() for number in range(first, last + 1)]
    lines[-1] = lines[-1][:ends]  # columns count bytes
    lines[0] = lines[0][begins:]
    return b"".join(lines).decode(errors="replace")


def _name_of(expression: ast.expr, names: dict[str, Any]) -> str:
    """A function by where it is defined (after ``from time import sleep``: ``time.sleep``), else as it is written."""
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
