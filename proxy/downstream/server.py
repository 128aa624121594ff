"""Accepting connections: aiohttp's protocol, with a parser and a request loop of our own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.downstream.caller import Caller
from proxy.downstream.incoming import NOTHING, Incoming, Tunnel
from proxy.downstream.parser import RequestParser
from proxy.errors import ProxyError, RequestError

_LINGER = 2.0
"""Seconds that a caller whose request could not be read has to read the answer."""


class Connection(RequestHandler):
    """A caller's connection.

    aiohttp's own loop makes a task, a request object, a writer and a response object for every request, and answers
    what is malformed with the offending bytes. This one makes a `Caller`.
    """

    __slots__ = ("_requests",)

    def __init__(self, server: "Server", **options: Any) -> None:
        super().__init__(server, **options)
        self._requests = RequestParser(self.pause_reading, self._go_on, queue_limit=self._max_msg_queue_size)
        self._parser = self._requests  # type: ignore[assignment]  # has what aiohttp asks of it

    @property
    def idle(self) -> bool:
        """Whether no request is being answered or waits for it."""
        return self._current_request is None and not self._messages

    async def start(self) -> None:
        """Answer the requests of this connection one after the other. Cancelled when the caller goes away."""
        try:
            await self._answer_requests()
        finally:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _answer_requests(self) -> None:
        server = self._manager
        assert isinstance(server, Server)  # noqa: S101 - nobody else makes one
        messages: Any = self._messages  # of our parser, not of aiohttp's
        while not self._force_close:
            if not messages:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            head, content = messages.popleft()
            if isinstance(head, ProxyError):
                server.refuse(Caller(self, None, content, closing=True), head)
                await self._linger()
                break
            self._make_room()
            caller = Caller(self, head, content, closing=server.draining)
            self._current_request = caller  # type: ignore[assignment]  # of which aiohttp wants `_cancel` alone
            try:
                await server.answer(caller)
            finally:
                self._current_request = None
            if content is not NOTHING:
                await self._read_out(content)
            if not caller.keep_alive or server.draining or self._close:
                break
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            if self._keepalive_handle is None:
                self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature: whether to stay open
        tunnel = self._payload_parser
        if isinstance(tunnel, Tunnel):
            tunnel.feed_eof()
            return True
        return False

    def _make_room(self) -> None:
        """Let the parser go on, which stops when too many requests wait."""
        self._requests.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def _go_on(self) -> None:
        self.resume_reading(resume_parser=False)

    async def _read_out(self, content: Incoming) -> None:
        """Read on for a while what was not wanted, so that the next request can be read."""
        if content.at_hand() is not None:
            return
        # An upload that was cancelled a moment ago may still be on its way out of reading.
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(self._lingering_time):
                while await content.read():
                    pass
        except (TimeoutError, ConnectionError, RequestError):
            self.close()

    async def _linger(self) -> None:
        """Wait until the caller has closed: a reset could overtake the answer (RFC 9112 section 9.6)."""
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
            # Cancelled when the connection is lost.
            await asyncio.sleep(_LINGER)


class Server(web.Server):
    """Accepts connections and hands each request to `handle` as a Caller."""

    def __init__(
        self,
        handle: Callable[[Caller], Awaitable[None]],
        refuse: Callable[[Caller, ProxyError], None],
        **options: Any,
    ) -> None:
        """`handle` answers a request, `refuse` what cannot be read as one."""
        super().__init__(
            _unused,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            **options,
        )
        self.refuse = refuse
        self._handle = handle
        self._callers: set[Caller] = set()
        self.draining = False
        self._empty = asyncio.Event()

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

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
