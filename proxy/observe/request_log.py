"""Requests that have ended, handed on in batches: one by one, their log lines would halve the speed.

Reading a batch holds up the requests of that moment. Code that knows a moment without any calls `RequestLog.flush`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from proxy.model import RequestRecord

BATCH_SECONDS = 0.05
BATCH = 64
"""Entries that do not wait for that."""

Reader: TypeAlias = Callable[[Sequence[RequestRecord], float], None]
"""Is given entries, and what to add to their readings of the performance counter to have wall time."""


class RequestLog:
    """Notes every request, and tells its readers a moment later."""

    def __init__(self, *readers: Reader) -> None:
        self._readers = list(readers)
        self._entries: list[RequestRecord] = []
        self._due = False
        """A timer runs: to make and cancel one for each of a lone caller's requests takes longer than to let it run."""

    def __call__(self, entry: RequestRecord) -> None:
        """Note one request, which has just ended."""
        entries = self._entries
        entries.append(entry)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(BATCH_SECONDS, self._fall_due)
        elif len(entries) == BATCH:
            asyncio.get_running_loop().call_soon(self.flush)

    def follow(self, reader: Reader) -> None:
        """Tell one more reader from now on."""
        self._readers.append(reader)

    def leave(self, reader: Reader) -> None:
        """Tell `reader` nothing any more."""
        self._readers.remove(reader)

    def _fall_due(self) -> None:
        self._due = False
        self.flush()

    def flush(self) -> None:
        """Tell the readers now."""
        entries, self._entries = self._entries, []
        if entries:
            offset = time.time() - time.perf_counter()
            for reader in self._readers:
                reader(entries, offset)


class Recent:
    """A reader that keeps the last `limit` requests, for whoever comes late."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batches: deque[tuple[Sequence[RequestRecord], float]] = deque()
        self._count = 0

    def __call__(self, entries: Sequence[RequestRecord], offset: float) -> None:
        kept = entries[-self._limit :]
        self._batches.append((kept, offset))
        self._count += len(kept)
        while self._count - len(self._batches[0][0]) >= self._limit:
            self._count -= len(self._batches.popleft()[0])

    def __iter__(self) -> Iterator[tuple[Sequence[RequestRecord], float]]:
        """What was told, the oldest first: a few more than `limit`, since batches stay together."""
        return iter(tuple(self._batches))
