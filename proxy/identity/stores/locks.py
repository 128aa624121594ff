"""Locks on files, which hold between processes and end with whoever holds them (flock(2))."""

import fcntl
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from proxy.errors import StoreBusy, StoreFailed
from proxy.model import Clock

_POLL = 0.02
_PATIENCE = 5.0
"""Seconds. Less than a caller waits for a sign-in (`timeouts.auth`), who then hears what the matter is."""


@asynccontextmanager
async def locked(path: Path, clock: Clock) -> AsyncIterator[None]:
    """Hold the lock, waiting for it without holding up the event loop.

    Raises StoreBusy where another process does not let go of the lock, another StoreFailed where there can be none.
    """
    descriptor = _opened(path)
    try:
        end = clock.now().monotonic + _PATIENCE
        while not _taken(descriptor, path):
            _give_up_at(end, clock.now().monotonic, path)
            await clock.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_here(path: Path, turn: threading.Lock) -> Iterator[None]:
    """The same for a thread of its own; those of this process wait for their `turn` first, which costs no polling."""
    end = time.monotonic() + _PATIENCE  # over both, or each thread would sit out a whole one after the other
    if not turn.acquire(timeout=_PATIENCE):
        raise _held(path)
    try:
        descriptor = _opened(path)
        try:
            while not _taken(descriptor, path):
                _give_up_at(end, time.monotonic(), path)
                time.sleep(_POLL)
            yield
        finally:
            os.close(descriptor)
    finally:
        turn.release()


def _make_folder(folder: Path) -> None:
    """Make `folder` where it is missing, for nobody else to look into; raises StoreFailed."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise failed(folder, error) from None


def failed(path: Path, error: OSError) -> StoreFailed:
    return StoreFailed(f"{path} cannot be used: {error.strerror}")


def _opened(path: Path) -> int:
    _make_folder(path.parent)
    try:
        # Never removed: who waits for a lock on a file that is gone would hold it beside another.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise failed(path, error) from None


def _taken(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        raise failed(path, error) from None
    return True


def _give_up_at(end: float, now: float, path: Path) -> None:
    if now >= end:
        raise _held(path)


def _held(path: Path) -> StoreBusy:
    return StoreBusy(f"{path} has been held by another process for too long", retry_after=_PATIENCE)
