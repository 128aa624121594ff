"""One request on a connection, and its answer as it arrives."""

import asyncio
import math
import re
from copy import copy
from typing import TYPE_CHECKING

from proxy.errors import ProxyError, UpstreamBroken, UpstreamTimeout
from proxy.http.client.link import Disconnected, Fate, Link
from proxy.http.grammar import MAX_HEAD, ChunkedDecoder, Delimiter, FramingError, Head, content_of, kept_for, parse_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.http.grammar.fields import Headers

_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL_STATUS = 200
_BEGINNING = b"HTTP/1."
_END_OF_HEAD = b"\r\n\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n")


_KEPT, _RESTS, _ENDS, _DROPPED = Fate
"""Enumerations are too slow to look into for every request."""


class Exchange:
    """What `UpstreamAnswer` promises, once `answered` is done; its exception is Disconnected or a ProxyError."""

    # Most of these keep their defaults in most exchanges: what is on the class costs nothing to make.
    head: Head
    trailers: "Headers" = ()
    upload: asyncio.Task[None] | None = None
    """What sends the rest of the request."""
    _began = False
    _complete = False
    _open = True
    _stopped = False
    """Nothing is read."""
    _reusable = True
    _rests = False
    _resting = False
    """What has come waits until others have had a turn."""
    _held = b""
    """What has come while it was resting."""
    _ended: bool | None = None
    """Whether the end was in order that came meanwhile, None where none did."""
    _buffer = b""
    _left = 0
    _waiting = 0
    """Bytes of content that are here, which the account of all has as well."""
    _full = False
    """A portion was here, and nobody has wanted more than that."""
    _interim_bytes = 0
    _decoder: ChunkedDecoder | None = None
    _error: ProxyError | None = None
    _waiter: asyncio.Future[None] | None = None

    def __init__(self, link: Link, method: str, inform: "Callable[[Head], None]", *, upgrade: bool) -> None:
        """`inform` is called with every 1xx answer but the 101 that `upgrade` asks for."""
        self.answered: asyncio.Future[None] = link.loop.create_future()
        self._link = link
        self._method = method
        self._inform = inform
        self._upgrade = upgrade
        self._chunks: list[bytes] = []

    # Whoever sent the request.

    @property
    def ended(self) -> bool:
        """The answer is whole and all of it has been taken."""
        return self._complete and not self._chunks

    def take(self) -> bytes:
        """The content that is at hand, empty where there is none."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self._waiting:
            self._count(0)
        return data

    async def read(self) -> bytes:
        """The next content, empty at its end; raises UpstreamBroken or UpstreamTimeout where it breaks off."""
        while not self._chunks:
            if self._complete:
                return b""
            if self._error is not None:
                # A copy: the traceback of one that is kept here would keep all that its reader's frames hold.
                raise copy(self._error)
            if self._full:
                self._full = False
                self._resume()
                self._await_content()
            self._waiter = self._link.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.take()

    def write(self, data: bytes) -> None:
        """Send more of the request, or into a tunnel."""
        self._link.write(data)

    async def drain(self) -> None:
        """Wait until the upstream has taken what was written; it must take some within the idle timeout.

        Raises UpstreamBroken where nobody is left to take it, of a tunnel whose other direction has ended.
        """
        await self._link.drain(tunnel_ended=self._upgrade and self._complete)

    def write_eof(self) -> None:
        """Nothing more will be written (of a tunnel)."""
        self._link.write_eof()

    def expect_head_by(self, deadline: float) -> None:
        """Give up where no answer has begun by then."""
        if not self._began:
            self._link.deadline = deadline

    def close(self) -> None:
        """Let go of the connection: it is kept where the request went out whole and the answer was read to its end."""
        if not self._open:
            return
        self._open = False
        self._count(0)
        if self._full:
            # The next answer is wanted.
            self._full = False
            self._resume()
        upload = self.upload
        sent = upload is None or (upload.done() and not upload.cancelled() and upload.exception() is None)
        if upload is not None and not sent:
            upload.cancel()
        # What has failed refers to the frames that it passed, and they to this exchange: nobody would free that circle.
        self.upload = None
        del self.answered
        if not self.ended:
            self._link.release(_DROPPED)
        elif sent and self._reusable:
            self._link.release(_RESTS if self._rests else _KEPT)
        else:
            # What was written into a tunnel is still to arrive.
            self._link.release(_ENDS if self._upgrade else _DROPPED)

    # The connection.

    @property
    def in_tunnel(self) -> bool:
        """The answer was a 101, and the connection no longer speaks HTTP."""
        return self._began and self._upgrade

    def receive(self, data: bytes) -> None:
        """Bytes have come."""
        if not self._open:
            return
        if self._complete:
            # Nobody asked for this: it must not be taken for the answer to the next request.
            self._link.abort()
            return
        try:
            if self._began:
                self._receive_content(data)
            else:
                self._receive_head(data)
        except FramingError as error:
            self.fail(UpstreamBroken(f"the upstream's answer is not to be trusted: {error}"))

    def receive_end(self, *, in_order: bool) -> None:
        """No more bytes will come; `in_order` where the upstream said so."""
        if self._resting:
            self._ended = in_order
        elif not self._began:
            self.fail(Disconnected(answered=bool(self._buffer or self._interim_bytes)))
        elif not self._complete:
            if self._delimiter is Delimiter.CLOSE and in_order:
                self._finish()
            else:
                self.fail(UpstreamBroken("the upstream broke off its answer"))

    def expire(self) -> None:
        """The deadline has passed."""
        self.fail(UpstreamTimeout(f"the upstream did not {'go on' if self._began else 'begin its answer'} in time"))

    def fail(self, error: ProxyError | Disconnected) -> None:
        """Give up, for whoever waits; the connection is of no use any more."""
        if self._open and not self.answered.done():
            self.answered.set_exception(error)
        elif self._error is None and not self._complete and isinstance(error, ProxyError):
            self._error = error
            self._wake()
        self._link.abort()

    def _receive_head(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while buffer.find(_END_OF_HEAD, 0, MAX_HEAD) >= 0:
            head, end = parse_head(buffer)
            buffer = buffer[end:]
            if head.status >= _FIRST_FINAL_STATUS or head.status == _SWITCHING_PROTOCOLS:
                self._buffer = b""
                self._begin(head, buffer)
                return
            self._interim_bytes += end
            if self._interim_bytes > MAX_HEAD:
                raise FramingError("it never gets beyond interim answers")
            self._inform(head)
        if len(buffer) >= MAX_HEAD:
            raise FramingError("its head is too large")
        if not buffer.startswith(_BEGINNING[: len(buffer)]) or _BARE_LF.search(buffer):
            raise FramingError("it does not begin like HTTP/1.1")
        self._buffer = buffer

    def _begin(self, head: Head, rest: bytes) -> None:
        if head.status == _SWITCHING_PROTOCOLS:
            if not self._upgrade:
                raise FramingError("it switches protocols unasked")
            self._delimiter: int | Delimiter = Delimiter.CLOSE
            self._reusable = False
            # A tunnel may be silent for as long as both ends like.
            self._link.deadline = math.inf
        else:
            self._upgrade = False
            self._delimiter, self._reusable, self._rests = content_of(self._method, head)
            keep_alive = head.proxy_fields.get(b"keep-alive")
            if keep_alive is not None:
                self._link.allowance = kept_for(keep_alive)
        self.head = head
        self._began = True
        delimiter = self._delimiter
        if delimiter == len(rest):
            # All of it has come with its head: the usual thing, and nobody waits for content yet.
            if rest:
                self._chunks.append(rest)
            self._complete = True
            self._link.deadline = math.inf
        else:
            self._begin_content(delimiter, rest)
        if self._open and not self.answered.done():
            self.answered.set_result(None)

    def _begin_content(self, delimiter: int | Delimiter, rest: bytes) -> None:
        if delimiter is Delimiter.CHUNKED:
            self._decoder = ChunkedDecoder()
        elif delimiter is not Delimiter.CLOSE:
            self._left = delimiter
        if rest:
            self._receive_content(rest)
        self._await_content()

    def _receive_content(self, data: bytes) -> None:
        if self._decoder is not None:
            self._receive_chunks(self._decoder, data)
        elif self._delimiter is Delimiter.CLOSE:
            self._push(data)
        else:
            left = self._left = self._left - len(data)
            if left < 0:
                self._reusable = False
                data = data[:left]
            self._push(data)
            if left <= 0:
                self._finish()

    def _receive_chunks(self, decoder: ChunkedDecoder, data: bytes) -> None:
        if self._resting:
            self._held += data
            return
        for piece in decoder.feed(data, all_of_it=False):
            self._push(piece)
        if decoder.done:
            self.trailers = decoder.trailers
            self._reusable = self._reusable and not decoder.rest
            self._finish()
        elif decoder.costly:
            # Others have a turn before more is read: an event loop reads on as long as something comes.
            self._resting = True
            self._stop()
            self._link.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Read on, now that others have had a turn."""
        self._resting = False
        if not self._open or self._error is not None:
            return
        held, self._held = self._held, b""
        self.receive(held)
        if self._resting or self._error is not None:
            return
        self._resume()
        ended, self._ended = self._ended, None
        if ended is not None:
            self.receive_end(in_order=ended)

    def _stop(self) -> None:
        """Make the upstream wait, which more than one may want."""
        if not self._stopped:
            self._stopped = True
            self._link.pause_reading()

    def _resume(self) -> None:
        """Let the upstream go on, unless something else makes it wait."""
        if not (self._full or self._resting):
            self._stopped = False
            self._link.resume_reading()

    def _push(self, data: bytes) -> None:
        if not data:
            return
        self._chunks.append(data)
        self._count(self._waiting + len(data))
        if not self._full:
            if self._waiting >= self._link.buffers.portion:
                self._full = True
                self._stop()
                self._link.deadline = math.inf
            else:
                self._await_content()
        self._wake()

    def _await_content(self) -> None:
        """More must come within the idle timeout; not of a tunnel, and not while the caller is the slow one."""
        if not (self._complete or self._full or self._upgrade):
            self._link.deadline = self._link.loop.time() + self._link.idle_timeout

    def _finish(self) -> None:
        self._complete = True
        self._link.deadline = math.inf
        self._wake()

    def _count(self, size: int) -> None:
        self._link.buffers.waiting += size - self._waiting
        self._waiting = size

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
