"""The users of the embedded pool, and what stands between a right password and a token."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.demo.protocol import Refusal, not_authorized

COMPANY_ID = "5f6a1d0e-3c1b-4f0e-9d57-2b8a6c1e4f90"
TEAM_ID = "a8c2e4d6-1b3f-4a5c-8e7d-9f0b1c2d3e4f"
IDENTITY_ID = "ap-southeast-2:0d9c6b1e-7a24-4f83-b5d1-6e2f8a3c9b47"

_FREE_ATTEMPTS = 5
_LONGEST_LOCKOUT = 900
_WRONG = "Incorrect username or password."


@dataclass
class User:
    """A user of the pool. Every attribute may be changed while the pool serves, and counts from then on.

    Signs in by `username`, `sub` or `email`. `challenge` names the challenge that follows the right password.
    """

    username: str
    password: str = field(repr=False)
    email: str = ""
    email_verified: bool = True
    sub: str = ""
    attributes: dict[str, str] = field(
        default_factory=lambda: {
            "custom:identityId": IDENTITY_ID,
            "custom:companyId": COMPANY_ID,
            "custom:teamId": TEAM_ID,
        }
    )
    confirmed: bool = True
    disabled: bool = False
    reset_required: bool = False
    challenge: str | None = None
    challenge_parameters: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sub = self.sub or str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:ul-proxy:user:{self.username}"))
        self.email = self.email or (self.username if "@" in self.username else f"{self.username}@example.com")

    def answers_to(self, name: str) -> bool:
        """Whether somebody who gives `name` means this user."""
        return name in (self.username, self.sub) or name.lower() == self.email.lower()

    def parameters_of_challenge(self) -> dict[str, str]:
        """The ChallengeParameters that go with `challenge`, in the service's own form."""
        usual = {
            "NEW_PASSWORD_REQUIRED": {
                "requiredAttributes": "[]",
                "userAttributes": json.dumps({"email": self.email}),
            },
            "SMS_MFA": {"CODE_DELIVERY_DELIVERY_MEDIUM": "SMS", "CODE_DELIVERY_DESTINATION": "+*******0199"},
        }
        return {
            "USER_ID_FOR_SRP": self.username,
            **usual.get(self.challenge or "", {}),
            **self.challenge_parameters,
        }


@dataclass
class _Attempts:
    wrong: int = 0
    locked_until: float = 0.0


class Accounts:
    """All users of a pool and their wrong passwords so far. `now` is in wall seconds."""

    def __init__(self, users: Iterable[User]) -> None:
        self.users = list(users)
        self._attempts: dict[str, _Attempts] = {}

    def find(self, name: str) -> User | None:
        """The user who goes by `name`."""
        return next((user for user in self.users if user.answers_to(name)), None)

    def judge(self, user: User | None, proven: bool, now: float) -> User:
        """Let a `user` pass who has `proven` the password; count a wrong one, and lock out after five.

        An unknown user (None) is refused in the words of a wrong password, so that nobody learns who exists.
        """
        if user is None:
            raise not_authorized(_WRONG)
        attempts = self._attempts.setdefault(user.username, _Attempts())
        if now < attempts.locked_until:
            raise not_authorized("Password attempts exceeded")
        if not proven:
            attempts.wrong += 1
            if attempts.wrong >= _FREE_ATTEMPTS:
                attempts.locked_until = now + min(2 ** (attempts.wrong - _FREE_ATTEMPTS), _LONGEST_LOCKOUT)
            raise not_authorized(_WRONG)
        attempts.wrong = 0
        check_standing(user)
        return user


def check_standing(user: User) -> None:
    """Refuse a user who is disabled, unconfirmed or has to choose a new password."""
    if user.disabled:
        raise not_authorized("User is disabled.")
    if not user.confirmed:
        raise Refusal("UserNotConfirmedException", "User is not confirmed.")
    if user.reset_required:
        raise Refusal("PasswordResetRequiredException", "Password reset required for the user")
