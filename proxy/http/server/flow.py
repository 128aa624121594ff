"""Read no more from a connection than is taken, and write no more to it than the peer takes.

Reading stops for reasons (`Hold`) that come and go independently; it goes on when none is left. Writing stops when the
event loop says so, and what writes waits in `drained`.
"""

import asyncio
import select
import socket
from contextlib import suppress
from enum import Enum, auto

from proxy.http.batching import WriteBatcher
from proxy.http.buffers import Buffers
from proxy.http.server.body import IncomingBody
from proxy.http.server.portions import Portions
from proxy.http.sockets import hold_little, keep_alive, socket_of, unheard


class Hold(Enum):
    """Says why nothing is read."""

    BODY = auto()
    """Enough content waits for its reader."""
    REQUESTS = auto()
    """Enough requests wait for their turn."""
    SWITCH = auto()
    """Enough has come for a tunnel that is not open yet."""
    TURN = auto()
    """What came last took long to read: others have a turn first."""


class Flow:
    """Reads from and writes to the transport of one connection, at the pace of the slower end."""

    __slots__ = (
        *("_buffers", "_held", "_holds", "_loop", "_lost", "_batcher", "_room", "_transport"),
        *("_written", "sent", "stuck_since"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: Buffers, batcher: WriteBatcher) -> None:
        """`batcher` holds small writes until the end of the turn."""
        self._loop = loop
        self._buffers = buffers
        self._batcher = batcher
        self._held = b""
        """What the batcher writes at the end of the turn."""
        self._written = 0
        """Bytes of the last write, all of which is in memory until the peer has taken its last byte."""
        self.sent = 0.0
        """The loop's time at which something was written last."""
        self._transport: asyncio.Transport | None = None
        self._holds: set[Hold] = set()
        self._room: asyncio.Event | None = None
        self._lost = False
        self.stuck_since: float | None = None
        """The loop's time at which the peer stopped taking what is written; None while it takes it."""

    def begin(self, transport: asyncio.Transport) -> None:
        """Take over the transport of a connection that has just been made."""
        # What writes is to wait as soon as the peer does not take it: little is in memory then beside what is counted.
        # Not 0, which asyncio's TLS never gets below.
        transport.set_write_buffer_limits(high=1)
        self._transport = transport
        self._read_portions()
        sock = self._socket()
        if sock is not None:
            with suppress(OSError):  # reset a moment ago
                hold_little(sock)

    def new_body(self) -> IncomingBody:
        """Make what takes the content of a request, or one direction of a tunnel, and stops reading where it is full.

        It refers to this and not to the connection: only the garbage collector would free such a circle.
        """
        return IncomingBody(lambda: self.hold(Hold.BODY), lambda: self.release(Hold.BODY), self._buffers)

    @property
    def reading(self) -> bool:
        """Whether there is no reason not to read."""
        return not self._holds

    def held_for(self, reason: Hold) -> bool:
        """Return whether nothing is read for that reason."""
        return reason in self._holds

    def hold(self, reason: Hold) -> None:
        """Read nothing until `release` is called for that reason."""
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._read_portions()
        self._holds.add(reason)

    def release(self, reason: Hold) -> None:
        """Read on, unless there are other reasons not to."""
        if reason not in self._holds:
            return
        self._holds.discard(reason)
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def has_input(self) -> bool:
        """Return whether something can be read that the event loop has not read yet."""
        sock = self._socket()
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def send(self, data: bytes, *, soon: bool = False) -> None:
        """Write; `soon` lets the batcher hold it, where nothing but responses to other requests will follow."""
        transport, batcher = self._transport, self._batcher
        if transport is None:
            return
        if soon and batcher.takes(len(self._held) + len(data)):
            if not self._held:
                batcher.put(self.flush)
            self._held += data
            return
        if self._held:
            self.flush()
        self.sent = self._loop.time()
        self._written = len(data)
        transport.write(data)

    def abort(self) -> None:
        """Break the connection, also one that is about to close once all is written."""
        if self._transport is not None:
            self._transport.abort()

    def flush(self) -> None:
        """Write what the batcher holds of this."""
        held, self._held = self._held, b""
        if held and self._transport is not None and not self._transport.is_closing():
            self._written = len(held)
            self._transport.write(held)

    def keep_alive(self, patience: float) -> None:
        """Have an idle connection end after about `patience` seconds in which nothing is heard of the other end."""
        sock = self._socket()
        if sock is not None:
            with suppress(OSError):  # reset a moment ago
                keep_alive(sock, patience)

    def unheard(self, now: float, patience: float) -> bool:
        """Return whether the peer has yet to acknowledge something, and was not heard of for `patience` seconds."""
        if now - self.sent <= patience or (sock := self._socket()) is None:
            return False
        return unheard(sock) > patience

    def _socket(self) -> socket.socket | None:
        return None if self._transport is None else socket_of(self._transport)

    def _read_portions(self) -> None:
        """Read small portions from here on where much waits. To be called while nothing is read."""
        if self._transport is not None and self._buffers.much:
            protocol = self._transport.get_protocol()
            if isinstance(protocol, asyncio.Protocol):
                self._transport.set_protocol(Portions(protocol, self._buffers))

    def pause_writing(self) -> None:
        """Note that the peer takes no more for now."""
        self.stuck_since = self._loop.time()

    def resume_writing(self) -> None:
        """Let what waits in `drained` write on."""
        self.stuck_since = None
        if self._room is not None:
            self._room.set()
            self._room = None

    def lose(self) -> None:
        """Note that the connection is gone, and end the wait in `drained`."""
        self._lost = True
        self._transport = None
        self.resume_writing()

    async def drained(self) -> None:
        """Wait until the peer takes more; raises ConnectionResetError where it has gone."""
        while self.stuck_since is not None and self._transport is not None:
            if self._room is None:
                self._room = asyncio.Event()
            waiting = self._written
            self._buffers.waiting += waiting
            try:
                await self._room.wait()
            finally:
                self._buffers.waiting -= waiting
        if self._lost:
            raise ConnectionResetError("the caller has gone")
