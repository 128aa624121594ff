"""Sessions in the keyring of the desktop. The library is an extra, and loaded where it is used."""

import asyncio
import hashlib
import importlib
import logging
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from proxy.errors import SettingsError, StoreFailed
from proxy.identity.issued import Session
from proxy.identity.profile import Profile
from proxy.identity.stores.locks import locked
from proxy.identity.stores.records import DamagedError, NewerVersionError, Record, decode, encode, key_of, record_of
from proxy.model import Clock

log = logging.getLogger(__name__)

SERVICE = "ul-proxy"
_LOWEST_PRIORITY = 1
"""What the library calls a recommended backend; those below are stand-ins that fail or forget."""


class KeyringStore:
    """One entry for each session, under the service `ul-proxy`."""

    def __init__(self, library: Any, *, locks: Path, clock: Clock) -> None:
        """`library` is the module `keyring` or what looks like it; `locks` is a folder for the lock files."""
        self._library = library
        self._locks = locks
        self._clock = clock

    @property
    def where(self) -> str:
        return f"the keyring ({self._library.get_keyring().name})"

    @property
    def works(self) -> bool:
        """Whether there is a keyring behind the library, as far as it can tell without asking for a password."""
        try:
            return bool(self._library.get_keyring().priority >= _LOWEST_PRIORITY)
        except Exception:  # a backend raises what the system behind it raises
            log.debug("looking for a keyring", exc_info=True)
            return False

    async def load(self, profile: Profile) -> Session | None:
        record = await asyncio.to_thread(self._load, profile)
        return record.session if record is not None and record.serves(profile) else None

    async def save(self, profile: Profile, session: Session) -> None:
        await asyncio.to_thread(self._save, profile, session)

    async def forget(self, profile: Profile) -> None:
        await asyncio.to_thread(self._forget, profile)

    def exclusive(self, profile: Profile) -> AbstractAsyncContextManager[None]:
        digest = hashlib.sha256(_entry(profile).encode()).hexdigest()[:16]
        return locked(self._locks / f"keyring.{profile.name}.{digest}.lock", self._clock)

    def _load(self, profile: Profile) -> Record | None:
        text = self._ask("get_password", profile)
        if text is None:
            return None
        try:
            return next(iter(decode(text.encode())), None)
        except DamagedError:
            log.warning("the keyring's entry %r of %s is damaged: its session is lost", _entry(profile), SERVICE)
            return None
        except NewerVersionError:
            raise StoreFailed("a later version of ul-proxy has written to the keyring", hint="Update.") from None

    def _save(self, profile: Profile, session: Session) -> None:
        record = record_of(profile, session, self._load(profile), self._clock.now().wall)
        self._ask("set_password", profile, encode([record]).decode())

    def _forget(self, profile: Profile) -> None:
        if self._ask("get_password", profile) is not None:
            self._ask("delete_password", profile)

    def _ask(self, method: str, profile: Profile, *more: str) -> Any:
        try:
            return getattr(self._library, method)(SERVICE, _entry(profile), *more)
        except Exception as error:
            log.debug("asking the keyring", exc_info=True)
            raise StoreFailed(
                f"the keyring cannot be used ({type(error).__name__})", hint="Unlock it, or set token_store to a file."
            ) from None


def load_library() -> Any:
    """The module `keyring`; raises SettingsError where the extra is not installed."""
    try:
        return importlib.import_module("keyring")
    except ImportError:
        raise SettingsError(
            "token_store is keyring, which needs a library that is not installed",
            hint="Install it beside ul-proxy: pip install keyring.",
        ) from None


def _entry(profile: Profile) -> str:
    return " ".join(filter(None, key_of(profile)))


def open_store(_argument: str, folder: Path | None, clock: Clock) -> KeyringStore:
    """Open the store of the form keyring, with its locks in `folder`; raises SettingsError."""
    if folder is None:
        raise SettingsError("there is no home directory for the keyring's locks", hint="Set XDG_STATE_HOME.")
    return KeyringStore(load_library(), locks=folder, clock=clock)
