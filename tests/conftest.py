"""Shared by all tests."""

from __future__ import annotations

import signal

# A shell starts background jobs with SIGINT ignored, and children inherit that. Tests interrupt their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
