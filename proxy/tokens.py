"""`TokenKeeper`: a good token for every profile, at the price of one sign-in.

One flight per profile signs in or renews; all who need its token wait for that one, behind a shield, so that a caller
who goes away cancels nothing. A renewal that fails leaves a good token in place. What `lifetime.py` decides is carried
out here; what Cognito says comes from `cognito`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cachetools import LRUCache

from proxy import lifetime
from proxy.errors import InternalError, ProxyError, RefreshRejected, SignInFailed, SignInTimeout, UnknownProfile
from proxy.lifetime import State
from proxy.model import Clock, Instant, Profile, RenewalPolicy, Token

log = logging.getLogger(__name__)

MAX_PROFILES = 1024
_LOOK_AGAIN = 30.0
"""Seconds after which the background looks at the clock again, at most."""
_NEVER = Instant(0.0, 0.0)


class Authority(Protocol):
    """Who issues tokens. Both raise an error of `errors.py`."""

    async def sign_in(self, profile: Profile) -> Token: ...

    async def renew(self, profile: Profile, token: Token) -> Token: ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What may be told of a profile: never a token. Durations in seconds from now, None where there is none."""

    profile: str
    state: str
    """`fresh`, `stale`, `ended`, `none` (no sign-in yet), `retrying` or `login_required`."""
    claims: Mapping[str, Any]
    expires_in: float | None
    refresh_in: float | None
    last_outcome: str
    sign_ins: int
    renewals: int
    failures_in_a_row: int
    clock_skew: float | None
    """How far the local wall clock runs ahead of Cognito's."""
    error: ProxyError | None


@dataclass(slots=True)
class _Slot:
    """All that is known of one profile."""

    profile: Profile
    token: Token | None = None
    """What is sent. None before the first sign-in and after an upstream refused it."""
    session: Token | None = None
    """Whose refresh token is believed to work."""
    flight: asyncio.Task[Token | ProxyError] | None = None
    failures: int = 0
    failed_at: Instant = _NEVER
    pause: float = 0.0
    """Seconds after `failed_at` before the next try."""
    error: ProxyError | None = None
    """Why the last flight failed; where it is not transient, nothing is tried any more."""
    forced_at: Instant | None = None
    outcome: str = "no sign-in yet"
    sign_ins: int = 0
    renewals: int = 0


class TokenKeeper:
    """The cache of tokens by profile."""

    def __init__(
        self,
        authority: Authority,
        profiles: Mapping[str, Profile],
        *,
        clock: Clock,
        draw: Callable[[], float],
        policy: RenewalPolicy,
        patience: float,
    ) -> None:
        """`draw` returns uniform randoms in [0, 1); `patience` is how many seconds a caller waits for a flight."""
        self._authority = authority
        self._profiles = profiles
        self._clock = clock
        self._draw = draw
        self._policy = policy
        self._patience = patience
        self._slots: LRUCache[str, _Slot] = LRUCache(MAX_PROFILES)

    async def get(self, name: str) -> Token:
        """A token that is good now; suspends only where there is none.

        Raises LoginRequired, CredentialMissing, SignInFailed, SignInTimeout, or UnknownProfile.
        """
        return self.at_hand(name) or await self._wait_for_flight(self._slot(name))

    def at_hand(self, name: str) -> Token | None:
        """A token that is good now, None where there is none; raises UnknownProfile."""
        slot = self._slot(name)
        token = slot.token
        if token is None:
            return None
        now = self._clock.now()
        if lifetime.is_fresh(token, now):
            return token
        state = lifetime.state(token, now, self._policy)
        if state is State.STALE and slot.flight is None and self._refusal(slot, now) is None:
            self._take_off(slot)
        return None if state is State.ENDED else token

    def reject(self, name: str, token: Token) -> bool:
        """An upstream refused `token`: drop it, unless it has been replaced. Returns whether to `get` another.

        At most one token is dropped this way in `policy.forced_interval`: an upstream that refuses everything
        must not cause a storm of renewals.
        """
        slot = self._slot(name)
        if slot.token is not token:
            return True
        now = self._clock.now()
        if slot.forced_at is not None and lifetime.elapsed(slot.forced_at, now) < self._policy.forced_interval:
            return False
        log.warning("the upstream refused the token of profile %s: renewing it", name)
        slot.forced_at = now
        slot.token = None
        if slot.flight is None and self._refusal(slot, now) is None:
            self._take_off(slot)
        return True

    async def keep_fresh(self, name: str) -> None:
        """Sign in now, then renew ahead of time for as long as that can work. Run as a task."""
        slot = self._slot(name)
        while True:
            now = self._clock.now()
            if slot.flight is None:
                refusal = self._refusal(slot, now)
                if refusal is not None and not refusal.transient:
                    return
                wait = self._due_in(slot, now)
                if wait > 0:
                    # In slices: timers stand still while a machine sleeps, and a token may be dropped meanwhile.
                    await self._clock.sleep(min(wait, _LOOK_AGAIN))
                    continue
            await asyncio.shield(slot.flight or self._take_off(slot))

    def snapshot(self, name: str) -> Snapshot:
        slot = self._slot(name)
        now = self._clock.now()
        token = slot.token
        age = lifetime.elapsed(token.arrived, now) if token else 0.0
        return Snapshot(
            profile=name,
            state=self._state_name(slot, now),
            claims=token.claims if token else {},
            expires_in=token.lifetime - age if token else None,
            refresh_in=self._due_in(slot, now) if slot.error is None or slot.error.transient else None,
            last_outcome=slot.outcome,
            sign_ins=slot.sign_ins,
            renewals=slot.renewals,
            failures_in_a_row=slot.failures,
            clock_skew=token.arrived.wall - float(token.claims["iat"]) if token else None,
            error=slot.error,
        )

    async def close(self) -> None:
        """End all flights."""
        flights = [slot.flight for slot in self._slots.values() if slot.flight is not None]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _slot(self, name: str) -> _Slot:
        slot = self._slots.get(name)
        if slot is None:
            profile = self._profiles.get(name)
            if profile is None:
                raise UnknownProfile(
                    "there is no such profile", hint=f"The profiles are: {', '.join(sorted(self._profiles))}."
                )
            slot = self._slots[name] = _Slot(profile)
        return slot

    async def _wait_for_flight(self, slot: _Slot) -> Token:
        if slot.flight is None and (refusal := self._refusal(slot, self._clock.now())) is not None:
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

    def _refusal(self, slot: _Slot, now: Instant) -> ProxyError | None:
        """Why no flight may take off now."""
        if slot.error is None:
            return None
        if not slot.error.transient:
            return slot.error.again()
        rest = slot.pause - lifetime.elapsed(slot.failed_at, now)
        return slot.error.again(rest) if rest > 0 else None

    def _due_in(self, slot: _Slot, now: Instant) -> float:
        """Seconds until a flight should take off by itself."""
        due = 0.0
        if slot.token is not None:
            due = slot.token.renew_after - lifetime.elapsed(slot.token.arrived, now)
        if slot.error is not None:
            due = max(due, slot.pause - lifetime.elapsed(slot.failed_at, now))
        return max(0.0, due)

    def _usable(self, slot: _Slot, now: Instant) -> bool:
        return slot.token is not None and lifetime.state(slot.token, now, self._policy) is not State.ENDED

    def _state_name(self, slot: _Slot, now: Instant) -> str:
        if slot.token is not None and self._usable(slot, now):
            return lifetime.state(slot.token, now, self._policy).name.lower()
        if slot.error is not None:
            return "retrying" if slot.error.transient else slot.error.code
        return "none" if slot.token is None else "ended"

    def _take_off(self, slot: _Slot) -> asyncio.Task[Token | ProxyError]:
        slot.flight = asyncio.create_task(self._fly(slot), name=f"flight of profile {slot.profile.name}")
        return slot.flight

    async def _fly(self, slot: _Slot) -> Token | ProxyError:
        """Sign in or renew. Where there is no token at all, brief trouble is sat out before those who wait are told."""
        try:
            while True:
                outcome = await self._try(slot)
                if isinstance(outcome, Token) or not outcome.transient or self._usable(slot, self._clock.now()):
                    return outcome
                if slot.failures >= self._policy.patient_tries or slot.pause > self._patience:
                    return outcome
                await self._clock.sleep(slot.pause)
        finally:
            slot.flight = None

    async def _try(self, slot: _Slot) -> Token | ProxyError:
        try:
            token = await self._obtain(slot)
        except ProxyError as error:
            return self._failed(slot, error)
        except Exception:  # a defect must not end the renewals for good
            log.exception("renewing profile %s met a defect", slot.profile.name)
            return self._failed(slot, SignInFailed("the sign-in met a defect", hint=InternalError.default_hint))
        slot.token = slot.session = token
        slot.failures, slot.error = 0, None
        log.info("%s: profile %s has a token good for %d s", slot.outcome, slot.profile.name, token.lifetime)
        return token

    async def _obtain(self, slot: _Slot) -> Token:
        if slot.session is not None:
            try:
                token = await self._authority.renew(slot.profile, slot.session)
            except RefreshRejected as error:
                log.warning("the session of profile %s has ended: %s", slot.profile.name, error.detail)
                slot.session = None
            else:
                slot.renewals += 1
                slot.outcome = "renewed"
                return token
        token = await self._authority.sign_in(slot.profile)
        slot.sign_ins += 1
        slot.outcome = "signed in"
        return token

    def _failed(self, slot: _Slot, error: ProxyError) -> ProxyError:
        slot.failures += 1
        slot.failed_at = self._clock.now()
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
        return error.again(slot.pause if error.transient else None)
