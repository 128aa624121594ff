"""Keep connections between requests, by origin; the one that was used last is used first.

| a connection | and then | is |
|---|---|---|
| carries a request | its response has been read to its end | idle |
| | its response had no content, which may come all the same | resting for half a second, then idle |
| is idle | a request comes | carrying it |
| | it is not used for 30 s, or as long as the upstream allows, or it is an hour old | closed |
| | another one to its origin has died silently, or the machine has slept | closed |
| is idle or resting | the upstream sends something, or closes | closed |
"""

import asyncio
from collections.abc import Callable, Iterable

from proxy.http.client.connection import UpstreamConnection
from proxy.model import Instant, elapsed

MAX_IDLE = 30.0
"""Seconds; shorter than what the load balancers of AWS grant."""
_ON_ITS_WAY = 1.0
"""Seconds for a response and the next request, where the upstream says for how long it keeps a connection."""
MAX_AGE = 3600.0
"""Seconds after which a connection is replaced: the name may lead to other addresses by then."""
REST = 0.5
"""Seconds. What is written right behind a head may be held back until that is acknowledged, or be sent once more."""
MOST_RESTING = 128
"""Connections: each is one more than there are callers, and takes a file descriptor."""
_UNTIDY = 3600.0
"""Seconds for which no connection to an origin rests, once one sent content behind a head that had none."""
_IN_USE = 0.1
"""Seconds since its last exchange within which a connection has not been idle."""
_SLEEP = 5.0
"""Seconds that the loop's clock, which stands still meanwhile, is behind the others after the machine has slept."""


class ConnectionPool:
    """Keeps connections between two requests, as their `Owner`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], Instant], silence: float) -> None:
        """`now` reads clocks that go on while the machine sleeps.

        A connection is dead when nothing was heard of its other end for `silence` seconds.
        """
        self._silence = silence
        self.connections: set[UpstreamConnection] = set()
        self._idle: dict[str, list[UpstreamConnection]] = {}
        self._resting: set[UpstreamConnection] = set()
        self._untidy: dict[str, float] = {}
        self._loop = loop
        self._now = now
        self._looked = now(), loop.time()

    def add(self, connection: UpstreamConnection) -> None:
        """Have a new connection looked after."""
        if connection.usable:
            self.connections.add(connection)

    def take(self, origin: str, *, repeatable: bool) -> UpstreamConnection | None:
        """Take an idle connection to `origin` that the upstream has neither closed nor written to.

        The event loop learns of that late: a request that must not be sent twice would fail, and any other one would
        take a last 408 for its own response. So the socket is asked, which is a system call. It is left out for a
        connection that was in use a moment ago and a `repeatable` request, which can be sent again.
        """
        idle = self._idle.get(origin)
        if not idle:
            return None
        now = self._loop.time()
        while idle:
            connection = idle.pop()
            if connection.idle_until <= now:
                connection.abort()
            elif repeatable and now - connection.idle_since < _IN_USE:
                # `begin` finds out what the event loop knows of it.
                return connection
            elif connection.usable:
                if not (self._has_slept(now) or connection.has_input()):
                    return connection
                connection.abort()
        return None

    def check(self, now: float) -> None:
        """Give up exchanges that are late, and close connections that are not to be used any more."""
        for connection in tuple(self.connections):
            connection.check(now, self._silence)
        self._has_slept(now)
        for idle in self._idle.values():
            late = [connection for connection in idle if connection.idle_until <= now]
            for connection in late:
                idle.remove(connection)
                connection.abort()

    def close(self) -> None:
        _abort(tuple(self.connections))

    # What connections call.

    def put(self, connection: UpstreamConnection, *, rests: bool) -> None:
        now = self._loop.time()
        connection.rests = rests
        if not rests:
            self._keep(connection, now)
        elif self._untidy.get(connection.origin, 0.0) > now or len(self._resting) >= MOST_RESTING:
            connection.abort()
        else:
            self._resting.add(connection)
            self._loop.call_later(REST, self._wake, connection)

    def lost(self, connection: UpstreamConnection, *, silently: bool) -> None:
        self.connections.discard(connection)
        self._resting.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle and connection in idle:
            idle.remove(connection)
        if silently:
            # A router that has forgotten one of them, say, has forgotten the others as well.
            self._drop(connection.origin)

    def spoke(self, connection: UpstreamConnection) -> None:
        if connection.rests:
            self._untidy[connection.origin] = self._loop.time() + _UNTIDY
            self._drop(connection.origin)

    def _keep(self, connection: UpstreamConnection, now: float) -> None:
        connection.idle_since = now
        until = now + MAX_IDLE
        allowed = connection.allowance
        if allowed <= MAX_IDLE + _ON_ITS_WAY:
            until = now + max(allowed - _ON_ITS_WAY, allowed / 2)
        until = min(until, connection.made + MAX_AGE)
        if until <= now:
            connection.abort()
            return
        connection.idle_until = until
        idle = self._idle.get(connection.origin)
        if idle is None:
            idle = self._idle[connection.origin] = []
        idle.append(connection)

    def _wake(self, connection: UpstreamConnection) -> None:
        """Let a connection that has rested be used again."""
        if connection not in self._resting:
            return
        self._resting.discard(connection)
        if connection.has_input():
            connection.abort()
        elif connection.usable:
            self._keep(connection, self._loop.time())

    def _has_slept(self, now: float) -> bool:
        """Return whether the machine has slept since the last look; the idle connections are closed then."""
        before, looked = self._looked
        instant = self._now()
        self._looked = instant, now
        slept = elapsed(before, instant) - (now - looked) > _SLEEP
        if slept:
            for origin in {connection.origin for connection in self.connections}:
                self._drop(origin)
        return slept

    def _drop(self, origin: str) -> None:
        """Close the connections to `origin` that carry no request."""
        resting = [connection for connection in self._resting if connection.origin == origin]
        self._resting.difference_update(resting)
        idle = self._idle.get(origin, [])
        _abort([*idle, *resting])
        idle.clear()


def _abort(connections: Iterable[UpstreamConnection]) -> None:
    for connection in connections:
        connection.abort()
