"""The keeper against an authority whose every answer the test decides, on a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.authority import LIFE, POLICY, PROFILE, ScriptedAuthority, new_keeper
from support.clock import FakeClock, settle

from proxy.errors import LoginRequired, ProxyError, RefreshRejected, SignInFailed, SignInTimeout, UnknownProfile
from proxy.errors.defects import Defects, Where
from proxy.identity.tokens.manager import TokenManager


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def authority(clock: FakeClock) -> ScriptedAuthority:
    return ScriptedAuthority(clock)


@pytest.fixture
async def keeper(clock: FakeClock, authority: ScriptedAuthority) -> AsyncIterator[TokenManager]:
    keeper = new_keeper(authority, patience=15.0)
    yield keeper
    await keeper.close()


def unreachable() -> ProxyError:
    return SignInFailed("Cognito cannot be reached")


def wrong_password() -> ProxyError:
    return LoginRequired("Cognito refused the user name or password")


async def test_a_crowd_on_a_cold_start_shares_one_sign_in(keeper: TokenManager, authority: ScriptedAuthority) -> None:
    """Two hundred callers without a token wait for one sign-in and get the same token."""
    authority.gate.clear()
    callers = [asyncio.create_task(keeper.get("default")) for _ in range(200)]
    await settle()
    authority.gate.set()
    tokens = await asyncio.gather(*callers)
    assert authority.sign_ins == 1
    assert len({id(token) for token in tokens}) == 1


async def test_a_caller_who_leaves_cancels_nothing(keeper: TokenManager, authority: ScriptedAuthority) -> None:
    """The sign-in goes on for the others when the caller who began it goes away."""
    authority.gate.clear()
    first = asyncio.create_task(keeper.get("default"))
    await settle()
    second = asyncio.create_task(keeper.get("default"))
    await settle()
    first.cancel()
    await settle()
    authority.gate.set()
    assert (await second).id_token.get_secret_value() == "id-1"
    assert authority.sign_ins == 1


async def test_a_fresh_token_is_returned_without_a_call(keeper: TokenManager, authority: ScriptedAuthority) -> None:
    """While the token is fresh, Cognito is left alone."""
    first = await keeper.get("default")
    assert await keeper.get("default") is first
    assert (authority.sign_ins, authority.renewals) == (1, 0)


async def test_a_stale_token_is_used_while_it_is_renewed(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """After 80 % of its life a token still serves at once, and one renewal begins behind it."""
    first = await keeper.get("default")
    authority.gate.clear()
    await clock.advance(0.8 * LIFE)
    assert await keeper.get("default") is first
    assert await keeper.get("default") is first
    await settle()
    assert authority.renewals == 1
    authority.gate.set()
    await settle()
    assert (await keeper.get("default")).id_token.get_secret_value() == "id-2"


async def test_an_ended_token_is_never_returned(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """A caller who comes after the token's end waits for the new one."""
    await keeper.get("default")
    await clock.advance(LIFE)
    assert (await keeper.get("default")).id_token.get_secret_value() == "id-2"


async def test_a_machine_that_slept_renews_on_the_next_use(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """The monotonic clock may have stood still: the wall clock alone then ends the token."""
    await keeper.get("default")
    clock.suspend(2 * LIFE)
    assert (await keeper.get("default")).id_token.get_secret_value() == "id-2"


async def test_a_wall_clock_set_back_ends_no_token(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """Setting the clock back two hours neither ends a token nor prolongs it."""
    first = await keeper.get("default")
    clock.suspend(-7200)
    assert await keeper.get("default") is first
    await clock.advance(LIFE)
    assert (await keeper.get("default")) is not first


async def test_a_failed_renewal_keeps_the_good_token_and_backs_off(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """With Cognito gone, the good token serves until its end and tries are spaced."""
    first = await keeper.get("default")
    authority.fail_renewal = unreachable
    await clock.advance(0.8 * LIFE)
    for _ in range(100):
        assert await keeper.get("default") is first
        await settle()
    assert authority.renewals == 1
    await clock.advance(60)
    await keeper.get("default")
    await settle()
    assert authority.renewals == 2
    assert authority.sign_ins == 1


async def test_background_renewal_needs_no_caller(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """A day without a single request still leaves a fresh token."""
    task = asyncio.create_task(keeper.keep_fresh("default"))
    await clock.advance(24 * LIFE)
    assert keeper.snapshot("default").state == "fresh"
    assert authority.sign_ins == 1
    assert authority.renewals == 30  # every 48 minutes of a day
    task.cancel()


async def test_background_sign_in_recovers_without_a_caller(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """A Cognito that is down at the start is tried again until it is back."""
    authority.fail_sign_in = unreachable
    task = asyncio.create_task(keeper.keep_fresh("default"))
    await clock.advance(600)
    assert 10 <= authority.sign_ins <= 60
    assert keeper.snapshot("default").state == "retrying"
    authority.fail_sign_in = None
    await clock.advance(60)
    assert keeper.snapshot("default").state == "fresh"
    task.cancel()


async def test_brief_trouble_at_the_start_is_sat_out(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """One throttled call does not fail the callers who wait for the first token."""
    failures = iter([SignInFailed("Cognito is throttling")])

    def throttled_once() -> Exception:
        authority.fail_sign_in = None
        return next(failures)

    authority.fail_sign_in = throttled_once
    caller = asyncio.create_task(keeper.get("default"))
    await clock.advance(5)
    assert (await caller).id_token.get_secret_value() == "id-1"
    assert authority.sign_ins == 2


async def test_lasting_trouble_is_told_with_the_time_of_the_next_try(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """After a few tries callers are told; those who come while the keeper backs off are told at once."""
    authority.fail_sign_in = unreachable
    caller = asyncio.create_task(keeper.get("default"))
    await clock.advance(4)
    with pytest.raises(SignInFailed) as told:
        await caller
    assert told.value.retry_after == 4.5
    await clock.advance(3)
    with pytest.raises(SignInFailed) as told:
        await keeper.get("default")
    assert told.value.retry_after == 1.5
    assert authority.sign_ins == POLICY.patient_tries


async def test_a_long_outage_costs_each_caller_one_try_at_most(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """A caller who comes when a try is due again waits for that one alone."""
    authority.fail_sign_in = unreachable
    task = asyncio.create_task(keeper.keep_fresh("default"))
    await clock.advance(300)
    task.cancel()
    await clock.advance(60)
    tried = authority.sign_ins
    with pytest.raises(SignInFailed):
        await keeper.get("default")
    assert authority.sign_ins == tried + 1


async def test_a_wrong_password_is_tried_once(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """A terminal failure is told to everybody at once and never tried again, however long the wait."""
    authority.fail_sign_in = wrong_password
    task = asyncio.create_task(keeper.keep_fresh("default"))
    await clock.advance(24 * LIFE)
    for _ in range(50):
        with pytest.raises(LoginRequired):
            await keeper.get("default")
    assert authority.sign_ins == 1
    assert keeper.snapshot("default").state == "login_required"
    task.cancel()


async def test_a_slow_sign_in_times_out_for_the_caller_alone(clock: FakeClock, authority: ScriptedAuthority) -> None:
    """A caller's patience ends with `sign_in_timeout` while the sign-in goes on for the next one."""
    keeper = new_keeper(authority, patience=0.01)
    authority.gate.clear()
    with pytest.raises(SignInTimeout):
        await keeper.get("default")
    authority.gate.set()
    await settle()
    await keeper.get("default")
    assert authority.sign_ins == 1
    await keeper.close()


async def test_a_dead_refresh_token_leads_to_one_sign_in(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """When Cognito refuses the refresh token, the password signs in anew."""
    await keeper.get("default")
    authority.fail_renewal = lambda: RefreshRejected("revoked")
    await clock.advance(LIFE)
    await keeper.get("default")
    assert (authority.sign_ins, authority.renewals) == (2, 1)


async def test_a_dead_session_without_a_way_to_sign_in_serves_to_the_end(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """A terminal failure of a renewal does not take away the token that is still good."""
    first = await keeper.get("default")
    authority.fail_renewal = lambda: RefreshRejected("revoked")
    authority.fail_sign_in = wrong_password
    await clock.advance(0.8 * LIFE)
    assert await keeper.get("default") is first
    await settle()
    assert await keeper.get("default") is first
    await clock.advance(0.2 * LIFE)
    with pytest.raises(LoginRequired):
        await keeper.get("default")
    assert authority.sign_ins == 2


async def test_a_rejected_token_is_replaced_once(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """Many refusals of one token force one renewal; those who come late get the new token."""
    first = await keeper.get("default")
    assert keeper.reject("default", first)
    assert keeper.reject("default", first)
    tokens = await asyncio.gather(*(keeper.get("default") for _ in range(50)))
    assert {token.id_token.get_secret_value() for token in tokens} == {"id-2"}
    assert keeper.reject("default", first)
    assert await keeper.get("default") is tokens[0]
    assert authority.renewals == 1


async def test_an_upstream_that_refuses_everything_causes_no_storm(
    keeper: TokenManager, authority: ScriptedAuthority, clock: FakeClock
) -> None:
    """At most one renewal is forced in 30 seconds."""
    for _ in range(20):
        token = await keeper.get("default")
        keeper.reject("default", token)
        await clock.advance(1)
    assert authority.renewals == 1
    await clock.advance(30)
    assert keeper.reject("default", await keeper.get("default"))
    await keeper.get("default")
    assert authority.renewals == 2


async def test_a_defect_does_not_end_the_renewals(
    authority: ScriptedAuthority, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that nobody foresaw is logged with its traceback, counted, and tried again like an outage."""
    defects = Defects()
    keeper = new_keeper(authority, defects=defects)
    authority.fail_sign_in = lambda: ZeroDivisionError("surprise")
    task = asyncio.create_task(keeper.keep_fresh("default"))
    await clock.advance(10)
    assert sum(bool(record.exc_info) for record in caplog.records) == defects.counts[Where.RENEWING] >= 1
    authority.fail_sign_in = None
    await clock.advance(60)
    assert keeper.snapshot("default").state == "fresh"
    task.cancel()
    await keeper.close()


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
    failure: ProxyError, then: str, clock: FakeClock, authority: ScriptedAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    """What happened is one sentence, what mends it the next."""
    authority.fail_sign_in = lambda: failure
    keeper = new_keeper(authority, patience=1)
    with pytest.raises(type(failure)):
        await keeper.get("default")
    assert caplog.messages == [f"no new token for profile default: {then}"]


async def test_an_unknown_profile_is_refused(keeper: TokenManager) -> None:
    """A name that nobody configured is an error of its own, which tells those that there are."""
    with pytest.raises(UnknownProfile) as caught:
        await keeper.get("nobody")
    assert caught.value.hint == "The profiles are: default."


async def test_a_snapshot_holds_no_secret(keeper: TokenManager, clock: FakeClock) -> None:
    """What may be told of a profile says when, as whom and how, and never with what."""
    await keeper.get("default")
    await clock.advance(600)
    snapshot = keeper.snapshot("default")
    assert snapshot.expires_in == LIFE - 600
    assert snapshot.refresh_in == 0.8 * LIFE - 600
    assert snapshot.last_outcome == "signed in"
    text = repr(snapshot) + repr(await keeper.get("default")) + repr(PROFILE)
    assert not any(secret in text for secret in ("id-1", "access-1", "refresh-1", "secret'"))
