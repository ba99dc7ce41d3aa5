"""``python -m bench``."""

import os
import signal
import sys


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal, where Ctrl-C may be pressed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


signal.signal(signal.SIGTERM, _interrupt)  # the command ends in the same way on both signals
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and not _has_terminal():
    # A shell starts background jobs with SIGINT ignored, so that Ctrl-C does not reach them. Without a terminal there is
    # no Ctrl-C: then SIGINT was sent to this process on purpose. With a terminal it stays ignored, and SIGTERM is obeyed.
    signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    from bench.cli import main
except KeyboardInterrupt:
    sys.exit(130)  # nothing was started yet
main()
