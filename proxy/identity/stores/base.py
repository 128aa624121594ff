"""The interface of every store."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from proxy.identity.issued import Session
from proxy.identity.profile import Profile


class Store(Protocol):
    """Keeps one session for every profile and user pool. Its methods raise StoreFailed.

    A session belongs to the user pool, the app client and, where the profile names one, the user that it was saved for:
    nobody else is given it.
    """

    @property
    def where(self) -> str:
        """The place, in words for a person."""
        ...

    async def load(self, profile: Profile) -> Session | None:
        """The session that is kept for `profile`; its `saved_at` is set."""
        ...

    async def save(self, profile: Profile, session: Session) -> None:
        """Keep `session` in place of the one before it. It is safe once this returns.

        The profile's `username` is remembered as the name that was given at the sign-in.
        """
        ...

    async def forget(self, profile: Profile) -> None:
        """Keep nothing for `profile`, whoever signed in. It is no error where nothing was kept."""
        ...

    def exclusive(self, profile: Profile) -> AbstractAsyncContextManager[None]:
        """While it is held, nobody else on this machine is inside `exclusive` for the same profile and store.

        To be held over a renewal: load, renew, save. Other profiles do not wait. Raises StoreBusy
        where others do not let go of the lock, another StoreFailed where there can be none.
        """
        ...
