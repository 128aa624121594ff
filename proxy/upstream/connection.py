"""One HTTP/1.1 connection to an upstream: one request at a time, its answer as it arrives."""

import asyncio
import math
import re
import select
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, cast

from proxy.errors import ProxyError, UpstreamBroken, UpstreamTimeout
from proxy.upstream.framing import (
    MAX_HEAD,
    ChunkedDecoder,
    Delimiter,
    FramingError,
    Head,
    Inform,
    content_of,
    parse_head,
)

if TYPE_CHECKING:
    from proxy.model import Headers

HIGH_WATER = 256 * 1024
"""Bytes that may wait for a slow caller before the upstream is made to wait."""

_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL_STATUS = 200
_BEGINNING = b"HTTP/1."
_BARE_LF = re.compile(rb"(?<!\r)\n")


class Disconnected(Exception):
    """The connection ended before the answer's head. `answered`: some of the answer had come."""

    def __init__(self, *, answered: bool) -> None:
        super().__init__()
        self.answered = answered


class _Phase(Enum):
    IDLE = auto()
    HEAD = auto()
    CONTENT = auto()
    ENDED = auto()


class Connection(asyncio.Protocol):
    """A protocol that reads what `framing` decides. `deadline` is the loop's time at which it is given up."""

    def __init__(self, *, on_lost: Callable[["Connection"], None], idle_timeout: float) -> None:
        self.deadline = math.inf
        self.idle_since = 0.0
        self.trailers: Headers = ()
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._idle_timeout = idle_timeout
        self._transport: asyncio.Transport
        self._phase = _Phase.IDLE
        self._lost = False
        self._reusable = True
        self._write_paused: asyncio.Future[None] | None = None
        self._read_paused = False
        self._buffer = b""
        self._interim_bytes = 0
        self._ended_in_order = False
        self._waiter: asyncio.Future[None] | None = None
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._head: Head | None = None
        self._error: ProxyError | Disconnected | None = None
        self._poll: select.poll | None = None

    # What the exchange does.

    def begin(self, method: str, data: bytes, *, upgrade: bool, inform: Inform) -> None:
        """Send the beginning of a request; `inform` is called with the head of every 1xx answer."""
        self._phase = _Phase.HEAD
        self._method = method
        self._upgrade = upgrade
        self._inform = inform
        self._head = self._error = None
        self._interim_bytes = 0
        self.trailers = ()
        if self.usable:
            self._transport.write(data)
        else:
            # It was lost, or said something, between the end of its handshake and now.
            self._error = Disconnected(answered=False)

    async def head(self) -> Head:
        """The head of the final answer; raises Disconnected or a ProxyError."""
        while self._head is None:
            if self._error is not None:
                raise self._error
            await self._wait()
        return self._head

    @property
    def ended(self) -> bool:
        """The answer is whole and all of it has been taken."""
        return self._phase is _Phase.ENDED and not self._chunks

    def take(self) -> bytes:
        """The content that is at hand, empty where there is none."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks.popleft() if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._waiting_bytes = 0
        if self._read_paused:
            self._read_paused = False
            if not self._lost:
                self._transport.resume_reading()
            self._await_content()
        return data

    async def read(self) -> bytes:
        """The next content, empty at its end; raises UpstreamBroken or UpstreamTimeout where it breaks off."""
        while not self._chunks:
            if self._phase is _Phase.ENDED:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        return self.take()

    def write(self, data: bytes) -> None:
        """Send more of the request."""
        if not self._lost:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the upstream has taken what was written; it must take some within the idle timeout.

        Raises UpstreamBroken where nobody is left to take it, of a tunnel whose other direction has ended.
        """
        if self._lost:
            if self._upgrade and self._phase is _Phase.ENDED:
                raise UpstreamBroken("the upstream broke off the tunnel")
            return
        if self._write_paused is None:
            return
        self.expect_head_by(self._loop.time() + self._idle_timeout)
        await self._write_paused
        self.expect_head_by(math.inf)

    def write_eof(self) -> None:
        """Nothing more will be written (of a tunnel)."""
        if not self._lost and self._transport.can_write_eof():
            with suppress(OSError):  # reset a moment ago
                self._transport.write_eof()

    def expect_head_by(self, deadline: float) -> None:
        """Give up where no answer has begun by then."""
        if self._phase is _Phase.HEAD:
            self.deadline = deadline

    def fail(self, error: ProxyError | Disconnected) -> None:
        """Give up the exchange, for whoever waits for it; the connection is of no use any more."""
        if self._error is None and self._phase in (_Phase.HEAD, _Phase.CONTENT):
            self._error = error
            self._wake()
        self.abort()

    def expire(self) -> None:
        """The deadline has passed."""
        what = "begin its answer" if self._phase is _Phase.HEAD else "go on"
        self.fail(UpstreamTimeout(f"the upstream did not {what} in time"))

    def finish(self, *, sent: bool) -> bool:
        """End the exchange; whether the connection can carry another. `sent`: all of the request went out."""
        self.deadline = math.inf
        if self.ended and sent and self._reusable and not self._lost and not self._transport.is_closing():
            self._phase = _Phase.IDLE
            return True
        if self.ended and self._upgrade and not self._lost:
            # What was written into a tunnel is still to arrive.
            self._transport.close()
            self.deadline = self._loop.time() + self._idle_timeout
        else:
            self.abort()
        return False

    def abort(self) -> None:
        self._reusable = False
        self.deadline = math.inf
        if not self._lost:
            self._transport.abort()

    @property
    def usable(self) -> bool:
        """Whether an idle connection can still be written to."""
        return not self._lost and not self._transport.is_closing()

    def has_input(self) -> bool:
        """Whether an idle socket has something to read: its end, or what nobody asked for."""
        if self._poll is None:
            sock = self._transport.get_extra_info("socket")
            if sock is None or sock.fileno() < 0:
                return True
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        self._transport.set_write_buffer_limits(high=HIGH_WATER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.resume_writing()
        if self._phase is _Phase.HEAD:
            self.fail(Disconnected(answered=bool(self._buffer or self._interim_bytes)))
        elif self._phase is _Phase.CONTENT:
            if self._delimiter is Delimiter.CLOSE and exc is None and self._ended_in_order:
                self._end()
            else:
                self.fail(UpstreamBroken("the upstream broke off its answer"))
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.CONTENT:
            self._receive_content(data)
        elif self._phase is _Phase.HEAD:
            self._buffer = self._buffer + data if self._buffer else data
            try:
                self._receive_head()
            except FramingError as error:
                self.fail(UpstreamBroken(f"the upstream's answer is not to be trusted: {error}"))
        else:
            # Nobody asked for this: it must not be taken for the answer to the next request.
            self.abort()

    def eof_received(self) -> bool:
        # Without its own farewell, TLS cannot tell the end from a cut (RFC 9112 section 9.8).
        tls: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        self._ended_in_order = tls is None or _said_farewell(tls)
        if self._phase is _Phase.CONTENT and self._upgrade:
            self._end()
            # The other direction of a tunnel stays open, but for TLS, which knows no half-close here.
            return tls is None
        return False

    def pause_writing(self) -> None:
        self._write_paused = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._write_paused is not None:
            if not self._write_paused.done():
                self._write_paused.set_result(None)
            self._write_paused = None

    # How an answer is read.

    def _receive_head(self) -> None:
        while True:
            buffer = self._buffer
            found = buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
            if found < 0:
                if len(buffer) >= MAX_HEAD:
                    raise FramingError("its head is too large")
                if not buffer.startswith(_BEGINNING[: len(buffer)]) or _BARE_LF.search(buffer):
                    raise FramingError("it does not begin like HTTP/1.1")
                return
            end = found + 4
            whole = end == len(buffer)
            head = parse_head(buffer if whole else buffer[:end])
            self._buffer = b"" if whole else buffer[end:]
            if head.status >= _FIRST_FINAL_STATUS or head.status == _SWITCHING_PROTOCOLS:
                break
            self._interim_bytes += end
            if self._interim_bytes > MAX_HEAD:
                raise FramingError("it never gets beyond interim answers")
            self._inform(head.status, head.reason, head.headers)
            if whole:
                return
        self._begin_content(head)

    def _begin_content(self, head: Head) -> None:
        rest, self._buffer = self._buffer, b""
        if head.status == _SWITCHING_PROTOCOLS:
            if not self._upgrade:
                raise FramingError("it switches protocols unasked")
            self._delimiter: int | Delimiter = Delimiter.CLOSE
            self._reusable = False
        else:
            self._upgrade = False
            self._delimiter, alive = content_of(self._method, head)
            self._reusable = self._reusable and alive
        self._head = head
        self._phase = _Phase.CONTENT
        if self._delimiter is Delimiter.CHUNKED:
            self._decoder = ChunkedDecoder()
        if isinstance(self._delimiter, int):
            self._left = self._delimiter
            if self._left == 0:
                self._end()
        if rest:
            self._receive_content(rest)
        self._await_content()
        self._wake()

    def _receive_content(self, data: bytes) -> None:
        delimiter = self._delimiter
        if delimiter is Delimiter.CLOSE:
            self._push(data)
        elif delimiter is Delimiter.CHUNKED:
            decoder = self._decoder
            try:
                for piece in decoder.feed(data):
                    self._push(piece)
            except FramingError as error:
                self.fail(UpstreamBroken(f"the upstream's answer is not to be trusted: {error}"))
                return
            if decoder.done:
                self.trailers = decoder.trailers
                self._reusable = self._reusable and not decoder.rest
                self._end()
        else:
            surplus = len(data) - self._left
            if surplus > 0:
                self._reusable = False
                data = data[: self._left]
            self._left -= len(data)
            if data:
                self._push(data)
            if self._left == 0:
                self._end()

    def _push(self, data: bytes) -> None:
        self._chunks.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HIGH_WATER and not self._read_paused and not self._lost:
            self._read_paused = True
            self._transport.pause_reading()
            self.deadline = math.inf
        else:
            self._await_content()
        self._wake()

    def _await_content(self) -> None:
        """More must come within the idle timeout; not of a tunnel, and not while the caller is the slow one."""
        if self._phase is _Phase.CONTENT and not self._read_paused and not self._upgrade:
            self.deadline = self._loop.time() + self._idle_timeout

    def _end(self) -> None:
        self._phase = _Phase.ENDED
        self.deadline = math.inf
        self._wake()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _said_farewell(tls: ssl.SSLObject) -> bool:
    """Whether the peer's `close_notify` has come."""
    try:
        return not tls.read(1)
    except ssl.SSLError:
        return False
