"""One request and the way back. Answers are written byte for byte, with back-pressure and a way to break off."""

import asyncio
import socket
import struct
from contextlib import suppress
from http import HTTPStatus

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, StreamReader, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from proxy.errors import BadRequest
from proxy.headers import field_lines, to_caller
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
        "_connection",
        "_head",
        "_http11",
        "_keep_alive",
        "_transport",
        "_tunnel",
        "chunked",
        "content",
        "headers",
        "method",
        "received",
        "sent",
        "status",
        "target",
    )

    def __init__(
        self, connection: RequestHandler, message: RawRequestMessage, content: StreamReader, *, closing: bool
    ) -> None:
        """`closing`: this is the last request that its connection may carry."""
        self.method: str = message.method
        self.target: str = message.path
        self.headers: tuple[Header, ...] = message.raw_headers
        self.content = content
        self.status = 0
        """Of the answer; 0 before it began."""
        self.received = 0
        self.sent = 0
        """Bytes of content, in each direction."""
        self.chunked: bool = message.chunked
        """Whether the request's content comes in chunks."""
        self._connection = connection
        self._transport = connection.transport
        # Behind what might have become a tunnel, aiohttp reads no more requests.
        self._keep_alive = not (message.should_close or message.upgrade or closing)
        self._http11 = message.version >= HttpVersion11
        self._chunked = False
        self._bodiless = False
        self._head: bytes | None = None
        self._tunnel: Tunnel | None = None

    # The request.

    @property
    def has_body(self) -> bool:
        """Whether the request's framing announces content (RFC 9112 section 6)."""
        return self.content is not EMPTY_PAYLOAD

    def at_hand(self) -> bytes | None:
        """The whole of the content if all of it has arrived, else None. To be asked before `read`."""
        content = self.content
        if not content.is_eof():
            return None
        data = content.read_nowait()
        self.received += len(data)
        return data

    async def read(self) -> bytes:
        """The next piece of the request's content, empty at its end. May be cancelled and called again."""
        try:
            chunk = await self.content.readany()
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
        if self._connection.writing_paused:
            await self._connection._drain_helper()

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
        self._tunnel = Tunnel(self._transport)
        self._connection.set_parser(self._tunnel)  # type: ignore[arg-type]  # made for its WebSockets

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

    def _cancel(self, error: BaseException) -> None:
        """aiohttp's word to a request whose connection was lost."""
        self.content.set_exception(error)

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


def _head(status: int, reason: bytes, headers: Headers) -> bytes:
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, field_lines(headers))


def _has_length(headers: Headers) -> bool:
    return b"content-length" in [name.lower() for name, _ in headers]


class Tunnel:
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
