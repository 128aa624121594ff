"""Carry one request on a connection, and hand over its response as it arrives.

| state | what the upstream sends | next state |
|---|---|---|
| HEAD | is read as heads; those of interim responses (1xx) are handed on | CONTENT: the head of the response is here |
| | | TUNNEL: the response is the 101 that was asked for |
| | | WHOLE: its content is here as well, or it has none |
| CONTENT | is read as content | WHOLE: its end is here |
| TUNNEL | is handed on as it is | WHOLE: the upstream has ended its direction |
| HEAD, CONTENT, TUNNEL | breaks off, is late or is no HTTP; or the request fails | FAILED: its sender gets the error |
| WHOLE | was not asked for: the connection is dropped | CLOSED: the sender of the request calls `close` |
| FAILED | is dropped | CLOSED: the same |
| HEAD, CONTENT, TUNNEL | is not wanted any more | CLOSED: the same |
| CLOSED | is dropped | |

What has arrived of the content can be taken until CLOSED.

`receiving` reads what the upstream sends. It stops for two reasons, and goes on when neither is left:

| reason | begins | ends |
|---|---|---|
| `full` | a portion of content waits here | the sender of the request has taken it and wants more, or calls `close` |
| `resting` | what came last took long to read | other connections had a turn |
"""

import asyncio
import math
from copy import copy
from enum import Enum, auto
from typing import TYPE_CHECKING

from proxy.errors import ProxyError, UpstreamTimeout
from proxy.http.client.link import Disconnected, Fate, Link
from proxy.http.grammar import ChunkedDecoder, Delimiter, Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.http.grammar.fields import Headers


class ExchangeState(Enum):
    """Names the states of an exchange; see the table above."""

    HEAD = auto()
    CONTENT = auto()
    TUNNEL = auto()
    WHOLE = auto()
    FAILED = auto()
    CLOSED = auto()


# Enumerations are too slow to look into for every request.
HEAD, CONTENT, TUNNEL, WHOLE, FAILED, CLOSED = ExchangeState
_KEPT, _RESTS, _ENDS, _DROPPED = Fate


class Exchange:
    """Provides an `UpstreamAnswer` once `answered` is done, whose exception is Disconnected or a ProxyError."""

    # Most of these keep their defaults in most exchanges: what is on the class costs nothing to make.
    state = HEAD
    head: Head
    delimiter: int | Delimiter
    trailers: "Headers" = ()
    upload: asyncio.Task[None] | None = None
    """What sends the rest of the request."""
    reusable = True
    """The connection can carry another request once the content has been read."""
    rests = False
    """The response has no content, which may come all the same."""
    full = False
    resting = False
    """Reasons to make the upstream wait; see the table above."""
    _paused = False
    """The upstream is made to wait."""
    held = b""
    """What has come while it was resting."""
    ended_in_order: bool | None = None
    """Whether the end that came while it was resting was in order; None where none came."""
    buffer = b""
    """The beginning of a head."""
    interim_bytes = 0
    """The size of the interim heads so far."""
    left = 0
    """Bytes of a content with a length that are still to come."""
    decoder: ChunkedDecoder | None = None
    _waiting = 0
    """Bytes of content that are here, which `Buffers` counts as well."""
    _error: ProxyError | None = None
    _waiter: asyncio.Future[None] | None = None

    def __init__(self, link: Link, method: str, inform: "Callable[[Head], None]", *, upgrade: bool) -> None:
        """`inform` is called with every 1xx response but the 101 that `upgrade` asks for."""
        self.answered: asyncio.Future[None] = link.loop.create_future()
        self.link = link
        self.method = method
        self.inform = inform
        self.upgrade = upgrade
        """Another protocol is asked for, and not refused."""
        self.chunks: list[bytes] = []
        """The content that is here."""

    # What the sender of the request calls.

    @property
    def ended(self) -> bool:
        """Whether the response is whole and all of it has been taken."""
        return self.state is WHOLE and not self.chunks

    def take(self) -> bytes:
        """Take the content that is at hand, empty where there is none."""
        chunks = self.chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self._waiting:
            self._count(0)
        return data

    async def read(self) -> bytes:
        """Wait for content, empty at its end; raises UpstreamBroken or UpstreamTimeout where it breaks off."""
        while not self.chunks:
            if self.state is WHOLE:
                return b""
            if self._error is not None:
                # A copy: the traceback of one that is kept here would keep all that its reader's frames hold.
                raise copy(self._error)
            if self.full:
                self.full = False
                self.resume()
                self.await_content()
            self._waiter = self.link.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.take()

    def write(self, data: bytes) -> None:
        """Send more of the request, or into a tunnel."""
        self.link.write(data)

    async def drain(self) -> None:
        """Wait until the upstream has taken what was written; it must take some within the idle timeout.

        Raises UpstreamBroken when the connection of a tunnel is gone whose other direction has ended.
        """
        await self.link.drain(tunnel_ended=self.upgrade and self.state is WHOLE)

    def write_eof(self) -> None:
        """End the tunnel's direction towards the upstream."""
        self.link.write_eof()

    def expect_head_by(self, deadline: float) -> None:
        """Give up where no response has begun by then."""
        if self.state is HEAD:
            self.link.deadline = deadline

    def close(self) -> None:
        """Let go of the connection: it is kept where the request went out and the response was read to the end."""
        if self.state is CLOSED:
            return
        read_out = self.ended
        self.state = CLOSED
        self._count(0)
        if self.full:
            # The next response is wanted.
            self.full = False
            self.resume()
        upload = self.upload
        sent = upload is None or (upload.done() and not upload.cancelled() and upload.exception() is None)
        if upload is not None and not sent:
            upload.cancel()
        # What has failed refers to the frames that it passed, and they to this exchange: a circle.
        self.upload = None
        del self.answered
        if not read_out:
            self.link.release(_DROPPED)
        elif sent and self.reusable:
            self.link.release(_RESTS if self.rests else _KEPT)
        else:
            # What was written into a tunnel is still to arrive.
            self.link.release(_ENDS if self.upgrade else _DROPPED)

    # What the connection calls, and `receiving`.

    def expire(self) -> None:
        """Give up, since the deadline has passed."""
        missing = "begin its answer" if self.state is HEAD else "go on"
        self.fail(UpstreamTimeout(f"the upstream did not {missing} in time"))

    def fail(self, error: ProxyError | Disconnected) -> None:
        """Give up: raise `error` at the sender of the request, and drop the connection."""
        if self.state is HEAD or self.state is CONTENT or self.state is TUNNEL:
            self.state = FAILED
            if not self.answered.done():
                self.answered.set_exception(error)
            elif isinstance(error, ProxyError):
                self._error = error
                self._wake()
        self.link.abort()

    def push(self, data: bytes) -> None:
        """Add content; a portion of it makes the upstream wait."""
        if not data:
            return
        self.chunks.append(data)
        self._count(self._waiting + len(data))
        if not self.full:
            if self._waiting >= self.link.buffers.portion:
                self.full = True
                self.pause()
                self.link.deadline = math.inf
            else:
                self.await_content()
        self._wake()

    def finish(self) -> None:
        """Note the end of the content."""
        self.state = WHOLE
        self.link.deadline = math.inf
        self._wake()

    def pause(self) -> None:
        """Make the upstream wait, unless it does already."""
        if not self._paused:
            self._paused = True
            self.link.pause_reading()

    def resume(self) -> None:
        """Let the upstream go on, unless another reason makes it wait."""
        if not (self.full or self.resting):
            self._paused = False
            self.link.resume_reading()

    def await_content(self) -> None:
        """Give up where no more comes within the idle timeout; not while the caller is the slow one."""
        if self.state is CONTENT and not self.full:
            self.link.deadline = self.link.loop.time() + self.link.idle_timeout

    def _count(self, size: int) -> None:
        self.link.buffers.waiting += size - self._waiting
        self._waiting = size

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
