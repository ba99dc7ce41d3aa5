"""The command line: one module a command. Its options are a dataclass that prints itself back as a command line."""

from bench.cli.main import main

__all__ = ["main"]
