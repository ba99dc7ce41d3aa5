"""Shared by all tests."""

from __future__ import annotations

import signal

import measuring
import pytest

# A shell starts background jobs with SIGINT ignored, and children inherit that. Tests interrupt their children.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many measurements other programs disturbed, so that they had to be repeated."""
    total = measuring.disturbed.total()
    names = ", ".join(f"{name} x {count}" for name, count in sorted(measuring.disturbed.items()))
    terminalreporter.write_line(f"disturbed measurements that were repeated: {total}{f' ({names})' if names else ''}")
