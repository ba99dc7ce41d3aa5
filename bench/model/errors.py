"""The errors that a command ends with. Standard library only."""


class UsageError(Exception):
    """What the user asked for is not allowed. The message is one line and says what is; exit status 2."""
