"""How a token is come by: from the session that is kept, else from a sign-in.

One try, by the state of the session (`SessionState`). The store's lock is held from the first line to the last, so that
of the processes that share a store one renews and the others take up what it left. Other failures change nothing.

| session   | what happens                                                           | then                          |
|-----------|------------------------------------------------------------------------|-------------------------------|
| `STORED`, | the store has another one, or none                                     | that one, `STORED`            |
| `REFUSED` |                                                                        |                               |
| `STORED`, | its refresh token is sent; the renewal is `EXCHANGING` until its       | `STORED`, or `UNSAVED` where  |
| `UNSAVED` | successor has come and been saved                                      | the store cannot be given it  |
|           | Cognito refuses the refresh token                                      | `REFUSED`, and then a sign-in |
| `REFUSED` | a sign-in                                                              | `STORED` or `UNSAVED`         |
| or none   | there is no password, or it has failed: the renewal is `BLOCKED`       | as it was                     |
| `UNSAVED` | the store takes it later: in the background, or at the end             | `STORED`                      |
| `STORED`  | the profile has another `token_store` from now on                      | `UNSAVED`                     |
| `REFUSED` | a person says that it may work now                                     | `STORED`                      |
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Protocol

from proxy.errors import LoginRequired, RefreshRejected, StoreBusy, StoreFailed, TokensUnverified
from proxy.errors.names import login_command, variables
from proxy.identity.issued import Device, Session, Token
from proxy.identity.profile import Profile
from proxy.identity.stores.base import Store
from proxy.identity.tokens.single_flight import RenewalState
from proxy.identity.tokens.state import ProfileState, SessionState

log = logging.getLogger(__name__)


class TokenIssuer(Protocol):
    """Issues tokens. Both methods raise a CredentialError."""

    async def sign_in(self, profile: Profile, *, device: Device | None = None) -> Token:
        """Begin a session; `device` is that of an earlier one."""
        ...

    async def renew(self, profile: Profile, session: Session) -> Token:
        """Return a new token of a session; raises RefreshRejected where it has ended.

        TokensUnverified may bring a refresh token, which takes the place of the one that was shown.
        """
        ...


class Renewals:
    """Renews where it can and signs in where it must. What it returns outlives the process if the store does."""

    def __init__(self, issuer: TokenIssuer, store_of: Callable[[Profile], Store]) -> None:
        self._issuer = issuer
        self._store_of = store_of

    async def obtain(self, state: ProfileState) -> Token:
        """Return a new token; its refresh token is in the store by then. Raises a CredentialError.

        Another process that shares the store may have renewed meanwhile: what it left is used, never what it used up.
        """
        async with self._exclusive(state.profile):
            known = state.session
            session = await self._load(state)
            rejected = None
            if session is not None and state.can_renew:
                try:
                    return await self._renew(state, session)
                except RefreshRejected as error:
                    # Not unsaved any more either, or a dead session would stand before what `login` brings.
                    state.session, state.session_state = session, SessionState.REFUSED
                    rejected = error
            _refuse_without_password(state, rejected, known or session)
            if rejected is not None:
                log.warning("the session of profile %s has ended: %s", state.name, rejected.detail)
            token = await self._issuer.sign_in(state.profile, device=session.device if session else None)
            await self._save(state, token.session)
            state.sign_ins += 1
            state.outcome = "signed in"
            return token

    async def has_session(self, state: ProfileState) -> bool:
        """Return whether there is a session that may work."""
        await self._load(state)
        return state.can_renew

    async def save_again(self, state: ProfileState) -> None:
        """Give the store what it could not be given before, quietly: the first failure has been logged."""
        if state.session_state is not SessionState.UNSAVED:
            return
        store = self._store_of(state.profile)
        # With the lock, or what a renewal saves meanwhile might be replaced by what it has used up.
        with suppress(StoreFailed):
            async with store.exclusive(state.profile):
                if state.session is not None and state.session_state is SessionState.UNSAVED:
                    await store.save(state.profile, state.session)
                    state.session_state = SessionState.STORED
                    log.info("the session of profile %s is saved now", state.name)

    async def _renew(self, state: ProfileState, session: Session) -> Token:
        state.renewal = RenewalState.EXCHANGING
        try:
            try:
                token = await self._issuer.renew(state.profile, session)
            except TokensUnverified as error:
                if error.refresh_token is not None:
                    # The one that was shown may be used up: without this one the next try would end the session.
                    await self._keep(state, replace(session, refresh_token=error.refresh_token), session)
                raise
            await self._keep(state, token.session, session)
        finally:
            state.renewal = RenewalState.OBTAINING
        state.renewals += 1
        state.outcome = "renewed"
        return token

    async def _load(self, state: ProfileState) -> Session | None:
        """Return the newest session."""
        if state.session_state is not SessionState.UNSAVED:
            try:
                state.take_up(await self._store_of(state.profile).load(state.profile))
            except StoreFailed as error:
                log.warning("the session of profile %s cannot be loaded: %s", state.name, error.detail)
        return state.session

    async def _keep(self, state: ProfileState, session: Session, before: Session) -> None:
        """Save a session unless it is the one `before` it, which the store has."""
        if session != before or state.session_state is SessionState.UNSAVED:
            await self._save(state, session)

    async def _save(self, state: ProfileState, session: Session) -> None:
        state.session, state.session_state = session, SessionState.STORED
        if session.refresh_token is None:
            return
        try:
            await self._store_of(state.profile).save(state.profile, session)
        except StoreFailed as error:
            state.session_state = SessionState.UNSAVED
            log.error(  # noqa: TRY400 - the traceback says nothing that the sentence does not
                "the session of profile %s cannot be saved and ends with this process: %s. %s",
                state.name,
                error.detail,
                error.hint,
            )

    @asynccontextmanager
    async def _exclusive(self, profile: Profile) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._store_of(profile).exclusive(profile))
            except StoreBusy:
                # Somebody has the lock, slow perhaps and not hung: beside them a refresh token that they use up, or a
                # one-time code, would be shown twice, and the session or the login be believed dead.
                raise
            except StoreFailed as error:
                log.warning("profile %s is renewed without a lock: %s", profile.name, error.detail)
            yield


def _refuse_without_password(state: ProfileState, rejected: RefreshRejected | None, session: Session | None) -> None:
    """Raise what stands in the way of a sign-in, where nobody has mended it."""
    profile = state.profile
    if state.error is not None and state.needs_person:
        # What failed with this login would fail again, and lock the user out in the end.
        raise state.error.with_traceback(None)
    if session is not None and profile.login_lacks:
        raise LoginRequired(
            rejected.detail if rejected else "the session has ended",
            hint=f"Run {login_command(profile.name)}, or set {variables(profile.login_lacks, profile.name)}.",
        )
