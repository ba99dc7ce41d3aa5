"""Control messages between the harness and Locust as JSON lines: one message a line."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from bench.results.schema import ControlMessage

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is not one of ours: a trial's facts take a few kilobytes."""

_ADAPTER: TypeAdapter[ControlMessage] = TypeAdapter(Annotated[ControlMessage, Field(discriminator="kind")])


class BadMessage(Exception):
    """A line that is no control message; the message says what is wrong with it, in one line."""


def encode(message: ControlMessage) -> bytes:
    """The message as one line."""
    return _ADAPTER.dump_json(message) + b"\n"


def decode(line: bytes) -> ControlMessage:
    """The message in a line. BadMessage when it is none."""
    try:
        return _ADAPTER.validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadMessage(f"{where}: {first['msg']}" if where else first["msg"]) from None
