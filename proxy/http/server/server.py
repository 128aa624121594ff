"""Accepting connections, watching over them, and letting them come to their end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from proxy.errors import ProxyError
from proxy.http.batching import WriteBatcher
from proxy.http.buffers import Buffers
from proxy.http.server.connection import CallerConnection
from proxy.http.server.peers import there
from proxy.http.server.request import ServerRequest

_TICK = 1.0
"""Seconds between two looks at slow callers, at most."""
_SURPLUS = 64
"""Connections beyond the limit that are told so; any more are closed at once."""
GRACE = 1.0
"""Seconds of the draining for which a connection without a request may still bring one: it may be on its way."""
_SWEEP = 0.05
_LOOK = 0.05
"""Seconds after which a caller who sends no more is looked for: a socket is closed in two steps."""
_LOOK_AGAIN = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """What callers may take. Durations in seconds."""

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
        """Every connection, with the loop's time since which it has been quiet while the proxy drains."""
        self.answer = handle
        self.refuse = refuse
        self._limits = limits
        self.buffers = buffers
        self.batcher = WriteBatcher(self._event_loop.call_soon)
        self.draining = False
        """Answers are the last of their connections."""
        self._left = asyncio.Event()
        """A connection has ended."""
        self._half_closed: set[CallerConnection] = set()
        self._looking: asyncio.TimerHandle | None = None
        """For the callers of those connections."""
        self._tick = min(_TICK, limits.head / 4, limits.idle / 4)
        self._ticker = self._event_loop.call_later(self._tick, self._watch)

    def __call__(self) -> CallerConnection:
        return CallerConnection(self, self, self._event_loop)

    def opened(self, connection: CallerConnection) -> None:
        """A caller has connected."""
        self._open[connection] = None
        over_limit = len(self._open) - self._limits.connections
        if over_limit > _SURPLUS and connection.transport is not None:
            connection.transport.abort()
        elif over_limit > 0:
            connection.over_limit = True

    def half_closed(self, connection: CallerConnection) -> None:
        """A caller sends no more, and may have gone."""
        self._half_closed.add(connection)
        if self._looking is None:
            self._looking = self._event_loop.call_later(_LOOK, self._look_for_callers)

    def closed(self, connection: CallerConnection) -> None:
        """A connection has ended."""
        self._open.pop(connection, None)
        self._half_closed.discard(connection)
        self._left.set()

    def _watch(self) -> None:
        now = self._event_loop.time()
        for connection in tuple(self._open):
            connection.check_progress(now, head=self._limits.head, idle=self._limits.idle)
        self._ticker = self._event_loop.call_later(self._tick, self._watch)

    def _look_for_callers(self) -> None:
        """Break off what is done for callers who have gone: all of them at once, since a look takes a while."""
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
        """Connections that are open."""
        return len(self._open)

    @property
    def in_flight(self) -> int:
        """Requests that are being answered, but for those about the proxy itself."""
        return sum(not caller.own for caller in self._callers())

    def _callers(self) -> list[ServerRequest]:
        """Those whose requests are being answered."""
        return [connection.caller for connection in self._open if connection.caller is not None]

    def begin_draining(self) -> None:
        """From now on tell callers with every answer to move on; requests are answered as before."""
        self.draining = True
        now = self._event_loop.time()
        self._open = dict.fromkeys(self._open, now)

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109
        """Let every request, and every connection, come to its end within `timeout` s, once nobody new is let in.

        A connection without a request is closed when it has been quiet for GRACE seconds of the draining: nothing but
        an answer can tell its caller to send no more. One whose last request was about the proxy itself is left open
        until `cut_off`: by its end, whoever had the proxy stop learns that it has.
        """
        time = self._event_loop.time
        end = time() + timeout
        while not all(map(_lingers, self._open)) and (left := end - time()) > 0:
            self._close_quiet(time())
            self._left.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _SWEEP)):
                    await self._left.wait()

    def _close_quiet(self, now: float) -> None:
        for connection, since in tuple(self._open.items()):
            if not connection.quiet:
                self._open[connection] = None
            elif since is None:
                self._open[connection] = now
            elif not connection.own and now - since >= GRACE:
                connection.force_close()

    async def cut_off(self) -> None:
        """Break the connections of the requests that are still being answered, and close all others."""
        self._ticker.cancel()
        if self._looking is not None:
            self._looking.cancel()
        for caller in self._callers():
            caller.abort()
        # Not 0, which aiohttp takes for "without end".
        await self.shutdown(0.1)


def _lingers(connection: CallerConnection) -> bool:
    """Whether the end does not wait for a connection: it was asked about the proxy itself, or takes no such answer."""
    caller = connection.caller
    if caller is None:
        return connection.own and connection.quiet
    return caller.own and connection.flow.stuck_since is not None


async def _unused(request: web.BaseRequest) -> web.StreamResponse:
    raise RuntimeError("a CallerConnection answers by itself")
