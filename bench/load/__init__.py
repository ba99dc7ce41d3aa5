"""Runs inside Locust: users whose I/O costs next to nothing, and the recorder of everything they see."""

from bench.load import plugin as plugin
from bench.load.request import Request
from bench.load.users import HubHttpUser

__all__ = ["HubHttpUser", "Request"]
