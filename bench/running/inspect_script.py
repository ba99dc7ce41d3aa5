"""Looks at an app in its own interpreter, as a script: can it be served, and where are its endpoints' functions?

    PYTHONPATH= /their/python bench/running/inspect_script.py shop.main:app --app-dir /their/folder --out facts.json

Standard library only, for every Python that uvicorn runs on, and nothing of this repository is on the app's path. What
it finds is written as JSON, see ``inspect_app``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import json
import os
import platform
import sys
import traceback
from collections.abc import Iterator
from typing import Any

LONGEST = 300
"""Characters of an exception's message."""


class Unfit(Exception):
    """The app cannot be served; the message says why in one line."""


def inspect_app(target: str, folder: str, factory: bool) -> dict[str, Any]:
    """What is known of an app.

    ``error`` (empty when it can be served), ``python`` and ``uvicorn`` (versions), ``package`` (folder of the target's
    topmost package where that lies outside of ``folder``, or empty), ``openapi_url`` (null where it is off; missing
    where the app does not say), ``places``: [{role, name, file, first, last, awaits}], the lines of its endpoints,
    dependencies, middleware and start-up functions.
    """
    facts: dict[str, Any] = {"error": "", "python": platform.python_version(), "package": "", "places": []}
    sys.path[0] = folder  # this script's own folder stood there
    try:
        facts["uvicorn"] = _uvicorn()
        app = _load(target, factory)
        facts["package"] = _package(target, folder)
        _check_asgi(target, app)
    except Unfit as unfit:
        facts["error"] = " ".join(str(unfit).split())
        return facts
    if hasattr(app, "openapi_url"):
        facts["openapi_url"] = app.openapi_url
    facts["places"] = list(_places(app))
    return facts


def _uvicorn() -> str:
    if importlib.util.find_spec("uvicorn") is None:
        raise Unfit(
            f"{sys.executable} has no uvicorn: install it there, or name the app's own interpreter with --python"
        )
    return str(importlib.import_module("uvicorn").__version__)


def _load(target: str, factory: bool) -> Any:
    module_name, _, attributes = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise Unfit(f"there is no module {error.name!r} in {sys.path[0]}") from None
        raise Unfit(_raised("cannot be imported", target)) from None
    except (Exception, SystemExit):
        raise Unfit(_raised("cannot be imported", target)) from None
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise Unfit(f"{module_name} has no attribute {attributes!r}")
        found = getattr(found, attribute)
    if not factory:
        return found
    try:
        return found()
    except (Exception, SystemExit):
        raise Unfit(_raised("as a factory failed", target)) from None


def _raised(what: str, target: str) -> str:
    """The exception being handled, in a line: what, and the last of the app's own lines that led to it."""
    kind, error, trace = sys.exc_info()
    every = traceback.extract_tb(trace)
    lines = [line for line in every if line.filename != __file__ and not line.filename.startswith("<")]
    own = [line for line in lines if line.filename.startswith(os.path.join(sys.path[0], ""))] or lines
    where = f" ({os.path.relpath(own[-1].filename, sys.path[0])}:{own[-1].lineno})" if own else ""
    hint = "; set it in the environment or with --env-file" if _is_environment(every[-1]) else ""
    return f"{target} {what}: {getattr(kind, '__name__', kind)}: {str(error)[:LONGEST]}{where}{hint}"


def _is_environment(line: traceback.FrameSummary) -> bool:
    """Whether an exception comes from looking up a variable in os.environ."""
    return line.name == "__getitem__" and os.path.basename(line.filename) in ("os.py", "<frozen os>")


def _package(target: str, folder: str) -> str:
    module = sys.modules[target.partition(":")[0].partition(".")[0]]
    # A package's path, not its __init__.py: where several packages share a name, there is none.
    home = os.path.realpath(next(iter(getattr(module, "__path__", ())), ""))
    return (
        "" if not hasattr(module, "__path__") or home.startswith(os.path.join(os.path.realpath(folder), "")) else home
    )


def _check_asgi(target: str, app: Any) -> None:
    if not callable(app):
        raise Unfit(f"{target} is not an ASGI app: it is of type {type(app).__name__}, which cannot be called")
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return  # made of C code: nobody knows
    if _takes(signature, 3) or _takes(signature, 1):  # ASGI 3; ASGI 2, which uvicorn serves as well
        return
    if _takes(signature, 0):
        raise Unfit(f"{target} is not an ASGI app, but a function without arguments: say --factory if it makes one")
    wsgi = " but a WSGI app:" if _takes(signature, 2) else ""
    raise Unfit(f"{target} is not an ASGI app,{wsgi} it cannot be called with (scope, receive, send)")


def _takes(signature: inspect.Signature, arguments: int) -> bool:
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        return False
    return True


# Places: whose line is it?


def _places(app: Any) -> Iterator[dict[str, Any]]:
    """A look into FastAPI's own objects, as far as they are as they were known; the rest is not named."""
    for finder in (_of_routes, _of_middleware, _of_start_up):
        try:
            yield from list(finder(app))
        except (AttributeError, TypeError, ValueError):
            continue


def _of_routes(app: Any) -> Iterator[dict[str, Any]]:
    for depends in getattr(getattr(app, "router", app), "dependencies", ()):
        yield from _place("dependency", depends.dependency)
    for route in app.routes:
        # A router that is included is a route of its own in newer versions; so is an app that is mounted.
        below = getattr(route, "original_router", None) or getattr(route, "app", None)
        dependant = getattr(route, "dependant", None)
        if dependant is not None:
            yield from _place("endpoint", route.endpoint)
            for function in _dependencies(dependant):
                yield from _place("dependency", function)
        elif hasattr(below, "routes"):
            yield from _of_routes(below)


def _dependencies(dependant: Any) -> Iterator[Any]:
    for each in dependant.dependencies:
        yield each.call
        yield from _dependencies(each)


def _of_middleware(app: Any) -> Iterator[dict[str, Any]]:
    for middleware in app.user_middleware:
        options = getattr(middleware, "kwargs", None) or getattr(middleware, "options", {})
        if "dispatch" in options:
            yield from _place("middleware", options["dispatch"])
        for name in ("dispatch", "__call__"):
            if name in vars(middleware.cls):
                yield from _place("middleware", vars(middleware.cls)[name])


def _of_start_up(app: Any) -> Iterator[dict[str, Any]]:
    for function in getattr(app.router, "on_startup", ()):
        yield from _place("start-up", function)
    yield from _place("start-up", app.router.lifespan_context)


def _place(role: str, function: Any) -> Iterator[dict[str, Any]]:
    function = inspect.unwrap(function)
    if not inspect.isroutine(function) and not inspect.isclass(function):
        function = type(function).__call__  # an object that can be called, as a dependency
    code: Any = getattr(function, "__code__", None)
    if code is None:
        return
    lines: tuple[list[str], int] = inspect.getsourcelines(code)
    awaits = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    yield {
        "role": role,
        "name": function.__name__,
        "file": os.path.realpath(code.co_filename),
        "first": lines[1],
        "last": lines[1] + len(lines[0]) - 1,
        "awaits": awaits,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--app-dir", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--factory", action="store_true")
    asked = parser.parse_args()
    facts = inspect_app(asked.target, asked.app_dir, asked.factory)
    with open(asked.out, "w", encoding="utf-8") as file:
        json.dump(facts, file)
    sys.stdout.flush()
    os._exit(0)  # threads that the app has started are not waited for


if __name__ == "__main__":
    main()
