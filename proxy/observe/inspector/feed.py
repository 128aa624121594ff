"""Send a page what is new, as server-sent events (the HTML standard, section 9.2), as fast as it reads."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Any

MOST = 500
"""Requests that may wait for a page that does not read."""
_BEAT = 15.0
"""Seconds after which something is sent in any case: only by writing one learns that nobody is there."""


def event(value: Any) -> bytes:
    """A value that JSON can carry, as an event: in ASCII, so that no line of it can end too early."""
    return f"data: {json.dumps(value)}\n\n".encode()


class Watcher:
    """A page that looks on."""

    def __init__(self, most: int = MOST, beat: float = _BEAT) -> None:
        """`most` requests are kept for it until it reads, the newest; `beat` in seconds."""
        self._waiting: deque[str] = deque()
        self._most = most
        self._beat = beat
        self._dropped = 0
        self._news = asyncio.Event()
        self._over = False

    def tell(self, lines: Iterable[str], dropped: int = 0) -> None:
        """Requests, each as an object of JSON on one line; `dropped` is how many more there were."""
        self._waiting.extend(lines)
        self._dropped += dropped
        while len(self._waiting) > self._most:
            self._waiting.popleft()
            self._dropped += 1
        self._news.set()

    def end(self) -> None:
        """There will be no more."""
        self._over = True
        self._news.set()

    async def events(self) -> AsyncGenerator[bytes, None]:
        """What the page is sent, until there is no more: at once what it was told before, perhaps nothing."""
        self._news.set()
        while not self._over:
            try:
                async with asyncio.timeout(self._beat):
                    await self._news.wait()
            except TimeoutError:
                yield b":\n\n"
            else:
                self._news.clear()
                yield self._event()

    def _event(self) -> bytes:
        requests, dropped = ",".join(self._waiting), self._dropped
        self._waiting.clear()
        self._dropped = 0
        return f'data: {{"requests": [{requests}], "dropped": {dropped}}}\n\n'.encode()
