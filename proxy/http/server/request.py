"""Read the content of one request, and write its response: byte for byte, with back-pressure and a way to break off."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Protocol

from proxy.errors import RequestError
from proxy.http.grammar import SWITCHING_PROTOCOLS, Fields, RequestHead, chunk, chunked_content, field_lines
from proxy.http.grammar.fields import Headers
from proxy.http.response import Response
from proxy.http.server.body import NO_BODY, IncomingBody
from proxy.http.server.flow import Flow
from proxy.http.sockets import socket_of

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_BODILESS = (SWITCHING_PROTOCOLS, 204, 304)
_JOINED = 64 * 1024
"""Bytes up to which copying content behind its head is cheaper than a write of its own."""


class CallerLink(Protocol):
    """Carries a request, and its response."""

    flow: Flow
    transport: asyncio.Transport | None
    secure: bool
    """It is encrypted."""

    @property
    def ending(self) -> bool:
        """Whether the response to the current request is to be the last."""

    def open_tunnel(self) -> IncomingBody:
        """Leave HTTP; return what the caller sends from now on."""


class ServerRequest:
    """Holds one request, and writes its response."""

    head = RequestHead("-", "-", 1, Fields(b""))
    """The head of the request; this one where none could be read."""
    method = head.method
    status: int = 0
    """The status of the response; 0 before it began."""
    over_limit = False
    """It came on a connection too many."""
    own = False
    """It is about the proxy itself."""
    refused = False
    """It was not let in."""
    received = 0
    sent = 0
    """Bytes of content, in each direction."""
    answer_head = b""
    """The head of the response as it goes out; empty before it began."""
    own_content = b""
    """The content of a response that this proxy made."""
    _http11 = True
    _chunked = False
    _bodiless = False
    _unsent: bytes | None = None
    """The head of the response, until it goes out."""
    _tunnel: IncomingBody | None = None

    def __init__(self, connection: CallerLink, head: RequestHead | None, body: IncomingBody, *, closing: bool) -> None:
        """`head` is None where none could be read; `closing`: the connection may carry no other request."""
        self._connection = connection
        self._flow = connection.flow
        self._transport = connection.transport
        self._body = body
        self.keep_alive = False
        if head is not None:
            self.head = head
            self.method = head.method
            self._http11 = head.minor == 1
            # Behind what might have become a tunnel, no more requests are read.
            self.keep_alive = head.fields.persistent and not (closing or head.fields.upgrade)

    # The request.

    @property
    def secure(self) -> bool:
        """Whether it came by HTTPS."""
        return self._connection.secure

    @property
    def has_content(self) -> bool:
        """Whether the request's framing announces content (RFC 9112 section 6)."""
        return self._body is not NO_BODY

    def at_hand(self) -> bytes | None:
        """Take the whole content if all of it has arrived, else None. To be called before `read`."""
        data = self._body.at_hand()
        if data is not None:
            self.received += len(data)
        return data

    async def read(self) -> bytes:
        """Wait for the next piece of the request's content, empty at its end. May be cancelled and called again.

        Raises RequestError where it is malformed or late, and ConnectionError where the caller has gone.
        """
        try:
            data = await self._body.read()
        except RequestError as error:
            # It is unknown where the next request would begin.
            self.keep_alive = False
            raise error.again() from None
        self.received += len(data)
        return data

    def trailers(self) -> Headers:
        """Return the trailer section of the request, once all of its content has been read."""
        return self._body.trailers

    # The response.

    def inform(self, status: int, reason: bytes, section: bytes) -> None:
        """Send a 1xx response (RFC 9110 section 15.2), which HTTP/1.0 does not know; `section` as for `begin`."""
        if self._http11 and not self.status:
            self._send(_head(status, reason, section))

    def begin(self, status: int, reason: bytes, section: bytes, *, sized: bool) -> None:
        """Make ready the head of the response, which goes out with the first `write` or `finish`.

        `section` are its field lines on the wire; `sized` where a Content-Length is among them. Else chunks, or the end
        of the connection, show where the content ends.
        """
        self.status = status
        if self._connection.ending:
            self.keep_alive = False
        self._bodiless = self.method == "HEAD" or status in _BODILESS
        if not sized and not self._bodiless:
            if self._http11:
                self._chunked = True
                section += b"Transfer-Encoding: chunked\r\n"
            else:
                self.keep_alive = False
        if status == SWITCHING_PROTOCOLS:
            self.keep_alive = False
        elif not self.keep_alive:
            section += b"Connection: close\r\n"
        elif not self._http11:
            section += b"Connection: keep-alive\r\n"
        self.answer_head = self._unsent = _head(status, reason, section)

    def write(self, data: bytes) -> None:
        """Send a piece of content, perhaps none; `drain` before the next."""
        if self._bodiless or not data:
            self._send(b"")
            return
        self.sent += len(data)
        self._send(chunk(data) if self._chunked else data)

    async def drain(self) -> None:
        """Wait where the caller reads slower than the upstream sends."""
        if self._flow.stuck_since is not None:
            await self._flow.drained()

    def finish(self, data: bytes = b"", trailers: Headers = ()) -> None:
        """Send the last of the content and the end of the response."""
        if self._bodiless:
            data = b""
        self.sent += len(data)
        if self._chunked:
            data = chunked_content(data, trailers)
        self._send(data, soon=self.keep_alive)

    def close(self) -> None:
        """Make this the last response of its connection."""
        self.keep_alive = False

    def abort(self) -> None:
        """Break the connection, so that a partial response cannot pass for a whole one."""
        self.keep_alive = False
        self._unsent = None
        transport = self._transport
        if transport is None:
            return
        self._flow.flush()
        sock = socket_of(transport)
        if sock is not None and sock.family != socket.AF_UNIX:
            # Without Content-Length or chunks an orderly end would look like the end of the content.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def answer(self, response: Response) -> None:
        """Send a whole response that this proxy made."""
        self.own_content = response.body
        self.begin(response.status, _phrase(response.status), field_lines(response.headers), sized=True)
        self.finish(response.body)

    async def stream(self, response: Response, pieces: AsyncGenerator[bytes, None]) -> None:
        """Send a response of this proxy's whose content comes in pieces, as fast as the caller takes them."""
        async with aclosing(pieces):
            self.begin(response.status, _phrase(response.status), field_lines(response.headers), sized=False)
            if not self._bodiless:
                async for piece in pieces:
                    self.write(piece)
                    await self.drain()
            self.finish()

    # A tunnel, after a response of 101.

    def open_tunnel(self) -> None:
        """Leave HTTP: from here on `read_tunnel` has what the caller sends, as it is."""
        self._bodiless = False  # the 101 has no content, the tunnel behind it has
        self._tunnel = self._connection.open_tunnel()

    async def read_tunnel(self) -> bytes:
        """Wait for the next bytes, empty when the caller will send no more."""
        if self._tunnel is None:
            return b""
        data = await self._tunnel.read()
        self.received += len(data)
        return data

    def close_tunnel(self) -> None:
        """End the direction towards the caller: the upstream will send no more."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not transport.can_write_eof():
            # With TLS an end is always that of both directions.
            transport.close()
            return
        with suppress(OSError):  # reset a moment ago
            transport.write_eof()

    def _send(self, data: bytes, *, soon: bool = False) -> None:
        transport = self._transport
        head = self._unsent
        if transport is None or transport.is_closing():
            return
        if head is not None:
            self._unsent = None
            if len(data) > _JOINED:
                self._flow.send(head)
            else:
                data = head + data
        if data:
            self._flow.send(data, soon=soon)


def _phrase(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode()


def _head(status: int, reason: bytes, section: bytes) -> bytes:
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, section)
