"""A store that ends with the process."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.identity.issued import Session
from proxy.identity.profile import Profile
from proxy.identity.stores.records import Key, Record, key_of, record_of
from proxy.model import Clock


class MemoryStore:
    """Nothing of it is ever on a disk."""

    where = "the memory of this process"

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` returns wall seconds."""
        self._now = now
        self._records: dict[Key, Record] = {}
        self._locks: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self, profile: Profile) -> Session | None:
        record = self._records.get(key_of(profile))
        return record.session if record is not None and record.serves(profile) else None

    async def save(self, profile: Profile, session: Session) -> None:
        record = record_of(profile, session, self._records.get(key_of(profile)), self._now())
        self._records[record.key] = record

    async def forget(self, profile: Profile) -> None:
        self._records.pop(key_of(profile), None)

    @asynccontextmanager
    async def exclusive(self, profile: Profile) -> AsyncIterator[None]:
        async with self._locks[key_of(profile)]:
            yield


def open_store(_argument: str, _folder: Path | None, clock: Clock) -> MemoryStore:
    """Open the store of the form memory."""
    return MemoryStore(lambda: clock.now().wall)
