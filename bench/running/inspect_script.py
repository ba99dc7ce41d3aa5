"""Imports an app in its own interpreter, as a script: can it be served, and where are its endpoints' functions?

    PYTHONPATH= /their/python bench/running/inspect_script.py shop.main:app --app-dir /their/folder --out facts.json

Standard library only, for every Python that uvicorn runs on. Nothing of this repository is on the app's path. The
result is written as JSON: see ``facts_of``, and AppFacts in preflight.py.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import platform
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

MAX_MESSAGE = 300
"""Characters of an exception's message that are shown."""

PACKAGES = (
    *(
        "fastapi",
        "starlette",
        "uvicorn",
        "anyio",
        "pydantic",
        "uvloop",
        "httptools",
        "gunicorn",
        "sqlalchemy",
        "sqlmodel",
    ),
    *(
        "asyncpg",
        "psycopg",
        "psycopg2",
        "psycopg2-binary",
        "databases",
        "tortoise-orm",
        "aiosqlite",
        "redis",
        "pymongo",
    ),
    *("motor", "httpx", "requests", "aiohttp", "passlib", "bcrypt", "argon2-cffi", "pyjwt", "python-jose"),
)
"""Packages whose versions are shown: those that serve, and the drivers and libraries that block most often."""

WRAPPED = ("app", "other_asgi_app", "application", "_app")
"""Attributes under which middleware keeps the app that it was put around."""
MAX_WRAPPERS = 10


class NotServable(Exception):
    """The app cannot be served; the message says why in one line."""


def facts_of(target: str, folder: str, factory: bool) -> dict[str, Any]:
    """The facts of an app: error, python, versions, package, applications and functions, as AppFacts documents them.

    ``applications`` is missing where the app does not say what it serves.
    """
    facts: dict[str, Any] = {"error": "", "python": platform.python_version(), "package": "", "functions": []}
    sys.path[0] = folder  # in place of this script's own folder
    try:
        facts["uvicorn"] = _uvicorn()
        facts["packages"] = _versions()
        app = _load(target, factory)
        facts["package"] = _package(target, folder)
        _check_asgi(target, app)
    except NotServable as error:
        facts["error"] = " ".join(str(error).split())
        return facts
    app = _inside(app)
    if hasattr(app, "routes"):
        facts["applications"] = list(_applications(app, "", getattr(app, "root_path", "") or ""))
    facts["functions"] = list(_functions(app))
    return facts


def _uvicorn() -> str:
    if importlib.util.find_spec("uvicorn") is None:
        raise NotServable(
            f"{sys.executable} has no uvicorn: install it there, or name the app's own interpreter with --python"
        )
    return str(importlib.import_module("uvicorn").__version__)


def _versions() -> dict[str, str]:
    """Versions of the packages whose version may change what is measured, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _load(target: str, factory: bool) -> Any:
    module_name, _, attributes = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise NotServable(f"there is no module {error.name!r} in {sys.path[0]}") from None
        raise NotServable(_raised("cannot be imported", target)) from None
    except (Exception, SystemExit):
        raise NotServable(_raised("cannot be imported", target)) from None
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise NotServable(f"{module_name} has no attribute {attributes!r}")
        found = getattr(found, attribute)
    if not factory:
        return found
    try:
        return found()
    except (Exception, SystemExit):
        raise NotServable(_raised("as a factory failed", target)) from None


def _raised(what: str, target: str) -> str:
    """The exception being handled in one line, with the last line of the app that led to it."""
    kind, error, trace = sys.exc_info()
    every = traceback.extract_tb(trace)
    lines = [line for line in every if line.filename != __file__ and not line.filename.startswith("<")]
    of_app = [line for line in lines if line.filename.startswith(os.path.join(sys.path[0], ""))] or lines
    where = f" ({os.path.relpath(of_app[-1].filename, sys.path[0])}:{of_app[-1].lineno})" if of_app else ""
    hint = "; set it in the environment or with --env-file" if _is_environment(every[-1]) else ""
    return f"{target} {what}: {getattr(kind, '__name__', kind)}: {str(error)[:MAX_MESSAGE]}{where}{hint}"


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
        raise NotServable(f"{target} is not an ASGI app: it is of type {type(app).__name__}, which cannot be called")
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return  # C code, which does not tell
    if _takes(signature, 3) or _takes(signature, 1):  # ASGI 3; ASGI 2, which uvicorn serves as well
        return
    if _takes(signature, 0):
        raise NotServable(
            f"{target} is not an ASGI app, but a function without arguments: add --factory if it makes one"
        )
    wsgi = " but a WSGI app:" if _takes(signature, 2) else ""
    raise NotServable(f"{target} is not an ASGI app,{wsgi} it cannot be called with (scope, receive, send)")


def _takes(signature: inspect.Signature, arguments: int) -> bool:
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        return False
    return True


def _inside(app: Any) -> Any:
    """The app that has the routes, within middleware that was put around it."""
    for _ in range(MAX_WRAPPERS):
        if hasattr(app, "routes"):
            return app
        inner = next((getattr(app, name) for name in WRAPPED if callable(getattr(app, name, None))), None)
        if inner is None:
            return app
        app = inner
    return app


# What it serves


def _applications(app: Any, prefix: str, root_path: str) -> Iterator[dict[str, Any]]:
    """The app and those that are mounted in it: prefix, root_path, openapi_url and document.

    ``document`` describes what the app's own document, at ``openapi_url``, leaves out: everything where it is switched off.
    """
    url = getattr(app, "openapi_url", None)
    hidden = _hidden_paths(app)
    document: dict[str, Any] = {"openapi": "3.1.0", "paths": hidden}
    if url is None and hasattr(app, "openapi"):
        with contextlib.suppress(Exception):  # the app's own code
            listed = app.openapi()
            document = dict(listed, paths={**hidden, **listed.get("paths", {})})
    # It has to be JSON; a default may be anything.
    document = json.loads(json.dumps(document, default=str))
    yield {"prefix": prefix, "root_path": root_path, "openapi_url": url, "document": document}
    for route in app.routes:
        mounted = getattr(route, "app", None)
        if type(route).__name__ == "Mount" and hasattr(mounted, "routes") and "{" not in route.path:
            yield from _applications(mounted, prefix + route.path, root_path)


def _hidden_paths(app: Any) -> dict[str, Any]:
    """Routes that no document lists, as the paths of a document; not those of the document itself."""
    paths: dict[str, Any] = {}
    ours = {
        getattr(app, name, None) for name in ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")
    }
    for route in app.routes:
        listed = getattr(route, "include_in_schema", True) and hasattr(route, "dependant")
        methods, path = getattr(route, "methods", None), getattr(route, "path", None)
        if listed or not methods or not path or path in ours:
            continue
        names = re.findall(r"{(\w+)(?::\w+)?}", path)
        parameters = [{"name": name, "in": "path", "required": True, "schema": {}} for name in names]
        item = paths.setdefault(re.sub(r"{(\w+):\w+}", r"{\1}", path), {})
        item.update({method.lower(): {"parameters": parameters} for method in methods if method != "HEAD"})
    return paths


# Functions and their roles


def _functions(app: Any) -> Iterator[dict[str, Any]]:
    """Functions found in FastAPI's own objects. A version that keeps them elsewhere yields fewer."""
    for finder in (_of_routes, _of_middleware, _of_start_up):
        try:
            yield from list(finder(app))
        except (AttributeError, TypeError, ValueError):
            continue


def _of_routes(app: Any) -> Iterator[dict[str, Any]]:
    for depends in getattr(getattr(app, "router", app), "dependencies", ()):
        yield from _function("dependency", depends.dependency)
    for route in app.routes:
        # Newer versions keep an included router as a route of its own, like a mounted app.
        below = getattr(route, "original_router", None) or getattr(route, "app", None)
        dependant = getattr(route, "dependant", None)
        if dependant is not None:
            yield from _function("endpoint", route.endpoint)
            for function in _dependencies(dependant):
                yield from _function("dependency", function)
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
            yield from _function("middleware", options["dispatch"])
        for name in ("dispatch", "__call__"):
            if name in vars(middleware.cls):
                yield from _function("middleware", vars(middleware.cls)[name])


def _of_start_up(app: Any) -> Iterator[dict[str, Any]]:
    for function in getattr(app.router, "on_startup", ()):
        yield from _function("start-up", function)
    yield from _function("start-up", app.router.lifespan_context)


def _function(role: str, function: Any) -> Iterator[dict[str, Any]]:
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
    """Write the facts of the app that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--app-dir", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--factory", action="store_true")
    options = parser.parse_args()
    facts = facts_of(options.target, options.app_dir, options.factory)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(facts, file)
    sys.stdout.flush()
    os._exit(0)  # does not wait for threads that the app has started


if __name__ == "__main__":
    main()
