"""How a token is come by: from the session that is kept, else from a sign-in."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

from proxy.errors import LoginRequired, RefreshRejected, StoreBusy, StoreFailed, TokensUnverified
from proxy.errors.names import login_command, variables
from proxy.identity.issued import Session, Token
from proxy.identity.profile import Profile
from proxy.identity.tokens.interfaces import SessionStore, TokenIssuer
from proxy.identity.tokens.state import ProfileState

log = logging.getLogger(__name__)


class Renewals:
    """Renews where it can and signs in where it must. What it returns outlives the process if the store does."""

    def __init__(self, authority: TokenIssuer, store: SessionStore) -> None:
        self._authority = authority
        self._store = store

    async def obtain(self, slot: ProfileState) -> Token:
        """A new token; its refresh token is in the store by then. Raises a CredentialError.

        Another process that shares the store may have renewed meanwhile: what it left is used, never what it used up.
        """
        async with self._exclusive(slot.profile):
            known = slot.session
            session = await self._kept(slot)
            rejected = None
            if session is not None and session.refresh_token not in (None, slot.refused):
                try:
                    return await self._renewed(slot, session)
                except RefreshRejected as error:
                    slot.refused, rejected = session.refresh_token, error
                    slot.unsaved = False  # or a dead session would stand before what `login` brings
            _refuse_without_password(slot, rejected, known or session)
            if rejected is not None:
                log.warning("the session of profile %s has ended: %s", slot.profile.name, rejected.detail)
            token = await self._authority.sign_in(slot.profile, device=session.device if session else None)
            await self._keep(slot, token.session, None)
            slot.sign_ins += 1
            slot.outcome = "signed in"
            return token

    async def has_session(self, slot: ProfileState) -> bool:
        """Whether there is a session that may work."""
        session = await self._kept(slot)
        return session is not None and session.refresh_token not in (None, slot.refused)

    async def save_again(self, slot: ProfileState) -> None:
        """Give the store what it could not be given before, quietly: the first failure has been told."""
        if slot.unsaved:
            with suppress(StoreFailed):
                # Or what a renewal saves meanwhile might be replaced by what it has used up.
                async with self._store.exclusive(slot.profile):
                    await self._save_unsaved(slot)

    async def _save_unsaved(self, slot: ProfileState) -> None:
        session = slot.session
        if not slot.unsaved or session is None or session.refresh_token in (None, slot.refused):
            return
        await self._store.save(slot.profile, session)
        slot.unsaved = False
        log.info("the session of profile %s is saved now", slot.profile.name)

    async def _renewed(self, slot: ProfileState, session: Session) -> Token:
        slot.landing = True
        try:
            try:
                token = await self._authority.renew(slot.profile, session)
            except TokensUnverified as error:
                if error.refresh_token is not None:
                    # The one that was shown may be used up: without this one the next try would end the session.
                    await self._keep(slot, replace(session, refresh_token=error.refresh_token), session)
                raise
            await self._keep(slot, token.session, session)
        finally:
            slot.landing = False
        slot.renewals += 1
        slot.outcome = "renewed"
        return token

    async def _kept(self, slot: ProfileState) -> Session | None:
        """The newest session."""
        if not slot.unsaved:
            try:
                slot.session = await self._store.load(slot.profile)
            except StoreFailed as error:
                log.warning("the session of profile %s cannot be loaded: %s", slot.profile.name, error.detail)
        return slot.session

    async def _keep(self, slot: ProfileState, session: Session, before: Session | None) -> None:
        is_kept = session == before and not slot.unsaved
        slot.session, slot.unsaved = session, False
        if session.refresh_token is None or is_kept:
            return
        try:
            await self._store.save(slot.profile, session)
        except StoreFailed as error:
            slot.unsaved = True
            log.error(  # noqa: TRY400 - the traceback says nothing that the sentence does not
                "the session of profile %s cannot be saved and ends with this process: %s. %s",
                slot.profile.name,
                error.detail,
                error.hint,
            )

    @asynccontextmanager
    async def _exclusive(self, profile: Profile) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._store.exclusive(profile))
            except StoreBusy:
                # Somebody has the lock, slow perhaps and not hung: beside them a refresh token that they use up, or a
                # one-time code, would be shown twice, and the session or the login be believed dead.
                raise
            except StoreFailed as error:
                log.warning("profile %s is renewed without a lock: %s", profile.name, error.detail)
            yield


def _refuse_without_password(slot: ProfileState, rejected: RefreshRejected | None, session: Session | None) -> None:
    """Raise what stands in the way of a sign-in, where nobody has mended it."""
    profile = slot.profile
    if slot.error is not None and slot.grounded:
        # What failed with this login would fail again, and lock the user out in the end.
        raise slot.error.with_traceback(None)
    if session is not None and profile.login_lacks:
        raise LoginRequired(
            rejected.detail if rejected else "the session has ended",
            hint=f"Run {login_command(profile.name)}, or set {variables(profile.login_lacks, profile.name)}.",
        )
