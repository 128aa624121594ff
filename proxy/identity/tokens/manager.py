"""The keeper of tokens."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from proxy.errors import InternalError, ProxyError, SignInFailed, SignInTimeout, StoreBusy, UnknownProfile
from proxy.errors.defects import Defects, Where
from proxy.identity.issued import Token
from proxy.identity.profile import Profile
from proxy.identity.renewal_policy import RenewalPolicy
from proxy.identity.tokens import lifetime
from proxy.identity.tokens.cache import ProfileStates
from proxy.identity.tokens.interfaces import SessionStore, TokenIssuer
from proxy.identity.tokens.lifetime import TokenState
from proxy.identity.tokens.renewal import Renewals
from proxy.identity.tokens.state import ProfileState, Snapshot
from proxy.model import Clock, elapsed

log = logging.getLogger(__name__)

MAX_PROFILES = 1024
IDLE = 3600.0
"""Seconds after its last use for which a profile that is not always kept fresh is renewed in the background."""
_LOOK_AGAIN = 30.0
"""Seconds after which the background looks at the clock, and for what a person may have mended, at most."""
_LANDING = 5.0
"""Seconds for which the end waits for renewals whose refresh token may be used up already, and then for the store."""


class TokenManager:
    """The cache of tokens by profile."""

    def __init__(
        self,
        authority: TokenIssuer,
        profiles: Mapping[str, Profile],
        store: SessionStore,
        *,
        clock: Clock,
        draw: Callable[[], float],
        policy: RenewalPolicy,
        patience: float,
        capacity: int = MAX_PROFILES,
        on_login_required: Callable[[str], None] | None = None,
        defects: Defects | None = None,
    ) -> None:
        """`draw` returns uniform randoms in [0, 1); `patience` is how many seconds a caller waits for a flight.

        Of how many profiles something is remembered is `capacity`. `on_login_required` is told the name of a profile
        that a person must do something about, `defects` of exceptions that nobody expected.
        """
        self._defects = defects or Defects()
        self._renewals = Renewals(authority, store)
        self._profiles = profiles
        self._clock = clock
        self._draw = draw
        self._policy = policy
        self._patience = patience
        self._on_login_required = on_login_required
        self._slots = ProfileStates(capacity)
        self._flights: dict[asyncio.Task[Token | ProxyError], ProfileState] = {}
        self._background: dict[str, asyncio.Task[None]] = {}
        self._always: frozenset[str] | None = None
        """Whose tokens are kept fresh whether or not they are used; None before `start`."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How often flights ended well (`signed_in`, `renewed`) or not (`failed`), by profile."""

    def start(self, always: Iterable[str]) -> None:
        """From now on keep tokens fresh in the background: of `always`, and of others while they are in use."""
        self._always = frozenset(always)
        for name in self._always & self._profiles.keys():
            self._keep_in_background(name)

    def replace(self, profiles: Mapping[str, Profile]) -> None:
        """Know these profiles from now on.

        One whose login has changed may sign in again whatever had failed, and does so where its token is gone or
        another user's; one that is as it was keeps its token.
        """
        self._profiles = profiles
        self.outcomes = Counter({key: count for key, count in self.outcomes.items() if key[0] in profiles})
        for name in tuple(self._slots):
            slot, profile = self._slots.peek(name), profiles.get(name)
            if slot is None or profile == slot.profile:
                continue
            if profile is None:
                del self._slots[name]
            elif _login_of(profile) == _login_of(slot.profile):
                slot.profile = profile
            else:
                log.info("profile %s has another login", name)
                mended = self._slots[name] = slot.with_login(profile)
                if mended.token is None or slot.error is not None:
                    self._take_off(mended)
        if self._always is not None:
            self.start(self._always)

    def try_again(self) -> None:
        """A person says that what failed may work now: those who had to wait for that sign in once more."""
        for name in tuple(self._slots):
            slot = self._slots.peek(name)
            if slot is not None and slot.error is not None and slot.flight is None:
                # The refresh token may have been refused wrongly, while the pool's settings were being changed, say.
                slot.failures, slot.error, slot.refused = 0, None, None
                self._take_off(slot)

    async def get(self, name: str) -> Token:
        """A token that is good now; suspends only where there is none.

        Raises LoginRequired, CredentialMissing, SignInFailed, SignInTimeout, or UnknownProfile.
        """
        return self.at_hand(name) or await self._wait_for_flight(self._slot(name))

    def at_hand(self, name: str) -> Token | None:
        """A token that is good now, None where there is none; raises UnknownProfile."""
        slot = self._slot(name)
        token = slot.token
        slot.used = now = self._clock.now()
        if token is None:
            return None
        if lifetime.is_fresh(token, now):
            return token
        state = lifetime.state(token, now, self._policy)
        if state is TokenState.STALE and slot.flight is None and slot.refusal(now) is None:
            self._take_off(slot)
        return None if state is TokenState.ENDED else token

    def reject(self, name: str, token: Token) -> bool:
        """An upstream refused `token`: drop it, unless it has been replaced. Returns whether to `get` another.

        At most one token is dropped this way in `policy.forced_interval`: an upstream that refuses everything
        must not cause a storm of renewals.
        """
        slot = self._slot(name)
        if slot.token is not token:
            return True
        now = self._clock.now()
        if slot.forced_at is not None and elapsed(slot.forced_at, now) < self._policy.forced_interval:
            return False
        log.warning("the upstream refused the token of profile %s: renewing it", name)
        slot.forced_at = now
        slot.token = None
        if slot.flight is None and slot.refusal(now) is None:
            self._take_off(slot)
        return True

    async def refresh(self, name: str) -> Token:
        """A new token, however good the old one is; raises what `get` does, and then the old one stays in place.

        One that has only just arrived is new: many who ask cause no storm, one after the other as little as at once.
        """
        slot = self._slot(name)
        token = slot.token
        if slot.flight is None and token is not None:
            age = elapsed(token.arrived, self._clock.now())
            if age < min(self._policy.new, token.renew_after):
                return token
        return await self._wait_for_flight(slot)

    async def keep_fresh(self, name: str, *, idle: float | None = None) -> None:
        """Renew ahead of time, until cancelled or until the profile was not used for `idle` seconds.

        A profile that cannot sign in is looked at from time to time: a person may have mended it.
        """
        while (slot := self._in_background(name)) is not None:
            now = self._clock.now()
            if slot.flight is None:
                if idle is not None and slot.expendable and elapsed(slot.used, now) >= idle:
                    del self._slots[name]
                    return
                wait = slot.due_in(now)
                if slot.grounded:
                    wait = max(wait, _LOOK_AGAIN - elapsed(slot.failed_at, now))
                if wait > 0:
                    # In slices: timers stand still while a machine sleeps, and a token may be dropped meanwhile.
                    await self._clock.sleep(min(wait, _LOOK_AGAIN))
                    await self._save_again(name)
                    continue
            await asyncio.shield(slot.flight or self._take_off(slot))

    def snapshot(self, name: str) -> Snapshot:
        """What may be told of a profile; raises UnknownProfile."""
        now = self._clock.now()
        slot = self._slots.peek(name) or ProfileState(self._profile(name), now)
        return slot.snapshot(now, self._policy)

    async def has_session(self, name: str) -> bool:
        """Whether a session is kept that may bring a token without a sign-in; raises UnknownProfile."""
        return await self._renewals.has_session(
            self._slots.peek(name) or ProfileState(self._profile(name), self._clock.now())
        )

    async def close(self) -> None:
        """End all flights; those that may have used up a refresh token are given a moment to save its successor.

        So is the store for what it could not be given before.
        """
        for task in self._background.values():
            task.cancel()
        if landing := [flight for flight, slot in self._flights.items() if slot.landing]:
            await asyncio.wait(landing, timeout=_LANDING)
        flights = tuple(self._flights)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, *self._background.values(), return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LANDING):
                await asyncio.gather(*(self._save_again(name) for name in tuple(self._slots)))

    async def _save_again(self, name: str) -> None:
        """Save the session of a profile where that has failed before."""
        slot = self._slots.peek(name)
        if slot is None or slot.flight is not None:  # a flight does so itself
            return
        try:
            await self._renewals.save_again(slot)
        except Exception:  # a defect must not end the renewals for good
            log.exception("saving the session of profile %s met a defect", name)
            self._defects.met(Where.RENEWING)

    def _profile(self, name: str) -> Profile:
        profile = self._profiles.get(name)
        if profile is None:
            raise UnknownProfile(
                "there is no such profile", hint=f"The profiles are: {', '.join(sorted(self._profiles))}."
            )
        return profile

    def _slot(self, name: str) -> ProfileState:
        slot = self._slots.get(name)
        if slot is None:
            slot = self._slots[name] = ProfileState(self._profile(name), self._clock.now())
            if self._always is not None and name not in self._always:
                self._keep_in_background(name, idle=IDLE)
        return slot

    def _in_background(self, name: str) -> ProfileState | None:
        """The slot of a profile that is to be kept fresh, without counting that as a use."""
        slot = self._slots.peek(name)
        profile = self._profiles.get(name)
        if profile is None or profile.personal_access_token is not None:
            return None
        if slot is None and (self._always is None or name in self._always):
            slot = self._slots[name] = ProfileState(profile, self._clock.now())
        return slot

    def _keep_in_background(self, name: str, *, idle: float | None = None) -> None:
        running = self._background.get(name)
        if running is None or running.done():
            keeping = self.keep_fresh(name, idle=idle) if idle is not None else self._keep_always(name)
            self._background[name] = asyncio.create_task(keeping, name=f"renewals of profile {name}")

    async def _keep_always(self, name: str) -> None:
        # Without a login there is nothing to say until somebody wants a token, or has run `login`.
        while (slot := self._in_background(name)) is not None:
            if slot.profile.signs_in or slot.token is not None or await self._renewals.has_session(slot):
                await self.keep_fresh(name)
                return
            await self._clock.sleep(_LOOK_AGAIN)

    async def _wait_for_flight(self, slot: ProfileState) -> Token:
        if slot.flight is None and (refusal := slot.refusal(self._clock.now())) is not None:
            raise refusal
        flight = slot.flight or self._take_off(slot)
        try:
            async with asyncio.timeout(self._patience):
                outcome = await asyncio.shield(flight)
        except TimeoutError:
            raise SignInTimeout("Cognito did not finish the sign-in in time", retry_after=self._patience) from None
        if isinstance(outcome, ProxyError):
            raise outcome.again(outcome.retry_after)
        return outcome

    def _take_off(self, slot: ProfileState) -> asyncio.Task[Token | ProxyError]:
        flight = slot.flight = asyncio.create_task(self._fly(slot), name=f"flight of profile {slot.profile.name}")
        self._flights[flight] = slot
        return flight

    async def _fly(self, slot: ProfileState) -> Token | ProxyError:
        """Sign in or renew. Where there is no token at all, brief trouble is sat out before those who wait are told."""
        try:
            while True:
                outcome = await self._try(slot)
                if isinstance(outcome, Token) or not outcome.transient or slot.usable(self._clock.now(), self._policy):
                    return outcome
                if isinstance(outcome, StoreBusy):  # it has been waited for already
                    return outcome
                if slot.failures >= self._policy.patient_tries or slot.pause > self._patience:
                    return outcome
                await self._clock.sleep(slot.pause)
        finally:
            if slot.flight is not None:
                del self._flights[slot.flight]
            slot.flight = None

    async def _try(self, slot: ProfileState) -> Token | ProxyError:
        try:
            token = await self._renewals.obtain(slot)
        except ProxyError as error:
            return self._failed(slot, error)
        except Exception:  # a defect must not end the renewals for good
            log.exception("renewing profile %s met a defect", slot.profile.name)
            self._defects.met(Where.RENEWING)
            return self._failed(slot, SignInFailed("the sign-in met a defect", hint=InternalError.default_hint))
        slot.token = token
        slot.failures, slot.error = 0, None
        self.outcomes[slot.profile.name, slot.outcome.replace(" ", "_")] += 1
        log.info("%s: profile %s has a token good for %d s", slot.outcome, slot.profile.name, token.lifetime)
        return token

    def _failed(self, slot: ProfileState, error: ProxyError) -> ProxyError:
        slot.failed_at = self._clock.now()
        if error is slot.error:  # nothing has been mended, and everybody has been told
            return error.again()
        slot.failures += 1
        self.outcomes[slot.profile.name, "failed"] += 1
        slot.pause = max(lifetime.backoff(slot.failures, self._draw(), self._policy), error.retry_after or 0.0)
        slot.error = error
        slot.outcome = f"failed: {error.detail}"
        then = f"Next try in {slot.pause:.1f} s." if error.transient else error.hint
        log.log(
            logging.WARNING if error.transient else logging.ERROR,
            "no new token for profile %s: %s.%s",
            slot.profile.name,
            error.detail,
            f" {then}" if then else "",
        )
        current = self._slots.peek(slot.profile.name) is slot
        if current and not error.transient and self._on_login_required is not None:
            asyncio.get_running_loop().call_soon(self._on_login_required, slot.profile.name)
        return error.again(slot.pause if error.transient else None)


def _login_of(profile: Profile) -> Profile:
    """What of a profile concerns signing in."""
    return replace(profile, api_key=None, personal_access_token=None)
