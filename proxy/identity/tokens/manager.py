"""The tokens of all profiles."""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from proxy.errors import UnknownProfile
from proxy.errors.defects import Where
from proxy.identity.issued import Token
from proxy.identity.profile import Profile
from proxy.identity.stores.base import Store
from proxy.identity.tokens import lifetime
from proxy.identity.tokens.renewal import Renewals, TokenIssuer
from proxy.identity.tokens.single_flight import GRACE, RenewalState, SingleFlight, Terms
from proxy.identity.tokens.state import ProfileState, SessionState, Snapshot
from proxy.model import elapsed

log = logging.getLogger(__name__)

MAX_PROFILES = 1024
IDLE = 3600.0
"""Seconds after its last use for which a profile that is not always kept fresh is renewed in the background."""
_LOOK_AGAIN = 30.0
"""Seconds after which the background looks at the clock, and for what a person may have mended, at most."""
_LOOK_AGAIN_FOR_CALLERS = 1.0
"""Seconds after a terminal failure before somebody's request leads to a look for what a person has mended."""


class TokenManager:
    """Keeps a good token of every profile, at the price of one sign-in."""

    def __init__(
        self,
        issuer: TokenIssuer,
        profiles: Mapping[str, Profile],
        store_of: Callable[[Profile], Store],
        terms: Terms,
        *,
        capacity: int = MAX_PROFILES,
        on_login_required: Callable[[str], None] | None = None,
    ) -> None:
        """Begin with no token. Of how many profiles something is remembered is `capacity`.

        `on_login_required` is called with the name of a profile that a person must do something about.
        """
        self._renewals = Renewals(issuer, store_of)
        self._flight: SingleFlight[ProfileState, Token] = SingleFlight(
            self._renewals.obtain,
            self._report,
            terms,
            task="the sign-in",
            too_slow="Cognito did not finish the sign-in in time",
            log=log,
            look_again=_LOOK_AGAIN_FOR_CALLERS,
        )
        self._profiles = profiles
        self._clock, self._policy, self._defects = terms.clock, terms.policy, terms.defects
        self._on_login_required = on_login_required
        self._states: OrderedDict[str, ProfileState] = OrderedDict()
        """Of the profiles in use, the one that was unused longest first."""
        self._capacity = capacity
        self._background: dict[str, asyncio.Task[None]] = {}
        self._always: frozenset[str] | None = None
        """Whose tokens are kept fresh whether or not they are used; None before `start`."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How often tries ended well (`signed_in`, `renewed`) or not (`failed`), by profile."""

    def start(self, always: Iterable[str]) -> None:
        """Keep tokens fresh in the background from now on: of `always`, and of others while they are in use."""
        self._always = frozenset(always)
        for name in self._always & self._profiles.keys():
            self._keep_in_background(name)

    def replace(self, profiles: Mapping[str, Profile]) -> None:
        """Know these profiles from now on.

        One whose login has changed may sign in again whatever had failed, and does so where its token is gone or
        another user's; one that is as it was keeps its token.
        """
        self._profiles = profiles
        self._background = {
            name: task for name, task in self._background.items() if name in profiles or not task.done()
        }
        self.outcomes = Counter({key: count for key, count in self.outcomes.items() if key[0] in profiles})
        for name, state in tuple(self._states.items()):
            profile = profiles.get(name)
            if profile == state.profile:
                continue
            if profile is None:
                del self._states[name]
            elif _login_of(profile) == _login_of(state.profile):
                state.profile = profile
            else:
                log.info("profile %s has another login", name)
                mended = self._states[name] = state.with_login(profile)
                if mended.value is None or state.error is not None:
                    self._flight.start(mended)
        if self._always is not None:
            self.start(self._always)

    def try_again(self) -> None:
        """Sign in once more where that had failed: a person says that it may work now."""
        for state in self._states.values():
            if state.error is not None and state.task is None:
                state.forget_failure()
                if state.session_state is SessionState.REFUSED:
                    # Wrongly perhaps, while the pool's settings were being changed, say.
                    state.session_state = SessionState.STORED
                self._flight.start(state)

    async def get(self, name: str) -> Token:
        """Return a token that is good now; suspends only where there is none.

        Raises LoginRequired, CredentialMissing, SignInFailed, SignInTimeout, or UnknownProfile.
        """
        return self.at_hand(name) or await self._flight.join(self._state(name))

    def at_hand(self, name: str) -> Token | None:
        """Return a token that is good now, None where there is none; raises UnknownProfile."""
        state = self._state(name)
        token = state.value
        state.used = now = self._clock.now()
        # Of each request: the rest is for the few that find it otherwise.
        if token is not None and lifetime.is_fresh(token, now):
            return token
        return self._flight.at_hand(state, now)

    def reject(self, name: str, token: Token) -> bool:
        """Drop `token`, which an upstream refused, unless it has been replaced. Returns whether to `get` another.

        At most one token is dropped this way in `policy.forced_interval`: an upstream that refuses everything
        must not cause a storm of renewals.
        """
        state = self._state(name)
        if state.value is not token:
            return True
        now = self._clock.now()
        if state.forced_at is not None and elapsed(state.forced_at, now) < self._policy.forced_interval:
            return False
        log.warning("the upstream refused the token of profile %s: renewing it", name)
        state.forced_at = now
        state.value = None
        self._flight.begin(state, now)
        return True

    async def refresh(self, name: str) -> Token:
        """Return a new token, however good the old one is; where it raises what `get` does, the old one stays.

        One that has only just arrived is new: many who ask cause no storm, one after the other as little as at once.
        """
        state = self._state(name)
        token = state.value
        if state.task is None and token is not None:
            age = elapsed(token.arrived, self._clock.now())
            if age < min(self._policy.new, token.renew_after):
                return token
        return await self._flight.join(state)

    async def keep_fresh(self, name: str, *, idle: float | None = None) -> None:
        """Renew ahead of time, until cancelled or until the profile was not used for `idle` seconds.

        A profile that cannot sign in is looked at from time to time: a person may have mended it.
        """
        while (state := self._in_background(name)) is not None:
            now = self._clock.now()
            if state.task is None:
                if idle is not None and state.is_expendable and elapsed(state.used, now) >= idle:
                    del self._states[name]
                    return
                wait = state.due_in(now)
                if state.renewal is RenewalState.BLOCKED:
                    wait = max(wait, _LOOK_AGAIN - elapsed(state.failed_at, now))
                if wait > 0:
                    # In slices: timers stand still while a machine sleeps, and a token may be dropped meanwhile.
                    await self._clock.sleep(min(wait, _LOOK_AGAIN))
                    await self._save_again(name)
                    continue
            await asyncio.shield(state.task or self._flight.start(state))

    def snapshot(self, name: str) -> Snapshot:
        """Return what may be shown of a profile; raises UnknownProfile."""
        return self._known(name).snapshot(self._clock.now(), self._policy)

    async def has_session(self, name: str) -> bool:
        """Return whether a session is kept that may bring a token without a sign-in; raises UnknownProfile."""
        return await self._renewals.has_session(self._known(name))

    async def close(self) -> None:
        """End all renewals; those that may have used up a refresh token are given a moment to save its successor.

        So is the store for what it could not be given before.
        """
        for task in self._background.values():
            task.cancel()
        await self._flight.close()
        await asyncio.gather(*self._background.values(), return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await asyncio.gather(*(self._save_again(name) for name in tuple(self._states)))

    async def _save_again(self, name: str) -> None:
        """Save the session of a profile where that has failed before."""
        state = self._states.get(name)
        # A task does so itself, unless it was cancelled before it had begun.
        if state is None or (state.task is not None and not state.task.done()):
            return
        try:
            await self._renewals.save_again(state)
        except Exception:  # a defect must not end the renewals for good
            log.exception("saving the session of profile %s met a defect", name)
            self._defects.met(Where.RENEWING)

    def _unused(self, name: str) -> ProfileState:
        profile = self._profiles.get(name)
        if profile is None:
            known = ", ".join(sorted(self._profiles))
            raise UnknownProfile("there is no such profile", hint=f"The profiles are: {known}.")
        return ProfileState(name, profile, self._clock.now())

    def _known(self, name: str) -> ProfileState:
        """Return what is known of a profile, without counting that as a use."""
        return self._states.get(name) or self._unused(name)

    def _state(self, name: str) -> ProfileState:
        """Return what is known of a profile that somebody wants the token of."""
        state = self._states.get(name)
        if state is not None:
            self._states.move_to_end(name)
            return state
        state = self._add(name)
        if self._always is not None and name not in self._always:
            self._keep_in_background(name, idle=IDLE)
        return state

    def _add(self, name: str) -> ProfileState:
        """Know another profile; the one that was unused longest makes room, if possible one that loses nothing."""
        state = self._unused(name)
        if len(self._states) >= self._capacity:
            # Where a renewal is under way, it ends well: the store's lock keeps another one from crossing it.
            expendable = (name for name, other in self._states.items() if other.is_expendable)
            del self._states[next(expendable, next(iter(self._states)))]
        self._states[name] = state
        return state

    def _in_background(self, name: str) -> ProfileState | None:
        """Return the state of a profile that is to be kept fresh, without counting that as a use."""
        state = self._states.get(name)
        profile = self._profiles.get(name)
        if profile is None or profile.personal_access_token is not None:
            return None
        if state is None and (self._always is None or name in self._always):
            state = self._add(name)
        return state

    def _keep_in_background(self, name: str, *, idle: float | None = None) -> None:
        running = self._background.get(name)
        if running is None or running.done():
            keeping = self.keep_fresh(name, idle=idle) if idle is not None else self._keep_always(name)
            self._background[name] = asyncio.create_task(keeping, name=f"renewals of profile {name}")

    async def _keep_always(self, name: str) -> None:
        # Without a login there is nothing to say until somebody wants a token, or has run `login`.
        while (state := self._in_background(name)) is not None:
            if state.profile.signs_in or state.value is not None or await self._renewals.has_session(state):
                await self.keep_fresh(name)
                return
            await self._clock.sleep(_LOOK_AGAIN)

    def _report(self, state: ProfileState) -> None:
        """Count and log what a try came to."""
        error = state.error
        if error is None:
            self.outcomes[state.name, state.outcome.replace(" ", "_")] += 1
            good_for = 0 if state.value is None else state.value.lifetime
            log.info("%s: profile %s has a token good for %d s", state.outcome, state.name, good_for)
            return
        self.outcomes[state.name, "failed"] += 1
        state.outcome = f"failed: {error.detail}"
        then = f"Next try in {state.pause:.1f} s." if error.transient else error.hint
        log.log(
            logging.WARNING if error.transient else logging.ERROR,
            "no new token for profile %s: %s.%s",
            state.name,
            error.detail,
            f" {then}" if then else "",
        )
        current = self._states.get(state.name) is state
        if current and not error.transient and self._on_login_required is not None:
            asyncio.get_running_loop().call_soon(self._on_login_required, state.name)


def _login_of(profile: Profile) -> Profile:
    """Return what of a profile concerns signing in."""
    return replace(profile, api_key=None, personal_access_token=None)
