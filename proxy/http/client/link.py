"""What an exchange and its connection are to each other."""

import asyncio
from enum import Enum, auto
from typing import Protocol

from proxy.http.buffers import Buffers


class Disconnected(Exception):
    """The connection ended before the answer's head. `answered`: some of the answer had come."""

    def __init__(self, *, answered: bool) -> None:
        super().__init__()
        self.answered = answered


class Fate(Enum):
    """What becomes of a connection whose exchange is over."""

    KEPT = auto()
    """It carries other requests."""
    RESTS = auto()
    """Likewise, once it is known that no content comes behind a head that has none."""
    ENDS = auto()
    """What was written is still to arrive, and that is all."""
    DROPPED = auto()
    """Nobody can tell what would come on it."""


class Link(Protocol):
    """What an exchange needs of its connection. `deadline` is the loop's time at which it is given up."""

    loop: asyncio.AbstractEventLoop
    deadline: float
    idle_timeout: float
    buffers: Buffers
    allowance: float
    """For how many seconds the upstream keeps it idle, as it says."""

    def write(self, data: bytes) -> None: ...

    async def drain(self, *, tunnel_ended: bool) -> None: ...

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...

    def release(self, fate: Fate) -> None: ...
