"""Accept callers' connections, watch over them, and let them come to their end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from proxy.errors import ProxyError
from proxy.http.batching import WriteBatcher
from proxy.http.buffers import Buffers
from proxy.http.server.answering import work_for
from proxy.http.server.connection import CallerConnection
from proxy.http.server.deadlines import check_progress
from proxy.http.server.draining import ServerState, drain
from proxy.http.server.peers import there
from proxy.http.server.request import ServerRequest

_TICK = 1.0
"""Seconds between two looks at slow callers, at most."""
_MOST_REFUSED = 64
"""Connections beyond the limit that are answered with an error; any more are closed at once."""
_LOOK = 0.05
"""Seconds after which a caller that sends no more is looked for: a socket is closed in two steps."""
_LOOK_AGAIN = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits what callers may take. Durations in seconds."""

    connections: int
    head: float
    """For the head of a request to arrive."""
    idle: float
    """For content to move, in either direction."""


class Server(web.Server):
    """Accepts connections and hands each request to `handle` as a ServerRequest."""

    def __init__(
        self,
        handle: Callable[[ServerRequest], Awaitable[None]],
        refuse: Callable[[ServerRequest, ProxyError], None],
        limits: Limits,
        buffers: Buffers,
    ) -> None:
        """`handle` answers a request, `refuse` what cannot be read as one."""
        super().__init__(_unused)
        self._event_loop = asyncio.get_running_loop()
        self._open: dict[CallerConnection, float | None] = {}
        """Every connection, and the loop's time since which it has been quiet while the proxy drains."""
        self.answer = handle
        self.refuse = refuse
        self._limits = limits
        self.buffers = buffers
        self.batcher = WriteBatcher(self._event_loop.call_soon)
        self.state = ServerState.SERVING
        self._left = asyncio.Event()
        """A connection has ended."""
        self._half_closed: set[CallerConnection] = set()
        self._looking: asyncio.TimerHandle | None = None
        """The next look for the callers of those connections."""
        self._tick = min(_TICK, limits.head / 4, limits.idle / 4)
        self._ticker = self._event_loop.call_later(self._tick, self._watch)

    def __call__(self) -> CallerConnection:
        return CallerConnection(self, self, self._event_loop, work_for)

    def opened(self, connection: CallerConnection) -> None:
        """Note a new connection, and whether it is one too many."""
        self._open[connection] = None
        over_limit = len(self._open) - self._limits.connections
        if over_limit > _MOST_REFUSED and connection.transport is not None:
            connection.transport.abort()
        elif over_limit > 0:
            connection.over_limit = True

    def half_closed(self, connection: CallerConnection) -> None:
        """Note a caller that sends no more, and may have gone."""
        self._half_closed.add(connection)
        if self._looking is None:
            self._looking = self._event_loop.call_later(_LOOK, self._look_for_callers)

    def closed(self, connection: CallerConnection) -> None:
        """Note the end of a connection."""
        self._open.pop(connection, None)
        self._half_closed.discard(connection)
        self._left.set()

    def _watch(self) -> None:
        now = self._event_loop.time()
        for connection in tuple(self._open):
            check_progress(connection, now, head=self._limits.head, idle=self._limits.idle)
        self._ticker = self._event_loop.call_later(self._tick, self._watch)

    def _look_for_callers(self) -> None:
        """Break the connections of callers that have gone: all at once, since a look takes a while."""
        self._looking = None
        transports = [
            each.transport for each in self._half_closed if each.transport and not each.transport.is_closing()
        ]
        held = there(transport.get_extra_info("socket") for transport in transports)
        for transport, is_there in zip(transports, held, strict=True):
            if not is_there:
                transport.abort()
        if self._half_closed:
            self._looking = self._event_loop.call_later(_LOOK_AGAIN, self._look_for_callers)

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._open)

    @property
    def in_flight(self) -> int:
        """How many requests are being answered, but for those about the proxy itself."""
        return sum(not request.own for request in self._requests_in_flight())

    def _requests_in_flight(self) -> list[ServerRequest]:
        return [connection.request for connection in self._open if connection.request is not None]

    def begin_draining(self) -> None:
        """Ask callers with every response to leave; requests are answered as before."""
        self.state = ServerState.LEAVING
        now = self._event_loop.time()
        self._open = dict.fromkeys(self._open, now)

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109
        """Let every request, and every connection, come to its end within `timeout` s. No new one may be let in."""
        self.state = ServerState.DRAINING
        await drain(self._open, self._left, self._event_loop.time() + timeout)

    async def cut_off(self) -> None:
        """Break the connections of the requests that are still being answered, and close all others."""
        self.state = ServerState.ENDED
        self._ticker.cancel()
        if self._looking is not None:
            self._looking.cancel()
        for request in self._requests_in_flight():
            request.abort()
        # Not 0, which aiohttp takes for "without end".
        await self.shutdown(0.1)


async def _unused(request: web.BaseRequest) -> web.StreamResponse:
    raise RuntimeError("a CallerConnection answers by itself")
