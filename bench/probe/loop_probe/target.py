"""The target: found, and made into an app, as uvicorn does it, with the same words and exit status where it cannot."""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from typing import Any, NoReturn

STARTUP_FAILURE = 3
"""uvicorn's exit status when an app cannot be loaded."""


def load(name: str) -> Any:
    """What ``module:attribute`` names. Exits as uvicorn does when there is none; what the module raises passes."""
    module_name, _, attributes = name.partition(":")
    if not module_name or not attributes:
        _fail(f'Import string "{name}" must be in format "<module>:<attribute>".')
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        _fail(f'Could not import module "{module_name}".')
    try:
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except AttributeError:
        _fail(f'Attribute "{attributes}" not found in module "{module_name}".')
    return found


def build(target: Any, factory: bool) -> Any:
    """The app: the target itself or, where it is a factory, what it returns."""
    if factory:
        try:
            return target()
        except TypeError:
            traceback.print_exc()  # uvicorn would only print its message
            raise
    try:
        built = target()  # uvicorn's way to tell an app (which needs arguments) from a factory
    except TypeError:
        return target
    logging.getLogger("uvicorn.error").warning(
        "ASGI app factory detected. Using it, but please consider setting the --factory flag explicitly."
    )
    return built


def _fail(message: str) -> NoReturn:
    logging.getLogger("uvicorn.error").error("Error loading ASGI app. %s", message)
    sys.exit(STARTUP_FAILURE)
