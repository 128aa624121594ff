"""What the system lets a process of ours do."""

import logging
import resource
from contextlib import suppress

log = logging.getLogger(__name__)

_BESIDES = 256
"""Files and sockets that are no caller's: listeners, connections to Cognito, logs, libraries."""


def leave_no_core() -> None:
    """Have the system write no core file when the process crashes: tokens and passwords would be in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def make_room_for(callers: int) -> None:
    """Raise the limit of open files as far as the system lets this process: every caller wants an upstream, too.

    What most systems begin with, 1024, is there for programs that use `select`, which this one does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * callers + _BESIDES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(OSError, ValueError):  # macOS has a limit besides that it does not tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < wanted:
        log.warning(
            "the system allows %d open files, and max_connections = %d may need %d: raise that limit (`ulimit -n`, "
            "LimitNOFILE=), or lower max_connections",
            *(allowed, callers, wanted),
        )
