"""Requests that have ended, handed on in batches: one by one, their log lines would halve the speed."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from proxy.access import AccessEntry

BATCH_SECONDS = 0.05

Reader: TypeAlias = Callable[[Sequence[AccessEntry], float], None]
"""Is given entries, and what to add to their readings of the performance counter to have wall time."""


class Journal:
    """Notes every request, and tells its readers a moment later."""

    def __init__(self, *readers: Reader) -> None:
        self._readers = readers
        self._entries: list[AccessEntry] = []

    def __call__(self, entry: AccessEntry) -> None:
        """Note one request, which has just ended."""
        if not self._entries:
            asyncio.get_running_loop().call_later(BATCH_SECONDS, self.flush)
        self._entries.append(entry)

    def flush(self) -> None:
        """Tell the readers now."""
        entries, self._entries = self._entries, []
        if entries:
            offset = time.time() - time.perf_counter()
            for reader in self._readers:
                reader(entries, offset)
