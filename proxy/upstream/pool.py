"""Idle connections by origin, the one used last first."""

import asyncio

from proxy.upstream.connection import Connection

MAX_IDLE = 30.0
"""Seconds; shorter than what the load balancers of AWS grant."""


class Pool:
    """Keeps connections between two requests."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}
        self._loop = asyncio.get_running_loop()

    def take(self, origin: str) -> Connection | None:
        """An idle connection to `origin` that the upstream has neither closed nor written to a moment ago.

        The event loop hears of that late: a request that must not be sent twice would fail, and any other would take
        a parting word such as 408 for its own answer.
        """
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable:
                if not connection.has_input():
                    return connection
                connection.abort()
        return None

    def put(self, origin: str, connection: Connection) -> None:
        connection.idle_since = self._loop.time()
        self._idle.setdefault(origin, []).append(connection)

    def discard(self, origin: str, connection: Connection) -> None:
        """Forget a connection that was lost."""
        idle = self._idle.get(origin)
        if idle and connection in idle:
            idle.remove(connection)

    def prune(self, now: float) -> None:
        """Close what nobody has used for a while."""
        for idle in self._idle.values():
            while idle and now - idle[0].idle_since > MAX_IDLE:
                idle.pop(0).abort()

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()
