"""The content of a request, held while it passes so that it can be sent again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from proxy.errors import Overloaded
from proxy.http.buffers import Buffers
from proxy.http.grammar.fields import Headers


class HeldBody:
    """Passes a body on, and keeps it while it is no more than `limit` bytes and `buffers` has room for it."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        limit: int,
        buffers: Buffers,
        *,
        at_hand: Callable[[], bytes | None] = lambda: None,
        trailers: Callable[[], Headers] = tuple,
    ) -> None:
        """`read` returns the next piece, empty at the end; it may be cancelled and called again.

        `at_hand` returns the whole body where all of it has arrived, else None; `trailers`, asked at the end, the
        trailer section.
        """
        self._read = read
        self._at_hand = at_hand
        self.trailers = trailers
        self._limit = limit
        self._buffers = buffers
        self._kept = True
        """Whether all that has passed is held."""
        self._counted = 0
        """Bytes of it in the account that all requests share."""
        self._held: list[bytes] = []
        self._size = 0
        self._whole: bytes | None = None
        # An earlier stream may still be on its way out of `read` when the next one begins.
        self._reading = asyncio.Lock()

    @property
    def replayable(self) -> bool:
        """Whether `stream` can still begin at the first byte."""
        return self._kept

    def close(self) -> None:
        """Keep nothing any more."""
        self._kept = False
        self._held.clear()
        self._buffers.drop(self._counted)
        self._counted = 0

    @property
    def known(self) -> bytes | None:
        """What `at_hand` returned, None where nobody has called it."""
        return self._whole

    def at_hand(self) -> bytes | None:
        """Take the whole body, None where some of it had not arrived when it was first asked for."""
        if self._whole is None and not self._size:
            self._whole = self._at_hand()
            if self._whole:
                self._size = len(self._whole)
                self._keep(self._size)
        return self._whole

    async def whole(self, limit: int) -> bytes:
        """Read all of the body, or more than `limit` bytes where it is longer; to be called before `stream`.

        Raises Overloaded where there is no room to keep it meanwhile.
        """
        data = self.at_hand()
        if data is not None:
            return data
        pieces = []
        while self._size <= limit and (piece := await self._next()):
            pieces.append(piece)
        if self._size <= limit and not self._kept:
            raise Overloaded("there is no room to keep the request's content", retry_after=1)
        return b"".join(pieces)

    async def stream(self) -> AsyncIterator[bytes]:
        """Read the body from its beginning: what is held, then what is still to come."""
        for chunk in tuple(self._held):
            yield chunk
        # Handed over rather than named: what has been written must not wait here as well.
        piece: list[bytes] = []
        while chunk := await self._next():
            piece.append(chunk)
            del chunk
            yield piece.pop()

    async def _next(self) -> bytes:
        async with self._reading:
            chunk = await self._read()
            self._size += len(chunk)
            self._keep(len(chunk))
            if self._kept:
                self._held.append(chunk)
            return chunk

    def _keep(self, size: int) -> None:
        """Count `size` more bytes, or stop holding the body where they are too many."""
        if not self._kept:
            return
        if self._counted + size <= self._limit and self._buffers.keep(size):
            self._counted += size
        else:
            self.close()
