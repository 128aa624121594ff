"""Which store a setting names."""

import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.errors import SettingsError, StoreFailed
from proxy.identity.issued import Session
from proxy.identity.profile import Profile
from proxy.identity.stores.base import Store
from proxy.identity.stores.file import FileStore
from proxy.identity.stores.keyring import KeyringStore, load_library
from proxy.identity.stores.memory import MemoryStore
from proxy.identity.stores.specs import FORMS, fits
from proxy.model import Clock

log = logging.getLogger(__name__)

_FOLDER = "ul-proxy"
_FILE = "sessions.json"


def open_store(spec: str, *, state_home: Path | None, clock: Clock, always: bool = False) -> Store:
    """Open the store of a `token_store` setting, which has one of the FORMS; raises SettingsError.

    `auto` is what `login` kept. With `always`, as `login` has it, it keeps every session: in the keyring where the
    extra is installed and works, else in a file below `state_home`. Without, as `serve` has it, it replaces sessions
    that are kept already, and others stay in memory.
    """
    if not fits(spec):
        raise SettingsError(f"token_store {spec!r} is unknown", hint=f"Set it to one of {', '.join(FORMS)}.")
    folder = None if state_home is None else state_home / _FOLDER
    if spec == "auto":
        return AutoStore(_places(folder, clock), MemoryStore(lambda: clock.now().wall), always=always)
    kind, _, argument = spec.partition(":")
    # Only what is used is loaded: a store may need a library that is an extra.
    store: Store = importlib.import_module(f"proxy.identity.stores.{kind}").open_store(argument, folder, clock)
    return store


class AutoStore:
    """What `login` kept, wherever that was."""

    def __init__(self, places: Sequence[Store], memory: Store, *, always: bool) -> None:
        """`places` by preference; `memory` is for what is kept nowhere else."""
        self._places = places
        self._memory = memory
        self._always = always
        self._complaints: set[str] = set()
        """What the log has said."""

    @property
    def where(self) -> str:
        return self._places[0].where if self._places and self._always else f"{self._memory.where}, or what login kept"

    async def load(self, profile: Profile) -> Session | None:
        place = await self._holder(profile)
        return await (place or self._memory).load(profile)

    async def save(self, profile: Profile, session: Session) -> None:
        holder = await self._holder(profile)
        if not self._always:
            await (holder or self._memory).save(profile, session)
            return
        for place in self._places:
            if await self._done(place.save(profile, session)):
                if holder is not None and holder is not place:
                    await self._done(holder.forget(profile))
                return
        raise StoreFailed("there is no place to keep the session", hint="Set token_store to file:PATH.")

    async def forget(self, profile: Profile) -> None:
        for place in (*self._places, self._memory):
            await place.forget(profile)

    @asynccontextmanager
    async def exclusive(self, profile: Profile) -> AsyncIterator[None]:
        # Who keeps nothing leaves nothing behind, no lock either.
        holder = await self._holder(profile)
        async with (holder or self._memory).exclusive(profile):
            yield

    async def _holder(self, profile: Profile) -> Store | None:
        """Return the place where a session of `profile` is kept."""
        for place in self._places:
            try:
                if await place.load(profile) is not None:
                    return place
            except StoreFailed as error:
                self._complain(error)
        return None

    async def _done(self, work: Awaitable[None]) -> bool:
        """Wait for what a store was asked for; where it fails, the log says why."""
        try:
            await work
        except StoreFailed as error:
            self._complain(error)
            return False
        return True

    def _complain(self, error: StoreFailed) -> None:
        # Each place is asked again for every sign-in, and more than once.
        if error.detail not in self._complaints:
            self._complaints.add(error.detail)
            log.warning("%s. %s", error.detail, error.hint)


class ProfileStores:
    """The store of each profile, as its own `token_store` has it."""

    def __init__(self, default: str, *, state_home: Path | None, clock: Clock) -> None:
        """`default` is the `token_store` of profiles that have none of their own."""
        self._default = default
        self._state_home = state_home
        self._clock = clock
        self._stores: dict[str, Store] = {}

    def of(self, profile: Profile) -> Store:
        """Return the store that keeps `profile`; raises SettingsError."""
        spec = profile.token_store or self._default
        if spec not in self._stores:
            self._stores[spec] = open_store(spec, state_home=self._state_home, clock=self._clock)
        return self._stores[spec]


def _places(folder: Path | None, clock: Clock) -> list[Store]:
    """Return where `login` keeps sessions, the best place first."""
    if folder is None:
        return []
    file = FileStore(folder / _FILE, clock)
    try:
        keyring = KeyringStore(load_library(), locks=folder, clock=clock)
    except SettingsError:
        return [file]
    return [keyring, file] if keyring.works else [file]
