"""What a proxy in the test's own process has been asked for, as it goes on."""

import asyncio

from proxy.logs import AccessEntry, AccessLog

PATIENCE = 20.0


class Arrivals(AccessLog):
    """The requests that the proxy has answered, in the place of its access log."""

    def __init__(self) -> None:
        self.entries: list[AccessEntry] = []
        self._news = asyncio.Event()

    def __call__(self, entry: AccessEntry) -> None:
        self.entries.append(entry)
        self._news.set()

    def flush(self) -> None:
        """There is nothing to write."""

    async def of(self, paths: set[str], status: int | None = None) -> None:
        """Wait until each of `paths` has been asked for, and been answered with `status` where that matters."""
        async with asyncio.timeout(PATIENCE):
            while missing := paths - {entry.path for entry in self.entries if status in (None, entry.status)}:
                self._news.clear()
                try:
                    await self._news.wait()
                except asyncio.CancelledError:
                    raise AssertionError(f"nobody ever asked for {missing}") from None
