"""The command `ul-proxy`, which is also `python -m proxy`."""

import importlib
import signal
import sys


def main() -> int:
    """Run the command line and return the exit status."""
    # Before the rest is loaded, which takes a while: a container's first process does not get signals that it has no
    # handler for, and whoever stops the container then would wait until it is killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    status: int = importlib.import_module("proxy.cli").main()
    return status


if __name__ == "__main__":
    sys.exit(main())
