"""A request body that can be sent again as long as all of it that went by is still held."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable


class HeldBody:
    """Passes a body on while keeping its first `limit` bytes."""

    def __init__(self, read: Callable[[], Awaitable[bytes]], limit: int) -> None:
        """`read` returns the next piece, empty at the end; it may be cancelled and called again."""
        self._read = read
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0
        # An earlier stream may still be on its way out of `read` when the next one begins.
        self._reading = asyncio.Lock()

    @property
    def replayable(self) -> bool:
        """Whether `stream` can still begin at the first byte."""
        return self._size <= self._limit

    async def stream(self) -> AsyncIterator[bytes]:
        """The body from its beginning: what is held, then what is still to come."""
        for chunk in tuple(self._held):
            yield chunk
        while chunk := await self._next():
            yield chunk

    async def _next(self) -> bytes:
        async with self._reading:
            chunk = await self._read()
            self._size += len(chunk)
            if self.replayable:
                self._held.append(chunk)
            else:
                self._held.clear()
            return chunk
