"""The caller's side of a request, on top of aiohttp's server; only this module and `app.py` know that server.

aiohttp reads requests; answers are written here, byte for byte, because its own response classes add headers, decide on
the framing and cannot break off in a way that the caller notices.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_protocol import RequestHandler

from proxy.errors import BadRequest
from proxy.model import Header, Headers
from proxy.problem import Answer, error_answer

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Caller:
    """One request and the way back to whoever sent it."""

    def __init__(self, request: web.BaseRequest, *, closing: bool) -> None:
        """`closing`: this is the last request that its connection may carry."""
        self.method = request.method
        self.target = request.raw_path
        self.headers: Headers = request.raw_headers
        self.status = 0
        """Of the answer; 0 before it began."""
        self.received = 0
        self.sent = 0
        """Bytes of body, in each direction."""
        self._request = request
        self._transport = request.transport
        self._keep_alive = request.keep_alive and not closing
        self._http11 = request.version >= HttpVersion11
        self._expects_continue = request.headers.get("Expect", "").lower() == "100-continue" and self._http11
        self._chunked = False
        self._bodiless = False
        self._held_head: bytes | None = None
        self._flush: asyncio.Handle | None = None

    @property
    def has_body(self) -> bool:
        """Whether the request's framing announces content (RFC 9112 section 6)."""
        return self._request.body_exists

    async def read(self) -> bytes:
        """The next piece of the request's content, empty at its end. May be cancelled and called again."""
        if self._expects_continue:
            # Only now does somebody want the content (RFC 9110 section 10.1.1).
            self._expects_continue = False
            if self.status == 0:
                self._write(_CONTINUE)
        chunk = await self._request.content.readany()
        self.received += len(chunk)
        return chunk

    def begin(self, status: int, reason: bytes, headers: list[Header]) -> None:
        """Send the head of the answer. Framing is decided here: a Content-Length among `headers`, chunks, or the end.

        It goes out together with content that is at hand at once, by itself otherwise.
        """
        self.status = status
        self._bodiless = self.method == "HEAD" or status in _BODILESS
        if not self._bodiless and all(name.lower() != b"content-length" for name, _ in headers):
            self._chunked = self._http11
            self._keep_alive = self._keep_alive and self._http11
        lines = [b"HTTP/1.1 %d %b" % (status, reason), *(b"%b: %b" % line for line in headers)]
        if self._chunked:
            lines.append(b"Transfer-Encoding: chunked")
        if not self._keep_alive:
            lines.append(b"Connection: close")
        elif not self._http11:
            lines.append(b"Connection: keep-alive")
        self._held_head = b"\r\n".join((*lines, b"", b""))
        self._flush = asyncio.get_running_loop().call_soon(self._write, b"")

    async def write(self, chunk: bytes) -> None:
        """Send a piece of content; waits where the caller reads slower than the upstream sends."""
        if not chunk or self._bodiless:
            return
        self.sent += len(chunk)
        self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)
        writer = self._request.writer
        await writer.drain()

    def end(self) -> None:
        """The answer is whole."""
        self._write(b"0\r\n\r\n" if self._chunked else b"")

    def abort(self) -> None:
        """Break the connection, so that a partial answer cannot pass for a whole one."""
        self._keep_alive = False
        self._cancel_flush()
        transport = self._transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            # Without Content-Length or chunks an orderly end would look like the end of the content.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    async def answer(self, answer: Answer) -> None:
        """Send a whole answer that this proxy made."""
        self.begin(answer.status, HTTPStatus(answer.status).phrase.encode(), list(answer.headers))
        await self.write(answer.body)
        self.end()

    @property
    def keep_alive(self) -> bool:
        return self._keep_alive

    def _write(self, data: bytes) -> None:
        if self._held_head is not None:
            self._cancel_flush()
            data = self._held_head + data
            self._held_head = None
        transport = self._transport
        if data and transport is not None and not transport.is_closing():
            transport.write(data)

    def _cancel_flush(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None


class _Done(web.StreamResponse):
    """Tells aiohttp that the answer has been written already."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keeps_alive = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._keeps_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        pass


_DONE = {keep_alive: _Done(keep_alive=keep_alive) for keep_alive in (True, False)}


class _Connection(RequestHandler):
    """A connection whose unparsable requests are answered as this proxy answers everything."""

    __slots__ = ()

    @property
    def idle(self) -> bool:
        """Whether no request is being answered or waits for it."""
        return self._current_request is None and not self._messages

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp's own page would echo the offending bytes, and its log line would hold them."""
        answer = error_answer(BadRequest("this is not an HTTP/1.1 request that this proxy accepts"), graphql=False)
        caller = Caller(request, closing=True)
        caller.begin(answer.status, HTTPStatus(answer.status).phrase.encode(), list(answer.headers))
        caller._write(answer.body)
        return _DONE[False]


class Server(web.Server):
    """Accepts connections and hands each request to `handle` as a Caller."""

    def __init__(self, handle: Callable[[Caller], Awaitable[None]], **options: Any) -> None:
        super().__init__(
            self._receive,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            **options,
        )
        self._handle = handle
        self._callers: set[Caller] = set()
        self._draining = False
        self._empty = asyncio.Event()

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return len(self._callers)

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109
        """Close idle connections and let every request come to its end; False where `timeout` s were not enough."""
        self._draining = True
        for connection in self.connections:
            if isinstance(connection, _Connection) and connection.idle:
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

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        caller = Caller(request, closing=self._draining)
        self._callers.add(caller)
        try:
            await self._handle(caller)
        finally:
            self._callers.discard(caller)
            if self._draining and not self._callers:
                self._empty.set()
        return _DONE[caller.keep_alive and not self._draining]
