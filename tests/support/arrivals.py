"""What a proxy in the test's own process has been asked for, as it goes on."""

import asyncio
from collections.abc import Sequence

from proxy.model import RequestRecord

PATIENCE = 20.0


class Arrivals:
    """The requests that the proxy has answered, in the place of its access log."""

    def __init__(self) -> None:
        self.entries: list[RequestRecord] = []
        self._news = asyncio.Event()

    def __call__(self, entries: Sequence[RequestRecord], _offset: float) -> None:
        self.entries.extend(entries)
        self._news.set()

    async def of(self, paths: set[str], status: int | None = None) -> None:
        """Wait until each of `paths` has been asked for, and been answered with `status` where that matters."""
        async with asyncio.timeout(PATIENCE):
            while missing := paths - {entry.path for entry in self.entries if status in (None, entry.status)}:
                self._news.clear()
                try:
                    await self._news.wait()
                except asyncio.CancelledError:
                    raise AssertionError(f"nobody ever asked for {missing}") from None
