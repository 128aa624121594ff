"""Pacing a connection: no more is read than somebody takes, and no more is written than the peer takes.

Reading stops for reasons (`Hold`) that come and go independently; it goes on when none is left. Writing stops when the
event loop says so, and whoever writes waits in `drained`.
"""

import asyncio
from enum import Enum, auto

from proxy.buffers import Buffers


class Hold(Enum):
    """Why nothing is read."""

    CONTENT = auto()
    """Enough content waits for whoever reads it."""
    REQUESTS = auto()
    """Enough requests wait for their turn."""
    SWITCH = auto()
    """Enough has come for a tunnel that is not open yet."""
    TURN = auto()
    """What came last took long to read: others have a turn first."""


class Flow:
    """The pace of one connection, in both directions."""

    __slots__ = ("_buffers", "_holds", "_loop", "_lost", "_room", "_transport", "stuck_since")

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: Buffers) -> None:
        self._loop = loop
        self._buffers = buffers
        self._transport: asyncio.Transport | None = None
        self._holds: set[Hold] = set()
        self._room: asyncio.Event | None = None
        self._lost = False
        self.stuck_since: float | None = None
        """The loop's time at which the peer stopped taking what is written; None while it takes it."""

    def begin(self, transport: asyncio.Transport) -> None:
        """Pace a connection that has just been made."""
        self._transport = transport

    @property
    def reading(self) -> bool:
        """Whether there is no reason not to read."""
        return not self._holds

    def held_for(self, reason: Hold) -> bool:
        """Whether nothing is read for that reason."""
        return reason in self._holds

    def hold(self, reason: Hold) -> None:
        """Read nothing until `release` is called for that reason."""
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._holds.add(reason)

    def release(self, reason: Hold) -> None:
        """Read on, unless there are other reasons not to."""
        if reason not in self._holds:
            return
        self._holds.discard(reason)
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Note that the peer takes no more for now."""
        self.stuck_since = self._loop.time()

    def resume_writing(self) -> None:
        """Let whoever waits in `drained` write on."""
        self.stuck_since = None
        if self._room is not None:
            self._room.set()
            self._room = None

    def lose(self) -> None:
        """Note that the connection is gone, and tell whoever waits for it."""
        self._lost = True
        self._transport = None
        self.resume_writing()

    async def drained(self) -> None:
        """Wait until the peer takes more; raises ConnectionResetError where it has gone."""
        while self.stuck_since is not None and self._transport is not None:
            if self._room is None:
                self._room = asyncio.Event()
            waiting = self._transport.get_write_buffer_size()
            self._buffers.waiting += waiting
            try:
                await self._room.wait()
            finally:
                self._buffers.waiting -= waiting
        if self._lost:
            raise ConnectionResetError("the caller has gone")
