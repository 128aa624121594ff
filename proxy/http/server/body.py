"""Hold what a caller sends until it is read."""

import asyncio
from collections.abc import Callable
from copy import copy

from proxy.http.buffers import Buffers
from proxy.http.grammar.fields import Headers


class IncomingBody:
    """Holds the content of a request, or one direction of a tunnel, between `feed` and `read`.

    The caller is made to wait once a portion of `buffers` is here, until the reader wants more than that.
    """

    ended = False
    """All of it has arrived."""
    trailers: Headers = ()
    _waiting = 0
    """Bytes that are here, which `buffers` counts as well."""
    _paused = False
    """The caller is made to wait."""
    _error: BaseException | None = None
    _waiter: asyncio.Future[None] | None = None

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None], buffers: Buffers) -> None:
        """`pause` and `resume` stop the caller from sending and let it go on."""
        self._pause = pause
        self._resume = resume
        self._buffers = buffers
        self._pieces: list[bytes] = []

    @property
    def awaited(self) -> bool:
        """Whether the reader waits for more."""
        return self._waiter is not None

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        if not data:
            return
        self._pieces.append(data)
        self._count(self._waiting + len(data))
        if self._waiting >= self._buffers.portion:
            self._paused = True
            self._pause()
        self._wake()

    def end(self, trailers: Headers = ()) -> None:
        """Note that all has arrived."""
        self.trailers = trailers
        self.ended = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Note that the rest will never arrive; `read` raises `error`."""
        self.drop()
        if not self.ended and self._error is None:
            self._error = error
            self._wake()

    def drop(self) -> None:
        """Stop counting what is here: it will not be read, and is gone in a moment."""
        self._count(0)

    def at_hand(self) -> bytes | None:
        """Take the whole content if all of it has arrived, else None. To be called before `read`."""
        return self._take() if self.ended else None

    async def read(self) -> bytes:
        """Wait for the next piece, empty at the end; raises the error of `fail`. May be cancelled and called again."""
        while not self._pieces:
            if self.ended:
                return b""
            if self._error is not None:
                # A copy: the traceback of one that is kept here would keep all that its reader's frames hold.
                raise copy(self._error)
            self._go_on()
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
        if self._waiting:
            self._count(0)
        if self.ended:
            # What comes now belongs to the next request.
            self._go_on()
        return data

    def _go_on(self) -> None:
        """Let the caller send more."""
        if self._paused:
            self._paused = False
            self._resume()

    def _count(self, size: int) -> None:
        self._buffers.waiting += size - self._waiting
        self._waiting = size

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


NO_BODY = IncomingBody(lambda: None, lambda: None, Buffers(0))
"""The content of a request that has none."""
NO_BODY.ended = True
