"""The states of a renewal and of a session: what single_flight.py and renewal.py say of them, one change a test."""

import asyncio
from dataclasses import replace

import pytest
from support.clock import FakeClock, settle
from support.issuer import PROFILE, ScriptedIssuer, new_manager
from support.sessions import refresh_token, session

from proxy.errors import CredentialError, LoginRequired, RefreshRejected, SignInFailed
from proxy.identity.stores.memory import MemoryStore
from proxy.identity.tokens.single_flight import RenewalState
from proxy.identity.tokens.state import ProfileState, SessionState

IDLE, OBTAINING, EXCHANGING, BACKING_OFF, BLOCKED = RenewalState
STORED, UNSAVED, REFUSED = SessionState

DOWN = SignInFailed("Cognito is down")
WRONG = LoginRequired("the password is wrong")
DEAD = RefreshRejected("revoked")


@pytest.mark.parametrize(
    ("kept", "fail_renewal", "fail_sign_in", "meanwhile", "afterwards"),
    [
        (True, None, None, EXCHANGING, IDLE),
        (True, DOWN, None, EXCHANGING, BACKING_OFF),
        (True, DEAD, None, EXCHANGING, IDLE),
        (True, DEAD, WRONG, EXCHANGING, BLOCKED),
        (False, None, None, OBTAINING, IDLE),
        (False, None, DOWN, OBTAINING, BACKING_OFF),
        (False, None, WRONG, OBTAINING, BLOCKED),
    ],
)
async def test_a_renewal_is_in_one_state_while_it_runs_and_in_one_afterwards(
    kept: bool,
    fail_renewal: CredentialError | None,
    fail_sign_in: CredentialError | None,
    meanwhile: RenewalState,
    afterwards: RenewalState,
) -> None:
    """A refresh token on its way is no sign-in, and what time mends is not what a person must mend."""
    issuer, store = ScriptedIssuer(FakeClock()), MemoryStore(lambda: 0.0)
    manager = new_manager(issuer, store=store)
    state = manager._state("default")
    if kept:
        await store.save(PROFILE, session())
    issuer.fail_renewal, issuer.fail_sign_in = lambda: fail_renewal, lambda: fail_sign_in
    issuer.gate.clear()
    asking = asyncio.gather(manager.get("default"), return_exceptions=True)
    await settle()
    assert state.renewal is meanwhile
    issuer.gate.set()
    await issuer.clock.advance(60)
    await asking
    assert state.renewal is afterwards
    issuer.fail_renewal = issuer.fail_sign_in = None
    manager.try_again()
    await settle()
    assert state.renewal is IDLE
    await manager.close()


@pytest.mark.parametrize(
    ("before", "stored", "then"),
    [
        (STORED, "b", ("b", STORED)),
        (STORED, None, (None, STORED)),
        (UNSAVED, "b", ("a", UNSAVED)),
        (REFUSED, "a", ("a", REFUSED)),
        (REFUSED, "b", ("b", STORED)),
        (REFUSED, None, (None, STORED)),
    ],
)
def test_what_a_store_has_is_taken_up_unless_it_is_older_or_dead(
    before: SessionState, stored: str | None, then: tuple[str | None, SessionState]
) -> None:
    """A session that could not be saved is newer than the store's, and one that was refused is not shown again."""
    state = ProfileState("default", PROFILE, FakeClock().now(), session=session("a"), session_state=before)
    state.take_up(None if stored is None else session(stored))
    assert (refresh_token(state.session), state.session_state) == then


@pytest.mark.parametrize(("before", "then"), [(STORED, UNSAVED), (UNSAVED, UNSAVED), (REFUSED, REFUSED)])
def test_another_store_is_owed_a_session_that_works(before: SessionState, then: SessionState) -> None:
    """Where `token_store` changes, what was refused is not carried over."""
    state = ProfileState("default", PROFILE, FakeClock().now(), session=session("a"), session_state=before)
    assert state.with_login(replace(PROFILE, token_store="file:/elsewhere")).session_state is then
