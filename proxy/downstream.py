"""The caller's side of a request, on top of aiohttp's server; only this module and `app.py` know that server.

aiohttp reads requests; answers are written here, byte for byte, because its own response classes add headers, decide on
the framing and cannot break off in a way that the caller notices.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from proxy.errors import BadRequest
from proxy.headers import to_caller
from proxy.model import Header, Headers
from proxy.problem import Answer

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_BODILESS = (HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_JOINED = 64 * 1024
"""Bytes up to which copying content behind its head is cheaper than a write of its own."""
_TUNNEL_HIGH_WATER = 256 * 1024


class Caller:
    """One request and the way back to whoever sent it."""

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_head",
        "_http11",
        "_keep_alive",
        "_request",
        "_transport",
        "_tunnel",
        "headers",
        "method",
        "received",
        "sent",
        "status",
        "target",
    )

    def __init__(self, request: web.BaseRequest, *, closing: bool) -> None:
        """`closing`: this is the last request that its connection may carry."""
        message = request._message
        self.method: str = message.method
        self.target: str = message.path
        self.headers: Headers = message.raw_headers
        self.status = 0
        """Of the answer; 0 before it began."""
        self.received = 0
        self.sent = 0
        """Bytes of content, in each direction."""
        self._request = request
        self._transport = request.transport
        # Behind what might have become a tunnel, aiohttp reads no more requests.
        self._keep_alive = not (message.should_close or message.upgrade or closing)
        self._http11 = message.version >= HttpVersion11
        self._chunked = False
        self._bodiless = False
        self._head: bytes | None = None
        self._tunnel: _Tunnel | None = None

    # The request.

    @property
    def has_body(self) -> bool:
        """Whether the request's framing announces content (RFC 9112 section 6)."""
        return self._request.body_exists

    @property
    def chunked(self) -> bool:
        """Whether its content comes in chunks."""
        return self._request._message.chunked

    def at_hand(self) -> bytes | None:
        """The whole of the content if all of it has arrived, else None. To be asked before `read`."""
        content = self._request.content
        if not content.is_eof():
            return None
        data = content.read_nowait()
        self.received += len(data)
        return data

    async def read(self) -> bytes:
        """The next piece of the request's content, empty at its end. May be cancelled and called again."""
        try:
            chunk = await self._request.content.readany()
        except web.RequestPayloadError:
            # Nobody knows where the next request would begin.
            self._keep_alive = False
            raise BadRequest("the request's content is malformed", hint="Check its chunks or length.") from None
        self.received += len(chunk)
        return chunk

    # The answer.

    def inform(self, status: int, reason: bytes, headers: Headers) -> None:
        """Pass on a 1xx answer (RFC 9110 section 15.2), which HTTP/1.0 does not know."""
        if self._http11 and not self.status:
            self._send(_head(status, reason, to_caller(headers)))

    def begin(self, status: int, reason: bytes, headers: list[Header]) -> None:
        """Make ready the head of the answer, which goes out with the first `write` or `finish`.

        Framing is decided here: a Content-Length among `headers`, chunks, or the end of the connection.
        """
        self.status = status
        self._bodiless = self.method == "HEAD" or status in _BODILESS
        lines = headers
        if not self._bodiless and not _has_length(headers):
            if self._http11:
                self._chunked = True
                lines = [*lines, (b"Transfer-Encoding", b"chunked")]
            else:
                self._keep_alive = False
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            self._keep_alive = False
        elif not self._keep_alive:
            lines = [*lines, (b"Connection", b"close")]
        elif not self._http11:
            lines = [*lines, (b"Connection", b"keep-alive")]
        self._head = _head(status, reason, lines)

    def write(self, data: bytes) -> None:
        """Send a piece of content, perhaps none; `drain` before the next."""
        if self._bodiless or not data:
            self._send(b"")
            return
        self.sent += len(data)
        self._send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def drain(self) -> None:
        """Wait where the caller reads slower than the upstream sends."""
        await self._request.writer.drain()

    def finish(self, data: bytes = b"", trailers: Headers = ()) -> None:
        """Send the last of the content and the end of the answer."""
        if self._bodiless:
            data = b""
        self.sent += len(data)
        if self._chunked:
            end = b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % line for line in trailers])
            data = b"%x\r\n%b\r\n%b" % (len(data), data, end) if data else end
        self._send(data)

    def abort(self) -> None:
        """Break the connection, so that a partial answer cannot pass for a whole one."""
        self._keep_alive = False
        self._head = None
        transport = self._transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            # Without Content-Length or chunks an orderly end would look like the end of the content.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def answer(self, answer: Answer) -> None:
        """Send a whole answer that this proxy made."""
        self.begin(answer.status, HTTPStatus(answer.status).phrase.encode(), list(answer.headers))
        self.finish(answer.body)

    # A tunnel, after an answer of 101.

    def open_tunnel(self) -> None:
        """From here on `read_tunnel` has what the caller sends, as it is."""
        self._bodiless = False  # the 101 has no content, the tunnel behind it has
        self._tunnel = _Tunnel(self._transport)
        self._request.protocol.set_parser(self._tunnel)  # type: ignore[arg-type]  # made for its WebSockets

    async def read_tunnel(self) -> bytes:
        """The next bytes, empty when the caller will send no more."""
        if self._tunnel is None:
            return b""
        data = await self._tunnel.read()
        self.received += len(data)
        return data

    def close_tunnel(self) -> None:
        """The upstream will send no more."""
        transport = self._transport
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            with suppress(OSError):  # reset a moment ago
                transport.write_eof()

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request."""
        return self._keep_alive

    def _send(self, data: bytes) -> None:
        transport = self._transport
        head = self._head
        if transport is None or transport.is_closing():
            return
        if head is not None:
            self._head = None
            if len(data) > _JOINED:
                transport.write(head)
            else:
                data = head + data
        if data:
            transport.write(data)


def _head(status: int, reason: bytes, headers: Iterable[Header]) -> bytes:
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, b"".join([b"%b: %b\r\n" % line for line in headers]))


def _has_length(headers: Iterable[Header]) -> bool:
    return b"content-length" in [name.lower() for name, _ in headers]


class _Tunnel:
    """What a caller sends once HTTP is over: the parser that aiohttp hands the bytes to."""

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport
        self._data = bytearray()
        self._ended = False
        self._arrived = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._data += data
        if len(self._data) > _TUNNEL_HIGH_WATER and self._transport is not None:
            self._transport.pause_reading()
        self._arrived.set()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._arrived.set()

    async def read(self) -> bytes:
        await self._arrived.wait()
        data = bytes(self._data)
        if len(data) > _TUNNEL_HIGH_WATER and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._data.clear()
        if not self._ended:
            self._arrived.clear()
        return data


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
        server = self._manager
        if isinstance(server, Server):
            server.refuse_malformed(Caller(request, closing=True))
        return _DONE[False]

    def data_received(self, data: bytes) -> None:
        """Malformed content must end the request that it belongs to; aiohttp would let it wait for more."""
        super().data_received(data)
        request = self._current_request
        if request is not None and self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            request.content.set_exception(web.RequestPayloadError("malformed content"))
            self._lingering_time = 0.0  # nor read on, and log what it then meets as a defect

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature: whether to stay open
        tunnel = self._payload_parser
        if isinstance(tunnel, _Tunnel):
            tunnel.feed_eof()
            return True
        return False


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
            self._receive,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            **options,
        )
        self.refuse_malformed = refuse_malformed
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
