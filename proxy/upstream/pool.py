"""Idle connections by origin, the one used last first."""

import asyncio

from proxy.upstream.connection import Connection

MAX_IDLE = 30.0
"""Seconds; shorter than what the load balancers of AWS grant."""
_IN_USE = 0.1
"""Seconds since its last exchange within which a connection has not been idle."""


class Pool:
    """Keeps connections between two requests."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}
        self._loop = asyncio.get_running_loop()

    def take(self, origin: str, *, repeatable: bool) -> Connection | None:
        """An idle connection to `origin` that the upstream has neither closed nor written to a moment ago.

        The event loop hears of that late: a request that must not be sent twice would fail, and any other would take
        a parting word such as 408 for its own answer. To ask the socket is a system call: one that was in use a moment
        ago has no reason for a parting word, and a `repeatable` request can be sent again.
        """
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if repeatable and self._loop.time() - connection.idle_since < _IN_USE:
                # `begin` finds out what the event loop knows of it.
                return connection
            if connection.usable:
                if not connection.has_input():
                    return connection
                connection.abort()
        return None

    def put(self, connection: Connection) -> None:
        connection.idle_since = self._loop.time()
        idle = self._idle.get(connection.origin)
        if idle is None:
            idle = self._idle[connection.origin] = []
        idle.append(connection)

    def discard(self, connection: Connection) -> None:
        """Forget a connection that was lost."""
        idle = self._idle.get(connection.origin)
        if idle and connection in idle:
            idle.remove(connection)

    def prune(self, now: float) -> None:
        """Close what nobody has used for a while."""
        for idle in self._idle.values():
            while idle and now - idle[0].idle_since > MAX_IDLE:
                idle.pop(0).abort()
