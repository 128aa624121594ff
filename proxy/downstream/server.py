"""Accepting connections, watching over them, and letting them come to their end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.downstream.caller import Caller
from proxy.downstream.connection import Connection
from proxy.errors import ProxyError

_TICK = 1.0
"""Seconds between two looks at slow callers, at most."""
_SURPLUS = 64
"""Connections beyond the limit that are told so; any more are closed at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What callers may take. Durations in seconds."""

    connections: int
    head: float
    """For the head of a request to arrive."""
    idle: float
    """For content to move, in either direction."""


class Server(web.Server):
    """Accepts connections and hands each request to `handle` as a Caller."""

    def __init__(
        self,
        handle: Callable[[Caller], Awaitable[None]],
        refuse: Callable[[Caller, ProxyError], None],
        limits: Limits,
        **options: Any,
    ) -> None:
        """`handle` answers a request, `refuse` what cannot be read as one."""
        super().__init__(
            _unused,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            keepalive_timeout=0,  # connections look after that by themselves
            **options,
        )
        self.refuse = refuse
        self._handle = handle
        self._limits = limits
        self._callers: set[Caller] = set()
        self.draining = False
        self._empty = asyncio.Event()
        self._tick = min(_TICK, limits.head / 4, limits.idle / 4)
        self._ticker = self._loop.call_later(self._tick, self._watch)

    def __call__(self) -> RequestHandler:
        return Connection(self, self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        surplus = len(self._connections) - self._limits.connections
        if surplus > _SURPLUS:
            transport.abort()
        elif surplus > 0 and isinstance(handler, Connection):
            handler.surplus = True

    def _watch(self) -> None:
        now = self._loop.time()
        for connection in self.connections:
            if isinstance(connection, Connection):
                connection.check_progress(now, head=self._limits.head, idle=self._limits.idle)
        self._ticker = self._loop.call_later(self._tick, self._watch)

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return len(self._callers)

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109
        """Close idle connections and let every request come to its end; False where `timeout` s were not enough."""
        self.draining = True
        for connection in self.connections:
            if isinstance(connection, Connection) and connection.idle:
                connection.force_close()
        if not self._callers:
            return True
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def cut_off(self) -> None:
        """Break the connections of the requests that are still being answered, and close all others."""
        self._ticker.cancel()
        for caller in tuple(self._callers):
            caller.abort()
        # Not 0, which aiohttp takes for "without end".
        await self.shutdown(0.1)

    async def answer(self, caller: Caller) -> None:
        """Have one request answered."""
        self._callers.add(caller)
        try:
            await self._handle(caller)
        finally:
            self._callers.discard(caller)
            if self.draining and not self._callers:
                self._empty.set()


async def _unused(request: web.BaseRequest) -> web.StreamResponse:
    raise RuntimeError("a Connection answers by itself")
