"""Imports and builds the app as uvicorn does, with the same messages and exit status on failure."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from uvicorn.importer import import_from_string


def load(name: str) -> Any:
    """The object that ``module:attribute`` names.

    Raises uvicorn's ``ImportFromStringError`` where there is none. This runs while uvicorn imports the probe, so uvicorn
    logs the error and exits as it does without the probe. Exceptions of the module itself pass.
    """
    return import_from_string(name)


def build(target: Any, factory: bool) -> Any:
    """The app: the target itself or, if it is a factory, its result."""
    if factory:
        try:
            return target()
        except TypeError:
            traceback.print_exc()  # uvicorn prints only the message
            raise
    try:
        built = target()  # like uvicorn: an app needs arguments, a factory needs none
    except TypeError:
        return target
    logging.getLogger("uvicorn.error").warning(
        "ASGI app factory detected. Using it, but please consider setting the --factory flag explicitly."
    )
    return built
