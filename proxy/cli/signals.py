"""What a signal means to a command that has something to bring to its end."""

import signal
import sys
from collections.abc import Callable


def to_the_end(work: Callable[[], int], interrupted: str) -> int:
    """The exit status of `work`: 1 where a signal ends it before it has one, with a sentence on stderr."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return work()
    except KeyboardInterrupt:
        print(f"\nul-proxy: interrupted: {interrupted}.", file=sys.stderr)
        return 1
