"""Errors that end a command. Standard library only."""


class UsageError(Exception):
    """The user asked for something that is not possible. The message is one line; the exit status is 2."""
