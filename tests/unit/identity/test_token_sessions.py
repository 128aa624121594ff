"""The manager with a store: where sessions come from, when they are kept, and who shares them."""

import asyncio
import fcntl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from pydantic import SecretStr
from support.clock import FakeClock, settle
from support.issuer import LIFE, PROFILE, ScriptedIssuer, new_manager
from support.sessions import refresh_token, session
from support.wire import PATIENCE

from proxy.errors import (
    CredentialMissing,
    LoginRequired,
    ProxyError,
    RefreshRejected,
    SignInFailed,
    StoreBusy,
    StoreFailed,
    TokensUnverified,
)
from proxy.errors.defects import Defects, Where
from proxy.identity.issued import Session
from proxy.identity.profile import Profile
from proxy.identity.stores import locks
from proxy.identity.stores.file import FileStore
from proxy.identity.stores.memory import MemoryStore
from proxy.identity.tokens.manager import TokenManager

NO_PASSWORD = replace(PROFILE, password=None)


class Shared(MemoryStore):
    """A store that several managers share, as processes share a file, and that notes what is done with it."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.broken = False
        self.full = False
        self.defect: Exception | None = None
        self.locked_out: ProxyError | None = None
        self.saved: list[str | None] = []
        self.saving = asyncio.Event()
        self.saving.set()

    async def load(self, profile: Profile) -> Session | None:
        if self.broken:
            raise StoreFailed("the disk is gone")
        return await super().load(profile)

    async def save(self, profile: Profile, session: Session) -> None:
        if self.defect is not None:
            raise self.defect
        if self.broken or self.full:
            raise StoreFailed("the disk is gone" if self.broken else "the disk is full")
        await self.saving.wait()
        self.saved.append(refresh_token(session))
        await super().save(profile, session)

    @asynccontextmanager
    async def exclusive(self, profile: Profile) -> AsyncIterator[None]:
        if self.locked_out is not None:
            raise self.locked_out
        async with super().exclusive(profile):
            yield


def lines_run(function: Callable[[], object]) -> int:
    """How many lines of Python a call runs, which is the same on every machine, however busy."""
    count = 0

    def trace(*_: object) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> ScriptedIssuer:
    return ScriptedIssuer(clock)


@pytest.fixture
def store(clock: FakeClock) -> Shared:
    return Shared(lambda: clock.wall)


@pytest.fixture
async def manager(issuer: ScriptedIssuer, store: Shared) -> AsyncIterator[TokenManager]:
    manager = new_manager(issuer, store=store)
    yield manager
    await manager.close()


@pytest.fixture
async def passwordless(issuer: ScriptedIssuer, store: Shared) -> AsyncIterator[TokenManager]:
    manager = new_manager(issuer, {"default": NO_PASSWORD}, store)
    yield manager
    await manager.close()


def rejected() -> ProxyError:
    return RefreshRejected("Cognito does not accept the refresh token any more")


class TestStart:
    async def test_from_a_kept_session_without_a_password(
        self, passwordless: TokenManager, issuer: ScriptedIssuer, store: Shared
    ) -> None:
        """A refresh token that was kept is all that a start needs."""
        await store.save(NO_PASSWORD, session("kept"))
        assert await passwordless.has_session("default")
        await passwordless.get("default")
        assert [refresh_token(shown) for shown in issuer.shown] == ["kept"]
        assert issuer.sign_ins == 0

    async def test_a_password_is_spared_where_a_session_works(
        self, manager: TokenManager, issuer: ScriptedIssuer, store: Shared
    ) -> None:
        """With both at hand, the session is renewed."""
        await store.save(PROFILE, session("kept"))
        await manager.get("default")
        assert (issuer.sign_ins, issuer.renewals) == (0, 1)

    async def test_a_dead_session_leads_to_one_sign_in_from_its_device(
        self, manager: TokenManager, issuer: ScriptedIssuer, store: Shared
    ) -> None:
        """With a password, the new session takes the dead one's place; its device may spare a second factor."""
        await store.save(PROFILE, session("kept"))
        issuer.fail_renewal = rejected
        await manager.get("default")
        assert issuer.sign_ins == 1
        assert issuer.devices == [session().device]
        assert store.saved == ["kept", "refresh-1"]

    async def test_a_dead_session_without_a_password_is_login_required(
        self, passwordless: TokenManager, issuer: ScriptedIssuer, store: Shared
    ) -> None:
        """Nobody signs in, the dead token is shown once only, and the way out is named."""
        await store.save(NO_PASSWORD, session("kept"))
        issuer.fail_renewal = rejected
        for _ in range(3):
            with pytest.raises(LoginRequired) as caught:
                await passwordless.get("default")
            await issuer.clock.advance(60)
        assert "ul-proxy login" in caught.value.hint
        assert (issuer.sign_ins, issuer.renewals) == (0, 1)
        assert passwordless.snapshot("default").state == "login_required"

    async def test_with_neither_a_session_nor_a_password(
        self, passwordless: TokenManager, issuer: ScriptedIssuer
    ) -> None:
        """What the settings lack is said by what would sign in."""
        issuer.fail_sign_in = lambda: CredentialMissing("this route needs a login")
        assert not await passwordless.has_session("default")
        with pytest.raises(CredentialMissing):
            await passwordless.get("default")

    async def test_cognito_in_trouble_is_no_reason_to_sign_in(
        self, manager: TokenManager, issuer: ScriptedIssuer, store: Shared
    ) -> None:
        """An outage says nothing about the session: it is tried again."""
        await store.save(PROFILE, session("kept"))
        issuer.fail_renewal = lambda: SignInFailed("Cognito cannot be reached")
        caller = asyncio.create_task(manager.get("default"))
        await issuer.clock.advance(10)
        with pytest.raises(SignInFailed):
            await caller
        assert issuer.sign_ins == 0


class TestLogin:
    async def test_beside_a_proxy_that_waits_for_it(
        self, passwordless: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """What `login` keeps is found in the background, though nobody asks."""
        passwordless.start(["default"])
        await clock.advance(60)
        assert passwordless.snapshot("default").state == "none"
        await store.save(NO_PASSWORD, session("kept"))
        await clock.advance(31)
        assert passwordless.snapshot("default").state == "fresh"
        assert issuer.sign_ins == 0

    @pytest.mark.parametrize("somebody_asks", [False, True])
    async def test_after_the_session_has_ended(
        self,
        somebody_asks: bool,
        passwordless: TokenManager,
        issuer: ScriptedIssuer,
        store: Shared,
        clock: FakeClock,
    ) -> None:
        """A proxy that said login_required goes on with the new session: within seconds where somebody asks."""
        await store.save(NO_PASSWORD, session("kept"))
        issuer.fail_renewal = rejected
        if not somebody_asks:
            passwordless.start(["default"])
            await settle()
        with pytest.raises(LoginRequired):
            await passwordless.get("default")
        issuer.fail_renewal = None
        await store.save(NO_PASSWORD, session("new"))
        await clock.advance(6 if somebody_asks else 31)
        if somebody_asks:
            await passwordless.get("default")
        assert passwordless.snapshot("default").state == "fresh"
        assert [refresh_token(shown) for shown in issuer.shown] == ["kept", "new"]

    async def test_a_wrong_password_stays_untried_when_a_session_comes_and_goes(
        self, manager: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """After a terminal failure a new session is tried, and the password is not."""
        issuer.fail_sign_in = lambda: LoginRequired("Cognito refused the user name or password")
        issuer.fail_renewal = rejected
        for number in range(3):
            with pytest.raises(LoginRequired):
                await manager.get("default")
            await store.save(PROFILE, session(f"kept-{number}"))
            await clock.advance(6)
        assert issuer.sign_ins == 1

    async def test_after_a_logout(
        self, passwordless: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """A session that `logout` took away is not used any more, and there is a sentence about it."""
        await store.save(NO_PASSWORD, session("kept"))
        await passwordless.get("default")
        await store.forget(NO_PASSWORD)
        await clock.advance(LIFE)
        with pytest.raises(LoginRequired) as caught:
            await passwordless.get("default")
        assert "ul-proxy login" in caught.value.hint
        assert (issuer.sign_ins, issuer.renewals) == (0, 1)


class TestKeeping:
    async def test_a_rotated_token_is_safe_before_it_is_used(
        self, manager: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """Until its session is saved, nobody is given a new token: those who have a good one go on with that."""
        first = await manager.get("default")
        store.saving.clear()
        await clock.advance(0.8 * LIFE)
        assert await manager.get("default") is first
        await settle()
        assert issuer.renewals == 1
        assert await manager.get("default") is first
        store.saving.set()
        await settle()
        assert await manager.get("default") is not first
        assert store.saved == ["refresh-1", "refresh-2"]

    async def test_what_has_not_changed_is_not_written(
        self, manager: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """Without rotation the store is written once, and not at every renewal."""
        issuer.rotates = False
        await manager.get("default")
        for _ in range(3):
            await clock.advance(LIFE)
            await manager.get("default")
        assert (issuer.renewals, store.saved) == (3, ["refresh-1"])

    async def test_what_could_not_be_written_is_written_later(
        self, manager: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """A session that the store could not take is saved with the next renewal, though it is the same."""
        issuer.rotates = False
        store.broken = True
        await manager.get("default")
        store.broken = False
        await clock.advance(LIFE)
        await manager.get("default")
        assert store.saved == ["refresh-1"]

    async def test_what_could_not_be_written_is_tried_again_soon(
        self,
        manager: TokenManager,
        issuer: ScriptedIssuer,
        store: Shared,
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """In the background a session is saved once there is room for it, long before its renewal, without more ado."""
        store.broken = True
        manager.start(["default"])
        await clock.advance(200)
        assert caplog.text.count("cannot be saved") == 1
        store.broken = False
        await clock.advance(31)
        assert store.saved == ["refresh-1"]
        await clock.advance(200)
        assert (store.saved, issuer.renewals) == (["refresh-1"], 0)

    async def test_what_is_tried_again_never_replaces_what_came_later(
        self, manager: TokenManager, store: Shared, clock: FakeClock
    ) -> None:
        """A renewal that begins while an older session is being saved has the last word."""
        store.broken = True
        manager.start(["default"])
        await clock.advance(1)
        store.broken = False
        store.saving.clear()
        await clock.advance(31)
        renewal = asyncio.create_task(manager.refresh("default"))
        await settle()
        store.saving.set()
        await renewal
        assert store.saved == ["refresh-1", "refresh-2"]

    async def test_what_could_not_be_written_and_has_ended_makes_room(
        self, passwordless: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """A dead session is saved nowhere, least of all in place of the one that `login` has brought since."""
        await store.save(NO_PASSWORD, session("kept"))
        passwordless.start(["default"])
        store.full = True
        await clock.advance(1)
        issuer.dead |= {"kept", "refresh-1"}
        await clock.advance(LIFE)
        assert passwordless.snapshot("default").state == "login_required"
        store.full = False
        await store.save(NO_PASSWORD, session("new"))
        await clock.advance(31)
        assert passwordless.snapshot("default").state == "fresh"
        await passwordless.close()
        assert "refresh-1" not in store.saved
        assert refresh_token(issuer.shown[-1]) == "new"

    async def test_a_defect_while_saving_again_ends_no_renewals(
        self, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """Whatever a store raises is counted, and the background goes on."""
        defects = Defects()
        manager = new_manager(issuer, store=store, defects=defects)
        store.full = True
        manager.start(["default"])
        await clock.advance(1)
        store.defect = RuntimeError("a defect of the store")
        await clock.advance(60)
        store.full, store.defect = False, None
        assert defects.counts[Where.RENEWING] >= 1
        await clock.advance(LIFE)
        assert issuer.renewals == 1
        await manager.close()

    async def test_the_end_saves_what_could_not_be_written(self, manager: TokenManager, store: Shared) -> None:
        """A session that is in memory alone is given one more chance."""
        store.broken = True
        await manager.get("default")
        store.broken = False
        await manager.close()
        assert store.saved == ["refresh-1"]

    async def test_the_end_saves_it_though_a_renewal_has_just_begun(self, manager: TokenManager, store: Shared) -> None:
        """A renewal that ends before its first step does not keep the session from the store."""
        store.broken = True
        token = await manager.get("default")
        store.broken = False
        manager.reject("default", token)
        await manager.close()
        assert store.saved == ["refresh-1"]

    async def test_the_end_does_not_complain_again(
        self, manager: TokenManager, store: Shared, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What still cannot be saved at the end has been logged before."""
        store.broken = True
        await manager.get("default")
        caplog.clear()
        await manager.close()
        assert not caplog.records

    async def test_the_end_does_not_wait_for_a_store_that_hangs(
        self, manager: TokenManager, store: Shared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A store that takes its time is given a moment."""
        monkeypatch.setattr("proxy.identity.tokens.manager.GRACE", 0.05)
        store.broken = True
        await manager.get("default")
        store.broken = False
        store.saving.clear()
        async with asyncio.timeout(PATIENCE):
            await manager.close()
        assert store.saved == []
        store.saving.set()

    async def test_a_broken_store_costs_no_request(
        self,
        manager: TokenManager,
        issuer: ScriptedIssuer,
        store: Shared,
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What cannot be saved is used from memory, logged, and saved at the next renewal."""
        store.broken = True
        await manager.get("default")
        assert "cannot be saved" in caplog.text
        await clock.advance(LIFE)
        await manager.get("default")
        assert (issuer.sign_ins, issuer.renewals) == (1, 1)
        store.broken = False
        await clock.advance(LIFE)
        await manager.get("default")
        assert [refresh_token(shown) for shown in issuer.shown] == ["refresh-1", "refresh-2"]
        assert store.saved == ["refresh-3"]

    async def test_a_store_that_cannot_be_read_for_a_while(
        self, manager: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """The last session that was known is used meanwhile."""
        await manager.get("default")
        store.broken = True
        await clock.advance(LIFE)
        await manager.get("default")
        assert [refresh_token(shown) for shown in issuer.shown] == ["refresh-1"]

    async def test_without_a_lock_it_goes_on_with_a_warning(
        self, manager: TokenManager, store: Shared, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A file system that has no locks does not keep the proxy from working."""
        store.locked_out = StoreFailed("there are no locks here")
        await manager.get("default")
        assert "without a lock: there are no locks here" in caplog.text

    async def test_a_lock_that_somebody_holds_is_respected(
        self, manager: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """While another process hangs with the lock, nobody shows its refresh token, and callers hear at once."""
        store.locked_out = StoreBusy("another process holds it", retry_after=5)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(StoreFailed, match="another process") as caught:
                await manager.get("default")
        assert caught.value.retry_after is not None
        assert issuer.renewals == issuer.sign_ins == 0
        store.locked_out = None
        await clock.advance(6)
        await manager.get("default")

    async def test_a_process_that_hangs_while_it_writes_costs_no_request(
        self, issuer: ScriptedIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
    ) -> None:
        """Where nobody gets to write, the new token is used from memory."""
        monkeypatch.setattr(locks, "_PATIENCE", 0.1)
        manager = new_manager(issuer, store=FileStore(tmp_path / "sessions.json", clock))
        with (tmp_path / "sessions.json.lock").open("w") as peer:
            fcntl.flock(peer, fcntl.LOCK_EX)
            await manager.get("default")
        assert issuer.sign_ins == 1
        await manager.close()

    @pytest.mark.parametrize("where", ["asking", "saving"])
    async def test_the_end_waits_for_a_token_on_its_way(
        self, where: str, manager: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """A renewal that may have used up its refresh token is given a moment to save the next."""
        await manager.get("default")
        gate = issuer.gate if where == "asking" else store.saving
        gate.clear()
        await clock.advance(LIFE)
        caller = asyncio.create_task(manager.get("default"))
        await settle()
        closing = asyncio.create_task(manager.close())
        await settle()
        assert not closing.done()
        gate.set()
        await asyncio.gather(closing, caller, return_exceptions=True)
        assert store.saved == ["refresh-1", "refresh-2"]

    async def test_the_end_waits_for_no_sign_in(self, manager: TokenManager, issuer: ScriptedIssuer) -> None:
        """A sign-in under way is given up at once: there is nothing to lose."""
        issuer.gate.clear()
        caller = asyncio.create_task(manager.get("default"))
        await settle()
        async with asyncio.timeout(PATIENCE):
            await manager.close()
        caller.cancel()


class TestTwoProcesses:
    @pytest.fixture
    async def other(self, issuer: ScriptedIssuer, store: Shared) -> AsyncIterator[TokenManager]:
        manager = new_manager(issuer, store=store)
        yield manager
        await manager.close()

    async def test_start_with_one_sign_in(
        self, manager: TokenManager, other: TokenManager, issuer: ScriptedIssuer
    ) -> None:
        """Who comes second renews what the first has kept."""
        await asyncio.gather(manager.get("default"), other.get("default"))
        assert (issuer.sign_ins, issuer.renewals) == (1, 1)

    async def test_never_show_the_same_refresh_token_twice(
        self, manager: TokenManager, other: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
    ) -> None:
        """Through many renewals at the same moments, each takes up what the other left."""
        for _ in range(10):
            await asyncio.gather(manager.get("default"), other.get("default"))
            await clock.advance(LIFE)
        shown = [refresh_token(session) for session in issuer.shown]
        assert len(shown) == len(set(shown)) == 19
        assert issuer.sign_ins == 1

    async def test_one_that_finds_a_dead_session_signs_in_for_both(
        self, manager: TokenManager, other: TokenManager, issuer: ScriptedIssuer, store: Shared
    ) -> None:
        """After a revocation there is one sign-in, whose session the other one takes up."""
        await store.save(PROFILE, session("revoked"))
        issuer.dead.add("revoked")
        await asyncio.gather(manager.get("default"), other.get("default"))
        assert issuer.sign_ins == 1
        assert [refresh_token(shown) for shown in issuer.shown] == ["revoked", "refresh-1"]


class TestClock:
    @pytest.mark.parametrize(
        ("wall", "monotonic"),
        [(2 * LIFE, 0.0), (-2 * LIFE, 0.0), (-86400.0, 0.0), (2 * LIFE, 2 * LIFE), (30 * 86400.0, 0.0)],
        ids=["suspended, or set forward", "set back", "set back a day", "time went by", "a month in a drawer"],
    )
    async def test_a_jump_leads_to_a_renewal_on_the_next_use(
        self, wall: float, monotonic: float, manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
    ) -> None:
        """Whichever clock tells of it, and however: one renewal, and no second for the same jump."""
        await manager.get("default")
        clock.suspend(wall - monotonic)
        clock.monotonic += monotonic
        clock.wall += monotonic
        await manager.get("default")
        await settle()
        renewed = await manager.get("default")
        assert renewed.id_token.get_secret_value() == "id-2"
        await settle()
        assert await manager.get("default") is renewed
        assert issuer.renewals == 1

    async def test_the_background_finds_a_jump_by_itself(
        self, manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
    ) -> None:
        """A machine that wakes up has a fresh token within a moment, before anybody asks."""
        manager.start(["default"])
        await clock.advance(1)
        for jump in (2 * LIFE, -2 * LIFE):
            clock.suspend(jump)
            await clock.advance(31)
            assert manager.snapshot("default").state == "fresh"
        assert issuer.renewals == 2

    async def test_an_ended_token_is_not_sent_while_cognito_is_gone(
        self, manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
    ) -> None:
        """After a sleep without a network there is an error, and never the old token."""
        await manager.get("default")
        issuer.fail_renewal = lambda: SignInFailed("Cognito cannot be reached", retry_after=60)
        clock.suspend(2 * LIFE)
        with pytest.raises(SignInFailed):
            await manager.get("default")
        assert manager.at_hand("default") is None

    async def test_a_clock_set_back_takes_no_good_token_away(
        self, manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
    ) -> None:
        """Without Cognito the token goes on being used for what is known of its life."""
        first = await manager.get("default")
        issuer.fail_renewal = lambda: SignInFailed("Cognito cannot be reached", retry_after=60)
        clock.suspend(-2 * LIFE)
        assert await manager.get("default") is first
        await clock.advance(LIFE / 2)
        assert await manager.get("default") is first
        await clock.advance(LIFE)
        with pytest.raises(SignInFailed):
            await manager.get("default")


class TestProfiles:
    @pytest.fixture
    def profiles(self) -> dict[str, Profile]:
        return {name: replace(PROFILE, name=name) for name in ("default", "a", "b", "c")}

    @pytest.fixture
    async def several(
        self, profiles: dict[str, Profile], issuer: ScriptedIssuer, store: Shared
    ) -> AsyncIterator[TokenManager]:
        manager = new_manager(issuer, profiles, store, capacity=2)
        yield manager
        await manager.close()

    async def test_fall_out_and_come_back_with_their_session(
        self, several: TokenManager, issuer: ScriptedIssuer
    ) -> None:
        """Beyond the capacity the one unused longest goes; it needs a renewal to come back, and no password."""
        for name in ("a", "b", "c", "a"):
            await several.get(name)
        assert (issuer.sign_ins, issuer.renewals) == (3, 1)

    async def test_whose_session_is_nowhere_else_stay(
        self, several: TokenManager, issuer: ScriptedIssuer, store: Shared
    ) -> None:
        """A session that could not be saved is not dropped for want of room."""
        store.broken = True
        await several.get("a")
        store.broken = False
        for name in ("b", "c", "b", "c", "a"):
            await several.get(name)
        assert issuer.sign_ins == 3
        assert several.snapshot("a").sign_ins == 1

    async def test_that_failed_for_good_are_not_tried_again_for_falling_out(
        self, several: TokenManager, issuer: ScriptedIssuer
    ) -> None:
        """A wrong password is remembered, whoever else comes."""
        issuer.fail_sign_in = lambda: LoginRequired("wrong")
        with pytest.raises(LoginRequired):
            await several.get("a")
        issuer.fail_sign_in = None
        for name in ("b", "c", "b"):
            await several.get(name)
        tried = issuer.sign_ins
        with pytest.raises(LoginRequired):
            await several.get("a")
        assert issuer.sign_ins == tried

    async def test_more_that_failed_than_there_is_room_for(self, several: TokenManager, issuer: ScriptedIssuer) -> None:
        """Where nobody is expendable, the one unused longest goes nevertheless."""
        issuer.fail_sign_in = lambda: LoginRequired("wrong")
        for name in ("a", "b", "c", "default"):
            with pytest.raises(LoginRequired):
                await several.get(name)
        assert several.snapshot("a").state == "none"
        assert several.snapshot("default").state == "login_required"

    async def test_are_renewed_in_the_background_while_in_use(
        self, several: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
    ) -> None:
        """From its first use on, and until nobody has used it for an hour; the default one always."""
        several.start(["default"])
        await clock.advance(10)
        assert several.snapshot("default").state == "fresh"
        assert several.snapshot("a").state == "none"
        await several.get("a")
        await clock.advance(0.9 * LIFE)
        assert several.snapshot("a").renewals == 1
        assert several.snapshot("a").state == "fresh"
        await clock.advance(10 * LIFE)
        assert several.snapshot("a").state == "none"
        assert several.snapshot("default").state == "fresh"
        signed_in = issuer.sign_ins
        await several.get("a")
        assert issuer.sign_ins == signed_in

    async def test_do_not_wait_for_each_other(self, several: TokenManager, issuer: ScriptedIssuer) -> None:
        """While one's sign-in hangs, another goes through."""
        issuer.gate.clear()
        slow = asyncio.create_task(several.get("a"))
        await settle()
        issuer.gate = asyncio.Event()
        issuer.gate.set()
        async with asyncio.timeout(PATIENCE):
            await several.get("b")
        assert not slow.done()
        slow.cancel()

    async def test_a_thousand_cost_no_more_than_one(self, issuer: ScriptedIssuer, store: Shared) -> None:
        """A token at hand is found in as many steps among a thousand profiles as where there is one."""
        names = [f"p{number}" for number in range(1000)]
        manager = new_manager(issuer, {name: replace(PROFILE, name=name) for name in names}, store)
        await manager.get("p0")
        alone = lines_run(partial(manager.at_hand, "p0"))
        for name in names[1:]:
            await manager.get(name)
        # Now and then a finalizer of something else runs meanwhile.
        assert median(lines_run(partial(manager.at_hand, name)) for name in names) == alone
        assert (issuer.sign_ins, issuer.renewals) == (1000, 0)
        await manager.close()

    async def test_a_look_at_one_is_no_use(self, several: TokenManager, issuer: ScriptedIssuer) -> None:
        """Asking for the state of many profiles drops none and signs nobody in."""
        await several.get("a")
        for name in ("b", "c", "default"):
            assert several.snapshot(name).state == "none"
        assert several.snapshot("a").state == "fresh"
        assert issuer.sign_ins == 1


class TestReplacing:
    async def test_an_unchanged_profile_keeps_its_token(self, manager: TokenManager, issuer: ScriptedIssuer) -> None:
        """Settings that are read again and say the same change nothing; nor does another API key."""
        token = await manager.get("default")
        manager.replace({"default": replace(PROFILE)})
        manager.replace({"default": replace(PROFILE, api_key=SecretStr("key"))})
        assert await manager.get("default") is token
        assert issuer.sign_ins == 1

    async def test_a_mended_password_clears_a_terminal_failure_at_once(
        self, manager: TokenManager, issuer: ScriptedIssuer
    ) -> None:
        """The sign-in begins anew as the new password comes in, before anybody asks."""
        issuer.fail_sign_in = lambda: LoginRequired("wrong")
        with pytest.raises(LoginRequired):
            await manager.get("default")
        issuer.fail_sign_in = None
        manager.replace({"default": replace(PROFILE, password=SecretStr("right"))})
        await settle()
        assert manager.snapshot("default").state == "fresh"
        assert issuer.passwords == ["secret", "right"]

    async def test_the_same_wrong_password_is_not_tried_again(
        self, manager: TokenManager, issuer: ScriptedIssuer
    ) -> None:
        """Reading the same again mends nothing."""
        issuer.fail_sign_in = lambda: LoginRequired("wrong")
        for _ in range(3):
            with pytest.raises(LoginRequired):
                await manager.get("default")
            manager.replace({"default": replace(PROFILE)})
        assert issuer.sign_ins == 1

    async def test_a_person_may_ask_for_one_more_try(self, manager: TokenManager, issuer: ScriptedIssuer) -> None:
        """What was mended at Cognito shows in no setting: whoever says so has it tried once, and once only."""
        issuer.fail_sign_in = lambda: LoginRequired("disabled")
        with pytest.raises(LoginRequired):
            await manager.get("default")
        manager.try_again()
        await settle()
        for _ in range(3):
            with pytest.raises(LoginRequired):
                await manager.get("default")
        assert issuer.sign_ins == 2
        issuer.fail_sign_in = None
        manager.try_again()
        token = await manager.get("default")
        manager.try_again()
        assert await manager.get("default") is token
        assert issuer.sign_ins == 3

    async def test_a_person_may_have_a_session_believed_dead_tried_again(
        self, passwordless: TokenManager, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """A refresh token that Cognito refused is shown once more where a person says so, and once only."""
        await store.save(NO_PASSWORD, session("kept"))
        issuer.fail_renewal = rejected
        with pytest.raises(LoginRequired):
            await passwordless.get("default")
        passwordless.try_again()
        for _ in range(3):
            with pytest.raises(LoginRequired):
                await passwordless.get("default")
            await clock.advance(6)
        assert issuer.renewals == 2
        issuer.fail_renewal = None
        passwordless.try_again()
        await passwordless.get("default")
        assert [refresh_token(shown) for shown in issuer.shown] == ["kept"] * 3

    async def test_another_password_leaves_a_good_token(
        self, manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
    ) -> None:
        """A changed password is no reason to drop a session that works."""
        token = await manager.get("default")
        manager.replace({"default": replace(PROFILE, password=SecretStr("other"))})
        assert await manager.get("default") is token
        await clock.advance(LIFE)
        await manager.get("default")
        assert (issuer.sign_ins, issuer.renewals) == (1, 1)

    async def test_another_store_is_given_the_session(
        self, issuer: ScriptedIssuer, store: Shared, clock: FakeClock
    ) -> None:
        """Where `token_store` changes, the session moves there with its next renewal."""
        places = {"a": Shared(lambda: clock.wall), "b": store}

        class Places(Shared):
            async def load(self, profile: Profile) -> Session | None:
                return await places[profile.token_store or "a"].load(profile)

            async def save(self, profile: Profile, session: Session) -> None:
                await places[profile.token_store or "a"].save(profile, session)

        manager = new_manager(issuer, store=Places(lambda: clock.wall))
        await manager.get("default")
        manager.replace({"default": replace(PROFILE, token_store="b")})
        await clock.advance(LIFE)
        await manager.get("default")
        assert (issuer.sign_ins, store.saved) == (1, ["refresh-2"])
        await manager.close()

    async def test_another_user_is_never_given_the_token(self, manager: TokenManager, issuer: ScriptedIssuer) -> None:
        """The old user's token and session end with the setting."""
        token = await manager.get("default")
        manager.replace({"default": replace(PROFILE, username="you")})
        assert manager.at_hand("default") is None
        assert await manager.get("default") is not token
        assert (issuer.sign_ins, issuer.renewals) == (2, 0)

    async def test_a_sign_in_under_way_with_the_old_password_counts_no_more(
        self, manager: TokenManager, issuer: ScriptedIssuer
    ) -> None:
        """Its failure reaches those who waited for it, and does not block the new login."""
        issuer.gate.clear()
        early = asyncio.create_task(manager.get("default"))
        await settle()
        issuer.fail_sign_in = lambda: LoginRequired("wrong") if len(issuer.passwords) < 2 else None
        manager.replace({"default": replace(PROFILE, password=SecretStr("right"))})
        late = asyncio.create_task(manager.get("default"))
        await settle()
        issuer.gate.set()
        with pytest.raises(LoginRequired):
            await early
        assert (await late).id_token.get_secret_value() == "id-1"
        assert manager.snapshot("default").state == "fresh"

    async def test_a_profile_that_comes_and_goes(self, manager: TokenManager) -> None:
        """A new profile can be asked for at once; one that is gone is unknown."""
        manager.replace({"default": PROFILE, "a": replace(PROFILE, name="a")})
        await manager.get("a")
        manager.replace({"default": PROFILE})
        with pytest.raises(ProxyError, match="no such profile"):
            await manager.get("a")

    async def test_a_login_that_comes_later_starts_the_background(
        self, passwordless: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
    ) -> None:
        """A proxy that began without a login signs in as soon as it is given one."""
        passwordless.start(["default"])
        await clock.advance(1)
        passwordless.replace({"default": PROFILE})
        await clock.advance(31)
        assert passwordless.snapshot("default").state == "fresh"

    async def test_a_personal_access_token_ends_the_background(
        self, manager: TokenManager, issuer: ScriptedIssuer, clock: FakeClock
    ) -> None:
        """Nobody signs in for a profile that needs no token any more, and again once it does."""
        manager.start(["default"])
        await clock.advance(1)
        manager.replace({"default": replace(PROFILE, personal_access_token=SecretStr("pat"))})
        await clock.advance(10 * LIFE)
        assert issuer.renewals == 0
        manager.replace({"default": PROFILE})
        await clock.advance(31)
        assert manager.snapshot("default").state == "fresh"


async def test_what_came_with_tokens_that_cannot_be_verified(issuer: ScriptedIssuer, store: Shared) -> None:
    """A refresh token is kept though nobody can verify the tokens beside it: the one before it is used up."""
    await store.save(NO_PASSWORD, session("first"))
    manager = new_manager(issuer, {"default": NO_PASSWORD}, store=store)
    issuer.dead = {"first"}
    failures = [TokensUnverified("no keys", refresh_token=SecretStr("second"))]
    issuer.fail_renewal = lambda: failures.pop() if failures else None
    caller = asyncio.create_task(manager.get("default"))
    await issuer.clock.advance(10)
    assert (await caller).id_token.get_secret_value() == "id-1"
    assert store.saved[:2] == ["first", "second"]
    assert [refresh_token(shown) for shown in issuer.shown] == ["first", "second"]
    await manager.close()


async def test_a_terminal_failure_is_called_out_once(issuer: ScriptedIssuer, store: Shared, clock: FakeClock) -> None:
    """What reads the credentials' files is called at once, and not again for the same failure."""
    named: list[str] = []
    manager = new_manager(issuer, store=store, on_login_required=named.append)
    issuer.fail_sign_in = lambda: LoginRequired("wrong")
    for _ in range(3):
        with pytest.raises(LoginRequired):
            await manager.get("default")
        await clock.advance(60)
    assert named == ["default"]
    await manager.close()


async def test_files_that_are_read_again_at_once_mend_a_login(issuer: ScriptedIssuer, store: Shared) -> None:
    """A password that was changed in its file is found right after the old one was refused."""

    def read_again(name: str) -> None:
        issuer.fail_sign_in = None
        signing_in.replace({name: replace(PROFILE, password=SecretStr("from the file"))})

    signing_in = new_manager(issuer, store=store, on_login_required=read_again)
    issuer.fail_sign_in = lambda: LoginRequired("wrong")
    with pytest.raises(LoginRequired):
        await signing_in.get("default")
    await settle()
    assert await signing_in.get("default")
    assert issuer.passwords == ["secret", "from the file"]
    await signing_in.close()


class TestRefresh:
    async def test_many_at_once(self, manager: TokenManager, issuer: ScriptedIssuer) -> None:
        """`refresh` brings a new token however good the old one is, and many at once share one task."""
        first = await manager.get("default")
        await issuer.clock.advance(60)
        tokens = await asyncio.gather(*(manager.refresh("default") for _ in range(500)))
        assert {id(token) for token in tokens} == {id(tokens[0])} != {id(first)}
        assert await manager.get("default") is tokens[0]
        assert issuer.renewals == 1

    async def test_one_after_the_other(self, manager: TokenManager, issuer: ScriptedIssuer) -> None:
        """A token that has only just arrived is new enough for whoever asks for a new one."""
        await manager.get("default")
        for _ in range(101):
            await manager.refresh("default")
            await issuer.clock.advance(0.1)
        assert issuer.renewals == 2

    async def test_without_a_token(self, manager: TokenManager, issuer: ScriptedIssuer) -> None:
        """Where there is no token yet, somebody signs in."""
        await manager.refresh("default")
        assert (issuer.sign_ins, issuer.renewals) == (1, 0)

    async def test_a_token_of_a_moment(self, issuer: ScriptedIssuer) -> None:
        """A token whose life is shorter than what counts as new is renewed once that is due."""
        issuer.life = 4.0
        manager = new_manager(issuer)
        await manager.get("default")
        await issuer.clock.advance(3.5)
        await manager.refresh("default")
        assert issuer.renewals + issuer.sign_ins == 2
        await manager.close()

    async def test_a_failure_leaves_the_old_token(self, manager: TokenManager, issuer: ScriptedIssuer) -> None:
        """Whoever asks hears why, the old token stays in use, and many who ask again cause no storm."""
        first = await manager.get("default")
        await issuer.clock.advance(60)
        issuer.fail_renewal = lambda: SignInFailed("Cognito is down")
        for _ in range(100):
            with pytest.raises(SignInFailed) as caught:
                await manager.refresh("default")
            assert caught.value.retry_after is not None
        assert issuer.renewals == 1
        assert await manager.get("default") is first
