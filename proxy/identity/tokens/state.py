"""What is known of one profile, and what follows from it."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from enum import Enum, auto
from typing import Any

from proxy.errors import ProxyError
from proxy.identity.issued import Session, Token
from proxy.identity.profile import Profile
from proxy.identity.tokens import lifetime
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.identity.tokens.single_flight import Renewable, RenewalState
from proxy.model import Instant, elapsed


class SessionState(Enum):
    """How the session of a profile stands; `renewal.py` has the transitions."""

    STORED = auto()
    """As the store has it, which may have none."""
    UNSAVED = auto()
    """The store could not be given it."""
    REFUSED = auto()
    """Its refresh token is dead, and is not shown again."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What may be shown of a profile: never a token. Durations in seconds from now, None where there is none."""

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
class ProfileState(Renewable[Token]):
    """All that is known of one profile.

    Its value is the token that is sent. There is none before the first sign-in and after an upstream refused it.
    """

    profile: Profile
    used: Instant
    """When somebody last wanted its token."""
    _: KW_ONLY
    session: Session | None = None
    """The last that is known."""
    session_state: SessionState = SessionState.STORED
    forced_at: Instant | None = None
    """When an upstream last refused a token."""
    outcome: str = "no sign-in yet"
    sign_ins: int = 0
    renewals: int = 0

    @property
    def is_expendable(self) -> bool:
        """Whether nothing is lost with this state but a token: its session is in the store."""
        at_rest = self.renewal in (RenewalState.IDLE, RenewalState.BACKING_OFF)
        return at_rest and self.session_state is not SessionState.UNSAVED

    @property
    def can_renew(self) -> bool:
        """Whether the session may bring a token without a sign-in."""
        known = self.session is not None and self.session.refresh_token is not None
        return known and self.session_state is not SessionState.REFUSED

    def take_up(self, stored: Session | None) -> None:
        """Go on with what the store has, unless that is older than the session here, or was refused."""
        same = self.session is not None and stored is not None and stored.refresh_token == self.session.refresh_token
        refused = same and self.session_state is SessionState.REFUSED
        if not refused and self.session_state is not SessionState.UNSAVED:
            self.session, self.session_state = stored, SessionState.STORED

    def due_in(self, now: Instant) -> float:
        """Return the seconds until a renewal should begin by itself."""
        due = 0.0
        if self.value is not None and lifetime.is_trusted(self.value, now):
            due = self.value.renew_after - elapsed(self.value.arrived, now)
        if self.error is not None:
            due = max(due, self.pause - elapsed(self.failed_at, now))
        return max(0.0, due)

    def in_a_word(self, now: Instant, policy: RenewalPolicy) -> str:
        """Return the state as a Snapshot has it."""
        if self.value is not None and self.is_usable(now, policy):
            return lifetime.state(self.value, now, policy).name.lower()
        if self.error is not None:
            return "retrying" if self.error.transient else self.error.code
        return "none" if self.value is None else "ended"

    def with_login(self, profile: Profile) -> "ProfileState":
        """Return the state of the same profile once its login has changed: what failed before may work now.

        The token and the session stay where they are the same user's.
        """
        before = self.profile
        fresh = ProfileState(self.name, profile, self.used, sign_ins=self.sign_ins, renewals=self.renewals)
        if (profile.pool, profile.username) == (before.pool, before.username):
            fresh.value, fresh.session, fresh.session_state = self.value, self.session, self.session_state
            fresh.forced_at, fresh.outcome = self.forced_at, self.outcome
            if fresh.can_renew and profile.token_store != before.token_store:
                fresh.session_state = SessionState.UNSAVED
        return fresh

    def snapshot(self, now: Instant, policy: RenewalPolicy) -> Snapshot:
        token = self.value
        age = elapsed(token.arrived, now) if token else 0.0
        return Snapshot(
            profile=self.name,
            state=self.in_a_word(now, policy),
            claims=token.claims if token else {},
            expires_in=token.lifetime - age if token else None,
            refresh_in=None if self.needs_person else self.due_in(now),
            last_outcome=self.outcome,
            sign_ins=self.sign_ins,
            renewals=self.renewals,
            failures_in_a_row=self.failures,
            clock_skew=token.arrived.wall - float(token.claims["iat"]) if token else None,
            error=self.error,
            age=age if token else None,
        )
