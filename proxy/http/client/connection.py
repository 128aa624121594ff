"""Run one HTTP/1.1 connection to an upstream, which carries one exchange at a time.

| state | what the upstream sends | next state |
|---|---|---|
| OPENING | nothing | IDLE: the transport is there, its handshake done |
| IDLE | was not asked for | BUSY: a request begins |
| | | CLOSING: something came, or it is too old; the pool decides |
| BUSY | belongs to the exchange | IDLE: the exchange ends, and the connection may carry another one |
| | | CLOSING: it may not |
| CLOSING | is dropped | LOST: the transport is closed |
| IDLE, BUSY | ends | LOST: the upstream, or the network, has closed the transport |

What the exchange wrote into a tunnel is still sent in CLOSING, within the idle timeout; else nothing is.
"""

import asyncio
import math
import select
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol, cast

from proxy.errors import UpstreamBroken
from proxy.http.batching import WriteBatcher
from proxy.http.buffers import LARGE, SMALL, Buffers
from proxy.http.client.ending import is_silence, read_rest, said_farewell
from proxy.http.client.exchange import TUNNEL, Exchange
from proxy.http.client.link import Disconnected, Fate
from proxy.http.client.receiving import receive, receive_end
from proxy.http.grammar import Head
from proxy.http.sockets import socket_of, unheard

_KEPT, _RESTS, _ENDS = Fate.KEPT, Fate.RESTS, Fate.ENDS
_SPACE = memoryview(bytearray(LARGE))
"""The buffer of all connections, one after the other: what has come is taken out before the next one reads."""
_LITTLE_SPACE = _SPACE[:SMALL]


class UpstreamState(Enum):
    """Names the states of a connection; see the table above."""

    OPENING = auto()
    IDLE = auto()
    BUSY = auto()
    CLOSING = auto()
    LOST = auto()


# Enumerations are too slow to look into for every request.
_OPENING, _IDLE, _BUSY, _CLOSING, _LOST = UpstreamState


class Owner(Protocol):
    """Keeps connections between two requests."""

    def put(self, connection: "UpstreamConnection", *, rests: bool) -> None:
        """Take back what can carry another request; where it `rests`, only if nothing comes for a while."""

    def spoke(self, connection: "UpstreamConnection") -> None:
        """Note a connection that is dropped, since something came on it that was not asked for."""

    def lost(self, connection: "UpstreamConnection", *, silently: bool) -> None:
        """Note the end of a connection, `silently` where nothing was heard of the other end any more."""


class UpstreamConnection(asyncio.BufferedProtocol):
    """Hands what is read to the exchange. `deadline` is the loop's time at which that is given up."""

    def __init__(
        self,
        origin: str,
        *,
        owner: Owner,
        idle_timeout: float,
        batcher: WriteBatcher,
        buffers: Buffers,
    ) -> None:
        self._batcher = batcher
        self.buffers = buffers
        self._held = b""
        """What the batcher writes at the end of the turn."""
        self.origin = origin
        self.loop = asyncio.get_running_loop()
        self.idle_timeout = idle_timeout
        self.deadline = math.inf
        self._sent = 0.0
        """The loop's time at which something was written last."""
        self._written = 0
        """Bytes of the last write, all of which are in memory until the upstream has taken the last of them."""
        self._silent = False
        """Given up, since nothing is heard of the other end."""
        self.allowance = math.inf
        """For how many seconds the upstream keeps it idle, as it says."""
        self.made = self.loop.time()
        self.idle_since = 0.0
        self.idle_until = 0.0
        self.rests = False
        """The last response had no content, which may come all the same."""
        self._owner = owner
        self._transport: asyncio.Transport
        self._exchange: Exchange | None = None
        self._state = _OPENING
        self._ended_in_order = False
        self._write_paused: asyncio.Future[None] | None = None
        self._poll: select.poll | None = None

    def begin(self, method: str, data: bytes, *, upgrade: bool, inform: Callable[[Head], None]) -> Exchange:
        """Send the beginning of a request."""
        exchange = self._exchange = Exchange(self, method, inform, upgrade=upgrade)
        self._sent = self.loop.time()
        self._written = len(data)
        batcher = self._batcher
        batcher.busy += 1
        if not self.usable:
            # It was lost, or said something, between the end of its handshake and now.
            exchange.fail(Disconnected(answered=False))
            return exchange
        self._state = _BUSY
        if batcher.takes(len(data)):
            self._held = data
            batcher.put(self._write_held)
        else:
            self._transport.write(data)
        return exchange

    @property
    def congested(self) -> bool:
        """The upstream has yet to take some of what was written."""
        return self._write_paused is not None

    @property
    def usable(self) -> bool:
        """Whether it can still be written to."""
        return self._state is not _LOST and not self._transport.is_closing()

    def has_input(self) -> bool:
        """Return whether an idle socket has something to read: its end, or what was not asked for."""
        if self._poll is None:
            sock = socket_of(self._transport)
            if sock is None:
                return True
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def check(self, now: float, silence: float) -> None:
        """Give up an exchange whose deadline has passed, or that has heard nothing for `silence` seconds."""
        if self.deadline <= now:
            self.expire()
        elif self._exchange is not None and now - self._sent > silence and self._unheard() > silence:
            self._silent = True
            self.abort()

    def _unheard(self) -> float:
        sock = None if self._state is _LOST else socket_of(self._transport)
        return 0.0 if sock is None else unheard(sock)

    def expire(self) -> None:
        """Give up the exchange, since the deadline has passed."""
        if self._exchange is not None:
            self._exchange.expire()
        self.abort()

    def abort(self) -> None:
        self.deadline = math.inf
        if self._state is not _LOST:
            self._state = _CLOSING
            self._transport.abort()

    # What the exchange asks for.

    def write(self, data: bytes) -> None:
        if self._state is not _LOST:
            self._write_held()
            self._sent = self.loop.time()
            self._written = len(data)
            self._transport.write(data)

    async def drain(self, *, tunnel_ended: bool) -> None:
        """Wait until the upstream has taken what was written."""
        if self._state is _LOST:
            if tunnel_ended:
                raise UpstreamBroken("the upstream broke off the tunnel")
            return
        if self._write_paused is None:
            return
        exchange = self._exchange
        if exchange is not None:
            exchange.expect_head_by(self.loop.time() + self.idle_timeout)
        waiting = self._written
        self.buffers.waiting += waiting
        try:
            await self._write_paused
        finally:
            self.buffers.waiting -= waiting
        if exchange is not None:
            exchange.expect_head_by(math.inf)

    def write_eof(self) -> None:
        if self._state is _LOST:
            return
        if self._transport.can_write_eof():
            with suppress(OSError):  # reset a moment ago
                self._transport.write_eof()
        else:
            # TLS knows no half-close here: an upstream that hears nothing must not keep the tunnel for ever.
            self.deadline = self.loop.time() + self.idle_timeout

    def pause_reading(self) -> None:
        if self._state is not _LOST:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._state is not _LOST:
            self._transport.resume_reading()

    def release(self, fate: Fate) -> None:
        """End the exchange; `fate` is what becomes of this connection."""
        self._batcher.busy -= 1
        self.deadline = math.inf
        if (fate is _KEPT or fate is _RESTS) and self.usable:
            self._state = _IDLE
            self._exchange = None
            self._owner.put(self, rests=fate is _RESTS)
        elif fate is _ENDS and self._state is not _LOST:
            self._state = _CLOSING
            self._transport.close()
            self.deadline = self.loop.time() + self.idle_timeout
        else:
            self.abort()

    def _write_held(self) -> None:
        held, self._held = self._held, b""
        # An exchange that was given up in this turn has dropped the connection.
        if held and self.usable:
            self._transport.write(held)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        self._state = _IDLE
        self._transport.set_write_buffer_limits(high=1)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to: a little at a time where much waits for slow callers already."""
        return _SPACE if self.buffers.portion == LARGE else _LITTLE_SPACE

    def buffer_updated(self, nbytes: int) -> None:
        if self._exchange is not None:
            receive(self._exchange, bytes(_SPACE[:nbytes]))
        else:
            # Not asked for: it must not be taken for the response to the next request.
            self.abort()
            self._owner.spoke(self)

    def eof_received(self) -> bool:
        tls = self._transport.get_extra_info("ssl_object")
        self._ended_in_order = tls is None or said_farewell(tls)
        if self._exchange is not None and self._exchange.state is TUNNEL:
            receive_end(self._exchange, in_order=True)
            # The other direction of a tunnel stays open, but for TLS, which knows no half-close here.
            return tls is None
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ConnectionError) and self._exchange is not None and (rest := read_rest(self._transport)):
            receive(self._exchange, rest)
        self._state = _LOST
        self.resume_writing()
        if self._exchange is not None:
            receive_end(self._exchange, in_order=exc is None and self._ended_in_order)
            # It refers to this connection: only the garbage collector would free such a circle.
            self._exchange = None
        self._owner.lost(self, silently=self._silent or is_silence(exc))

    def pause_writing(self) -> None:
        self._write_paused = self.loop.create_future()

    def resume_writing(self) -> None:
        if self._write_paused is not None:
            if not self._write_paused.done():
                self._write_paused.set_result(None)
            self._write_paused = None
