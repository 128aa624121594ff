"""Accepting connections and reading requests: aiohttp's protocol and llhttp, with a request loop of our own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import ERROR, RequestHandler

from proxy.downstream.caller import Caller, Tunnel


class Connection(RequestHandler):
    """A caller's connection.

    aiohttp's own loop makes a task, a request object, a writer and a response object for every request, and answers
    what is malformed with the offending bytes. This one makes a `Caller`.
    """

    __slots__ = ()

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
        while not self._force_close:
            if not self._messages:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            message, content = self._messages.popleft()
            self._make_room()
            if not isinstance(message, RawRequestMessage):
                server.refuse_malformed(Caller(self, ERROR, content, closing=True))
                break
            caller = Caller(self, message, content, closing=server.draining)
            self._current_request = caller  # type: ignore[assignment]  # of which aiohttp wants `_cancel` alone
            try:
                await server.answer(caller)
            finally:
                self._current_request = None
            if not content.is_eof():
                await self._linger(content)
            if not caller.keep_alive or server.draining or self._close:
                break
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            if self._keepalive_handle is None:
                self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def data_received(self, data: bytes) -> None:
        """Malformed content must end the request that it belongs to; aiohttp would let it wait for more."""
        super().data_received(data)
        caller = self._current_request
        if caller is not None and self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            caller._cancel(web.RequestPayloadError("malformed content"))

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature: whether to stay open
        tunnel = self._payload_parser
        if isinstance(tunnel, Tunnel):
            tunnel.feed_eof()
            return True
        return False

    def _make_room(self) -> None:
        """Let the parser go on, which stops when too many requests wait."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    async def _linger(self, content: StreamReader) -> None:
        """Read on for a while what was not wanted: a reset could overtake the answer (RFC 9112 section 9.6)."""
        # An upload that was cancelled a moment ago may still be on its way out of reading.
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(self._lingering_time):
                while not content.is_eof():
                    await content.readany()
        except (TimeoutError, ConnectionError, web.RequestPayloadError):
            self.close()


class Server(web.Server):
    """Accepts connections and hands each request to `handle` as a Caller."""

    def __init__(
        self,
        handle: Callable[[Caller], Awaitable[None]],
        refuse_malformed: Callable[[Caller], None],
        **options: Any,
    ) -> None:
        """`handle` answers a request, `refuse_malformed` what cannot be read as one."""
        super().__init__(
            _unused,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            **options,
        )
        self.refuse_malformed = refuse_malformed
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
