"""Let the connections of a server come to their end.

| state | new connections | requests | next state |
|---|---|---|---|
| SERVING | are accepted | are answered | LEAVING: the proxy is to end (`begin_draining`) |
| LEAVING | are accepted, for `drain_delay` | are answered, each as the last of its connection | DRAINING: `drain` |
| | | | ENDED: it is to end at once (`cut_off`) |
| DRAINING | are refused by the system | are answered likewise | ENDED: all have ended, or time is up (`cut_off`) |
| ENDED | are refused by the system | are broken off | |

A response is the last of its connection (`Connection: close`) once no further request waits there. A connection without
a request is closed in DRAINING when it has been quiet for GRACE seconds, of LEAVING or DRAINING: a request may be on
its way, and only a response can ask the caller to send no more. One whose last request was about the proxy itself stays
open until ENDED: by its end the program that had the proxy stop learns that it has.
"""

import asyncio
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol, TypeVar

from proxy.http.server.flow import Flow
from proxy.http.server.request import ServerRequest

GRACE = 1.0
"""Seconds for which a connection without a request may still bring one."""
_SWEEP = 0.05
"""Seconds between two looks at the connections, at most."""


class ServerState(Enum):
    """Names the states of a server; see the table above."""

    SERVING = auto()
    LEAVING = auto()
    DRAINING = auto()
    ENDED = auto()


class DrainedConnection(Protocol):
    """Tells draining whether a connection is in use, and closes it."""

    flow: Flow
    own: bool
    """The last request was about the proxy itself."""

    @property
    def request(self) -> ServerRequest | None:
        """The request that is being answered."""

    @property
    def quiet(self) -> bool:
        """Whether every request has been answered, and nothing of another has come."""

    def force_close(self) -> None:
        """Close, whatever is under way."""


Connection = TypeVar("Connection", bound=DrainedConnection)


async def drain(quiet_since: dict[Connection, float | None], left: asyncio.Event, end: float) -> None:
    """Close connections as they fall quiet, until none is left to wait for, or the loop's time is `end`.

    `quiet_since` has every open connection, and the time since which it has been quiet, if it is. `left` is set by
    every connection that ends.
    """
    time = asyncio.get_running_loop().time
    while not all(map(_may_stay, quiet_since)) and (remaining := end - time()) > 0:
        _close_quiet(quiet_since, time())
        left.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(remaining, _SWEEP)):
                await left.wait()


def _close_quiet(quiet_since: dict[Connection, float | None], now: float) -> None:
    """Close the connections that have been quiet for long enough."""
    for connection, since in tuple(quiet_since.items()):
        if not connection.quiet:
            quiet_since[connection] = None
        elif since is None:
            quiet_since[connection] = now
        elif not connection.own and now - since >= GRACE:
            connection.force_close()


def _may_stay(connection: DrainedConnection) -> bool:
    """Return whether draining need not wait for a connection.

    It is about the proxy itself, and nothing is under way on it or its caller reads nothing.
    """
    request = connection.request
    if request is None:
        return connection.own and connection.quiet
    return request.own and connection.flow.stuck_since is not None
