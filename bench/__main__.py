"""``python -m bench``."""

import signal
import sys


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, _interrupt)  # asked to end by whatever means, it ends the same way
try:
    from bench.cli import main
except KeyboardInterrupt:
    sys.exit(130)  # nothing has been started yet
main()
