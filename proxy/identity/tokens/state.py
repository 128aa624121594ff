"""What is known of one profile, and what follows from it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from proxy.errors import ProxyError
from proxy.identity.issued import Session, Token
from proxy.identity.profile import Profile
from proxy.identity.renewal_policy import RenewalPolicy
from proxy.identity.tokens import lifetime
from proxy.identity.tokens.lifetime import TokenState
from proxy.model import Instant, elapsed

LOOK_AGAIN = 1.0
"""Seconds after a terminal failure before somebody's request leads to a look for what a person has mended."""
_NEVER = Instant(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What may be told of a profile: never a token. Durations in seconds from now, None where there is none."""

    profile: str
    state: str
    """`fresh`, `stale`, `ended`, `none` (no sign-in yet), `retrying` or the code of a terminal error."""
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
    age: float | None = None
    """Of the token."""


@dataclass(slots=True)
class ProfileState:
    """All that is known of one profile."""

    profile: Profile
    used: Instant
    """When somebody last wanted its token."""
    token: Token | None = None
    """What is sent. None before the first sign-in and after an upstream refused it."""
    session: Session | None = None
    """The last that is known."""
    unsaved: bool = False
    """Whether the store could not be given `session`."""
    refused: SecretStr | None = None
    """A refresh token that is known to be dead."""
    landing: bool = False
    """Whether a refresh token has been shown and what came of it is not safe yet."""
    flight: asyncio.Task[Token | ProxyError] | None = None
    failures: int = 0
    failed_at: Instant = _NEVER
    pause: float = 0.0
    """Seconds after `failed_at` before the next try."""
    error: ProxyError | None = None
    """Why the last flight failed; where it is not transient, nobody signs in any more."""
    forced_at: Instant | None = None
    outcome: str = "no sign-in yet"
    sign_ins: int = 0
    renewals: int = 0

    @property
    def grounded(self) -> bool:
        """Whether a person must act before this profile may sign in again."""
        return self.error is not None and not self.error.transient

    @property
    def expendable(self) -> bool:
        """Whether nothing is lost with this slot but a token: its session is in the store."""
        return self.flight is None and not self.unsaved and not self.grounded

    def refusal(self, now: Instant) -> ProxyError | None:
        """Why no flight may take off now."""
        if self.error is None:
            return None
        rest = (LOOK_AGAIN if self.grounded else self.pause) - elapsed(self.failed_at, now)
        if rest <= 0:
            return None
        return self.error.again(None if self.grounded else rest)

    def due_in(self, now: Instant) -> float:
        """Seconds until a flight should take off by itself."""
        due = 0.0
        if self.token is not None and lifetime.is_trusted(self.token, now):
            due = self.token.renew_after - elapsed(self.token.arrived, now)
        if self.error is not None:
            due = max(due, self.pause - elapsed(self.failed_at, now))
        return max(0.0, due)

    def usable(self, now: Instant, policy: RenewalPolicy) -> bool:
        return self.token is not None and lifetime.state(self.token, now, policy) is not TokenState.ENDED

    def state_name(self, now: Instant, policy: RenewalPolicy) -> str:
        if self.token is not None and self.usable(now, policy):
            return lifetime.state(self.token, now, policy).name.lower()
        if self.error is not None:
            return "retrying" if self.error.transient else self.error.code
        return "none" if self.token is None else "ended"

    def with_login(self, profile: Profile) -> "ProfileState":
        """The slot of the same profile once its login has changed: whatever failed may work now.

        The token and the session stay where they are the same user's.
        """
        before = self.profile
        if (profile.pool, profile.username) != (before.pool, before.username):
            return ProfileState(profile, self.used, sign_ins=self.sign_ins, renewals=self.renewals)
        return ProfileState(
            profile,
            self.used,
            token=self.token,
            session=self.session,
            unsaved=self.unsaved or (self.session is not None and profile.token_store != before.token_store),
            refused=self.refused,
            forced_at=self.forced_at,
            outcome=self.outcome,
            sign_ins=self.sign_ins,
            renewals=self.renewals,
        )

    def snapshot(self, now: Instant, policy: RenewalPolicy) -> Snapshot:
        token = self.token
        age = elapsed(token.arrived, now) if token else 0.0
        return Snapshot(
            profile=self.profile.name,
            state=self.state_name(now, policy),
            claims=token.claims if token else {},
            expires_in=token.lifetime - age if token else None,
            refresh_in=None if self.grounded else self.due_in(now),
            last_outcome=self.outcome,
            sign_ins=self.sign_ins,
            renewals=self.renewals,
            failures_in_a_row=self.failures,
            clock_skew=token.arrived.wall - float(token.claims["iat"]) if token else None,
            error=self.error,
            age=age if token else None,
        )
