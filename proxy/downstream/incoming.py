"""Bytes that a caller sends, on their way to whoever wants them."""

import asyncio
from collections.abc import Callable
from copy import copy

from proxy.model import Headers

HIGH_WATER = 256 * 1024
"""Bytes that may wait before the caller is made to wait."""


class Incoming:
    """A content, or one direction of a tunnel: `feed` puts in what has arrived, `read` takes it out."""

    ended = False
    """All of it has arrived."""
    trailers: Headers = ()
    _size = 0
    _paused = False
    _error: BaseException | None = None
    _waiter: asyncio.Future[None] | None = None

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """`pause` and `resume` stop the caller from sending and let it go on."""
        self._pause = pause
        self._resume = resume
        self._pieces: list[bytes] = []

    @property
    def awaited(self) -> bool:
        """Somebody waits for more."""
        return self._waiter is not None

    def feed(self, data: bytes) -> None:
        """More has arrived."""
        if not data:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._pause()
        self._wake()

    def end(self, trailers: Headers = ()) -> None:
        """All has arrived."""
        self.trailers = trailers
        self.ended = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """The rest will never arrive, and the reader is told why."""
        if not self.ended and self._error is None:
            self._error = error
            self._wake()

    def at_hand(self) -> bytes | None:
        """The whole content if all of it has arrived, else None. To be asked before `read`."""
        return self._take() if self.ended else None

    async def read(self) -> bytes:
        """The next piece, empty at the end; raises what `fail` was told. May be cancelled and called again."""
        while not self._pieces:
            if self.ended:
                return b""
            if self._error is not None:
                # A copy: the traceback of one that is kept here would keep all that its reader's frames hold.
                raise copy(self._error)
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                # A reader that was cancelled may learn of it when another one already waits.
                if self._waiter is waiter:
                    self._waiter = None
        return self._take()

    def _take(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self._resume()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


NOTHING = Incoming(lambda: None, lambda: None)
"""The content of a request that has none."""
NOTHING.ended = True
