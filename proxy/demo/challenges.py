"""Challenges that wait for their answer, and which comes next."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from proxy.demo.accounts import User
from proxy.demo.devices import RememberedDevice
from proxy.demo.protocol import Params, PoolConfig, not_authorized, text
from proxy.demo.srp_server import ServerExchange

MFA = "second factor"
"""What `Progress.passed` holds once one has been shown."""
DEVICE = "DEVICE_SRP_AUTH"

_SESSION_BYTES = 96


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sign-in has come."""

    device: RememberedDevice | None = None
    """The device that the caller named."""
    passed: frozenset[str] = frozenset()
    chosen: str | None = None
    """The answer to SELECT_MFA_TYPE."""

    def past(self, *stages: str) -> "Progress":
        return replace(self, passed=self.passed | set(stages))


def next_challenge(user: User, config: PoolConfig, progress: Progress) -> str | None:
    """What `user` is asked for next, None where nothing stands before the tokens any more."""
    if user.challenge is not None and user.challenge not in progress.passed:
        return user.challenge
    if user.new_password_required:
        return "NEW_PASSWORD_REQUIRED"
    trusted = progress.device is not None and progress.device.remembered
    spared = trusted and config.device_spares_mfa
    if MFA not in progress.passed and not spared and (factor := _second_factor(user, config, progress)):
        return factor
    return DEVICE if trusted and DEVICE not in progress.passed else None


def _second_factor(user: User, config: PoolConfig, progress: Progress) -> str | None:
    factors = user.second_factors
    wanted = progress.chosen or user.preferred_mfa
    if wanted in factors:
        return wanted
    if not factors:
        return "MFA_SETUP" if config.mfa_required else None
    return factors[0] if len(factors) == 1 else "SELECT_MFA_TYPE"


@dataclass(frozen=True, slots=True)
class Pending:
    """One challenge. `known_as` is the name that SRP hashes; `user` is None for somebody who does not exist."""

    challenge: str
    known_as: str
    user: User | None
    ends: float
    session: str = field(default="", repr=False)
    progress: Progress = field(default_factory=Progress)
    exchange: ServerExchange | None = None
    device_key: str | None = None
    """The device that InitiateAuth named, before the password was proven."""
    code: str | None = field(default=None, repr=False)
    """The code that was sent to the user."""
    secret: str | None = field(default=None, repr=False)
    """The secret of an authenticator that is being set up."""
    verified: bool = False
    """Whether that one has shown a right code."""
    wrong: int = 0
    """Wrong codes so far."""

    def is_for(self, name: str) -> bool:
        return name == self.known_as or (self.user is not None and self.user.answers_to(name))


class Challenges:
    """All challenges under way. `now` is in wall seconds."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._pending: dict[str, Pending] = {}

    def put(self, pending: Pending, now: float, *, key: str | None = None) -> Pending:
        """Remember a challenge under `key`, or where that is None under its new session."""
        self._pending = {k: other for k, other in self._pending.items() if now < other.ends}
        session = base64.urlsafe_b64encode(self._random(_SESSION_BYTES)).decode()
        pending = replace(pending, session=session)
        self._pending[key or session] = pending
        return pending

    def put_back(self, pending: Pending, tries: int) -> None:
        """A wrong code was given: it may be tried again under the same session, so many times in all."""
        if pending.wrong + 1 < tries:
            self._pending[pending.session] = replace(pending, wrong=pending.wrong + 1)

    def take(self, key: str, challenge: str, now: float) -> Pending:
        """The challenge under `key`, which is forgotten. Refuses one that is unknown, another one, or has ended."""
        pending = self._pending.pop(key, None)
        if pending is not None and now >= pending.ends:
            raise not_authorized("Invalid session for the user, session is expired.")
        if pending is None or pending.challenge != challenge:
            raise not_authorized("Invalid session for the user.")
        return pending

    def answered(self, key: str, params: Params, responses: Params, now: float) -> Pending:
        """The challenge that a call of RespondToAuthChallenge answers: there is one answer to it, right or wrong.

        Refuses an answer that comes too late, or from another user or session, or to another challenge.
        """
        pending = self.take(key, text(params, "ChallengeName"), now)
        # Not every client hands the session of PASSWORD_VERIFIER back: the secret block stands for it.
        same_session = params.get("Session", pending.session) == pending.session
        if not same_session or not pending.is_for(text(responses, "USERNAME")):
            raise not_authorized("Invalid session for the user.")
        return pending
