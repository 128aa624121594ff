"""Define what an exchange and its connection know of each other."""

import asyncio
from enum import Enum, auto
from typing import Protocol

from proxy.http.buffers import Buffers


class Disconnected(Exception):
    """Says that a connection ended before the response's head. `answered`: some of the response had come."""

    def __init__(self, *, answered: bool) -> None:
        super().__init__()
        self.answered = answered


class Fate(Enum):
    """Says what becomes of a connection when its exchange is over."""

    KEPT = auto()
    """It carries other requests."""
    RESTS = auto()
    """The same, after some time in which no content came behind a head that has none."""
    ENDS = auto()
    """It is closed once what was written has gone out."""
    DROPPED = auto()
    """It is broken off: what would come on it next is unknown."""


class Link(Protocol):
    """Does what an exchange asks of its connection. `deadline` is the loop's time at which it is given up."""

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
