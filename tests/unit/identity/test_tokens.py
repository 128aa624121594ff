"""The manager against an issuer whose every answer the test decides, on a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.clock import FakeClock, settle
from support.issuer import LIFE, POLICY, PROFILE, ScriptedIssuer, new_manager

from proxy.errors import LoginRequired, ProxyError, RefreshRejected, SignInFailed, SignInTimeout, UnknownProfile
from proxy.errors.defects import Defects, Where
from proxy.identity.tokens.manager import TokenManager


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> ScriptedIssuer:
    return ScriptedIssuer(clock)


@pytest.fixture
async def manager(clock: FakeClock, issuer: ScriptedIssuer) -> AsyncIterator[TokenManager]:
    manager = new_manager(issuer, patience=15.0)
    yield manager
    await manager.close()


def unreachable() -> ProxyError:
    return SignInFailed("Cognito cannot be reached")


def wrong_password() -> ProxyError:
    return LoginRequired("Cognito refused the user name or password")


async def test_a_crowd_on_a_cold_start_shares_one_sign_in(manager: TokenManager, issuer: ScriptedIssuer) -> None:
    """Two hundred callers without a token wait for one sign-in and get the same token."""
    issuer.gate.clear()
    callers = [asyncio.create_task(manager.get("default")) for _ in range(200)]
    await settle()
    issuer.gate.set()
    tokens = await asyncio.gather(*callers)
    assert issuer.sign_ins == 1
    assert len({id(token) for token in tokens}) == 1


async def test_a_caller_who_leaves_cancels_nothing(manager: TokenManager, issuer: ScriptedIssuer) -> None:
    """The sign-in goes on for the others when the caller who began it goes away."""
    issuer.gate.clear()
    first = asyncio.create_task(manager.get("default"))
    await settle()
    second = asyncio.create_task(manager.get("default"))
    await settle()
    first.cancel()
    await settle()
    issuer.gate.set()
    assert (await second).id_token.get_secret_value() == "id-1"
    assert issuer.sign_ins == 1


async def test_a_fresh_token_is_returned_without_a_call(manager: TokenManager, issuer: ScriptedIssuer) -> None:
    """While the token is fresh, Cognito is left alone."""
    first = await manager.get("default")
    assert await manager.get("default") is first
    assert (issuer.sign_ins, issuer.renewals) == (1, 0)


async def test_a_stale_token_is_used_while_it_is_renewed(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """After 80 % of its life a token still serves at once, and one renewal begins behind it."""
    first = await manager.get("default")
    issuer.gate.clear()
    await clock.advance(0.8 * LIFE)
    assert await manager.get("default") is first
    assert await manager.get("default") is first
    await settle()
    assert issuer.renewals == 1
    issuer.gate.set()
    await settle()
    assert (await manager.get("default")).id_token.get_secret_value() == "id-2"


async def test_an_ended_token_is_never_returned(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """A caller who comes after the token's end waits for the new one."""
    await manager.get("default")
    await clock.advance(LIFE)
    assert (await manager.get("default")).id_token.get_secret_value() == "id-2"


async def test_a_failed_renewal_keeps_the_good_token_and_backs_off(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """With Cognito gone, the good token serves until its end and tries are spaced."""
    first = await manager.get("default")
    issuer.fail_renewal = unreachable
    await clock.advance(0.8 * LIFE)
    for _ in range(100):
        assert await manager.get("default") is first
        await settle()
    assert issuer.renewals == 1
    await clock.advance(60)
    await manager.get("default")
    await settle()
    assert issuer.renewals == 2
    assert issuer.sign_ins == 1


async def test_background_renewal_needs_no_caller(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """A day without a single request still leaves a fresh token."""
    task = asyncio.create_task(manager.keep_fresh("default"))
    await clock.advance(24 * LIFE)
    assert manager.snapshot("default").state == "fresh"
    assert issuer.sign_ins == 1
    assert issuer.renewals == 30  # every 48 minutes of a day
    task.cancel()


async def test_background_sign_in_recovers_without_a_caller(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """A Cognito that is down at the start is tried again until it is back."""
    issuer.fail_sign_in = unreachable
    task = asyncio.create_task(manager.keep_fresh("default"))
    await clock.advance(600)
    assert 10 <= issuer.sign_ins <= 60
    assert manager.snapshot("default").state == "retrying"
    issuer.fail_sign_in = None
    await clock.advance(60)
    assert manager.snapshot("default").state == "fresh"
    task.cancel()


async def test_brief_trouble_at_the_start_is_sat_out(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """One throttled call does not fail the callers who wait for the first token."""
    failures = iter([SignInFailed("Cognito is throttling")])

    def throttled_once() -> Exception:
        issuer.fail_sign_in = None
        return next(failures)

    issuer.fail_sign_in = throttled_once
    caller = asyncio.create_task(manager.get("default"))
    await clock.advance(5)
    assert (await caller).id_token.get_secret_value() == "id-1"
    assert issuer.sign_ins == 2


async def test_lasting_trouble_is_reported_with_the_time_of_the_next_try(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """After a few tries callers hear of it; those who come while the manager backs off hear of it at once."""
    issuer.fail_sign_in = unreachable
    caller = asyncio.create_task(manager.get("default"))
    await clock.advance(4)
    with pytest.raises(SignInFailed) as caught:
        await caller
    assert caught.value.retry_after == 4.5
    await clock.advance(3)
    with pytest.raises(SignInFailed) as caught:
        await manager.get("default")
    assert caught.value.retry_after == 1.5
    assert issuer.sign_ins == POLICY.patient_tries


async def test_a_long_outage_costs_each_caller_one_try_at_most(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """A caller who comes when a try is due again waits for that one alone."""
    issuer.fail_sign_in = unreachable
    task = asyncio.create_task(manager.keep_fresh("default"))
    await clock.advance(300)
    task.cancel()
    await clock.advance(60)
    tried = issuer.sign_ins
    with pytest.raises(SignInFailed):
        await manager.get("default")
    assert issuer.sign_ins == tried + 1


async def test_a_wrong_password_is_tried_once(manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock) -> None:
    """A terminal failure reaches everybody at once and never tried again, however long the wait."""
    issuer.fail_sign_in = wrong_password
    task = asyncio.create_task(manager.keep_fresh("default"))
    await clock.advance(24 * LIFE)
    for _ in range(50):
        with pytest.raises(LoginRequired):
            await manager.get("default")
    assert issuer.sign_ins == 1
    assert manager.snapshot("default").state == "login_required"
    task.cancel()


async def test_a_slow_sign_in_times_out_for_the_caller_alone(clock: FakeClock, issuer: ScriptedIssuer) -> None:
    """A caller's patience ends with `sign_in_timeout` while the sign-in goes on for the next one."""
    manager = new_manager(issuer, patience=0.01)
    issuer.gate.clear()
    with pytest.raises(SignInTimeout):
        await manager.get("default")
    issuer.gate.set()
    await settle()
    await manager.get("default")
    assert issuer.sign_ins == 1
    await manager.close()


async def test_a_dead_session_without_a_way_to_sign_in_serves_to_the_end(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """A terminal failure of a renewal does not take away the token that is still good."""
    first = await manager.get("default")
    issuer.fail_renewal = lambda: RefreshRejected("revoked")
    issuer.fail_sign_in = wrong_password
    await clock.advance(0.8 * LIFE)
    assert await manager.get("default") is first
    await settle()
    assert await manager.get("default") is first
    await clock.advance(0.2 * LIFE)
    with pytest.raises(LoginRequired):
        await manager.get("default")
    assert issuer.sign_ins == 2


async def test_a_rejected_token_is_replaced_once(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """Many refusals of one token force one renewal; those who come late get the new token."""
    first = await manager.get("default")
    assert manager.reject("default", first)
    assert manager.reject("default", first)
    tokens = await asyncio.gather(*(manager.get("default") for _ in range(50)))
    assert {token.id_token.get_secret_value() for token in tokens} == {"id-2"}
    assert manager.reject("default", first)
    assert await manager.get("default") is tokens[0]
    assert issuer.renewals == 1


async def test_an_upstream_that_refuses_everything_causes_no_storm(
    manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
) -> None:
    """At most one renewal is forced in 30 seconds."""
    for _ in range(20):
        token = await manager.get("default")
        manager.reject("default", token)
        await clock.advance(1)
    assert issuer.renewals == 1
    await clock.advance(30)
    assert manager.reject("default", await manager.get("default"))
    await manager.get("default")
    assert issuer.renewals == 2


async def test_a_defect_does_not_end_the_renewals(
    issuer: ScriptedIssuer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that nobody foresaw is logged with its traceback, counted, and tried again like an outage."""
    defects = Defects()
    manager = new_manager(issuer, defects=defects)
    issuer.fail_sign_in = lambda: ZeroDivisionError("surprise")
    task = asyncio.create_task(manager.keep_fresh("default"))
    await clock.advance(10)
    assert sum(bool(record.exc_info) for record in caplog.records) == defects.counts[Where.RENEWING] >= 1
    issuer.fail_sign_in = None
    await clock.advance(60)
    assert manager.snapshot("default").state == "fresh"
    task.cancel()
    await manager.close()


@pytest.mark.parametrize(
    ("failure", "then"),
    [
        (LoginRequired("the password is wrong", hint="Set another."), "the password is wrong. Set another."),
        (LoginRequired("the password is wrong"), "the password is wrong."),
        (SignInFailed("Cognito is down", retry_after=90), "Cognito is down. Next try in 90.0 s."),
    ],
    ids=["terminal", "without a hint", "transient"],
)
async def test_a_failure_is_logged_in_sentences(
    failure: ProxyError, then: str, clock: FakeClock, issuer: ScriptedIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """What happened is one sentence, what mends it the next."""
    issuer.fail_sign_in = lambda: failure
    manager = new_manager(issuer, patience=1)
    with pytest.raises(type(failure)):
        await manager.get("default")
    assert caplog.messages == [f"no new token for profile default: {then}"]


async def test_an_unknown_profile_is_refused(manager: TokenManager) -> None:
    """A name that nobody configured is an error of its own, which tells those that there are."""
    with pytest.raises(UnknownProfile) as caught:
        await manager.get("nobody")
    assert caught.value.hint == "The profiles are: default."


async def test_a_snapshot_holds_no_secret(manager: TokenManager, clock: FakeClock) -> None:
    """A snapshot says when, as whom and how, and never with what."""
    await manager.get("default")
    await clock.advance(600)
    snapshot = manager.snapshot("default")
    assert snapshot.expires_in == LIFE - 600
    assert snapshot.refresh_in == 0.8 * LIFE - 600
    assert snapshot.last_outcome == "signed in"
    text = repr(snapshot) + repr(await manager.get("default")) + repr(PROFILE)
    assert not any(secret in text for secret in ("id-1", "access-1", "refresh-1", "secret'"))
