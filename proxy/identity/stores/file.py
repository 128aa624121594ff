"""Sessions in a file: readable by its owner alone, replaced as a whole, shared with other processes."""

import asyncio
import errno
import logging
import os
import stat
import threading
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from proxy.errors import StoreFailed
from proxy.identity.issued import Session
from proxy.identity.profile import Profile
from proxy.identity.stores.locks import failed, locked, locked_here
from proxy.identity.stores.records import DamagedError, NewerVersionError, Record, decode, encode, key_of, record_of
from proxy.model import Clock

log = logging.getLogger(__name__)

_PRIVATE = 0o600
_OTHERS = 0o077


class FileStore:
    """A JSON file with its locks beside it: one for a moment's writing, and one for each profile's renewals."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = path.with_name(f"{path.name}.lock")
        self._turn = threading.Lock()

    @property
    def where(self) -> str:
        return f"the file {self._path}"

    async def load(self, profile: Profile) -> Session | None:
        return await asyncio.to_thread(self._load, profile)

    async def save(self, profile: Profile, session: Session) -> None:
        # A thread is not cancelled: what was begun is done.
        await asyncio.to_thread(self._replace, profile, session)

    async def forget(self, profile: Profile) -> None:
        if self._path.exists():
            await asyncio.to_thread(self._replace, profile, None)

    def exclusive(self, profile: Profile) -> AbstractAsyncContextManager[None]:
        return locked(self._path.with_name(f"{self._path.name}.{profile.name}.lock"), self._clock)

    def _load(self, profile: Profile) -> Session | None:
        try:
            records = self._records()
        except DamagedError:
            with locked_here(self._lock, self._turn):
                records = self._whole_records()
        return next((record.session for record in records if record.serves(profile)), None)

    def _replace(self, profile: Profile, session: Session | None) -> None:
        with locked_here(self._lock, self._turn):
            records = {record.key: record for record in self._whole_records()}
            before = records.pop(key_of(profile), None)
            if session is not None:
                record = record_of(profile, session, before, self._clock.now().wall)
                records[record.key] = record
            try:
                self._write(encode(list(records.values())))
            except OSError as error:
                raise failed(self._path, error) from None

    def _whole_records(self) -> list[Record]:
        """The records, none where the file was damaged: it is set aside. To be called with the lock."""
        with suppress(DamagedError):
            return self._records()
        aside = self._path.with_name(f"{self._path.name}.damaged-{self._clock.now().wall:.0f}")
        try:
            self._path.replace(aside)
        except OSError as error:
            raise failed(self._path, error) from None
        log.error("%s is damaged: it is now %s, and the sessions in it are lost", self._path, aside.name)
        return []

    def _records(self) -> list[Record]:
        """Raises DamagedError and StoreFailed."""
        try:
            text = self._read()
        except FileNotFoundError:
            return []
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise StoreFailed(f"{self._path} is a symbolic link", hint="Name the file itself.") from None
            raise failed(self._path, error) from None
        try:
            return decode(text)
        except NewerVersionError:
            raise StoreFailed(
                f"{self._path} was written by a later version of ul-proxy", hint="Update, or name another file."
            ) from None

    def _read(self) -> bytes:
        # A pipe would never end.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise StoreFailed(f"{self._path} is no file", hint="Name a file in token_store.")
            if found.st_mode & _OTHERS:
                os.fchmod(descriptor, _PRIVATE)
                log.warning("%s could be read by others: it is now for its owner alone", self._path)
            return file.read()

    def _write(self, text: bytes) -> None:
        """Replace the file. Whoever looks finds the old one or the new one, also after a power cut."""
        new = self._path.with_name(f".{self._path.name}.new")
        with suppress(FileNotFoundError):  # what a process left that was killed here
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        new.replace(self._path)
        _sync_folder(self._path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot
            raise
    finally:
        os.close(descriptor)


def open_store(path: str, _folder: Path | None, clock: Clock) -> FileStore:
    """Open the store of the form file:PATH."""
    return FileStore(Path(path), clock)
