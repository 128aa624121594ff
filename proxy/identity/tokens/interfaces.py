"""Whom the keeper works with."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from proxy.identity.issued import Device, Session, Token
from proxy.identity.profile import Profile


class TokenIssuer(Protocol):
    """Who issues tokens. Both methods raise an error of `errors.py`."""

    async def sign_in(self, profile: Profile, *, device: Device | None = None) -> Token:
        """A new session; `device` is that of an earlier one."""
        ...

    async def renew(self, profile: Profile, session: Session) -> Token:
        """A new token of a session; raises RefreshRejected where it has ended.

        TokensUnverified may bring a refresh token, which takes the place of the one that was shown.
        """
        ...


class SessionStore(Protocol):
    """Where sessions outlive tokens, and perhaps the process. All methods raise StoreFailed."""

    async def load(self, profile: Profile) -> Session | None:
        """The session that is kept for `profile`."""
        ...

    async def save(self, profile: Profile, session: Session) -> None:
        """Keep `session`; it is safe once this returns."""
        ...

    def exclusive(self, profile: Profile) -> AbstractAsyncContextManager[None]:
        """Keep others, in other processes too, from renewing the same session meanwhile; raises StoreBusy, too."""
        ...
