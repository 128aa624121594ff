"""The users of the embedded pool, and what stands between a right password and a token."""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.demo.protocol import PoolConfig, Refusal, not_authorized

COMPANY_ID = "5f6a1d0e-3c1b-4f0e-9d57-2b8a6c1e4f90"
TEAM_ID = "a8c2e4d6-1b3f-4a5c-8e7d-9f0b1c2d3e4f"
IDENTITY_ID = "ap-southeast-2:0d9c6b1e-7a24-4f83-b5d1-6e2f8a3c9b47"

_FREE_ATTEMPTS = 5
_LONGEST_LOCKOUT = 900
_WRONG = "Incorrect username or password."


@dataclass
class User:
    """A user of the pool. Every attribute may be changed while the pool serves, and counts from then on.

    Signs in by `username`, `sub` or `email`. `totp_secret` (base32), `sms_mfa` and `email_mfa` are second factors, of
    which `preferred_mfa` names one. `challenge` poses a challenge by its name, whatever else is set.
    """

    username: str
    password: str = field(repr=False)
    email: str = ""
    email_verified: bool = True
    phone: str = "+61491570156"
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
    new_password_required: bool = False
    totp_secret: str | None = field(default=None, repr=False)
    sms_mfa: bool = False
    email_mfa: bool = False
    preferred_mfa: str | None = None
    challenge: str | None = None
    challenge_parameters: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sub = self.sub or str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:ul-proxy:user:{self.username}"))
        self.email = self.email or (self.username if "@" in self.username else f"{self.username}@example.com")

    @property
    def second_factors(self) -> tuple[str, ...]:
        """The challenges that ask for them."""
        given = {"SOFTWARE_TOKEN_MFA": self.totp_secret, "SMS_MFA": self.sms_mfa, "EMAIL_OTP": self.email_mfa}
        return tuple(name for name, value in given.items() if value)

    def answers_to(self, name: str) -> bool:
        """Whether somebody who gives `name` means this user."""
        return name in (self.username, self.sub) or name.lower() == self.email.lower()


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


def check_policy(password: str, config: PoolConfig) -> None:
    """Refuse a new password that the pool's policy does not allow."""
    demands = (
        (len(password) >= config.password_length, "Password not long enough"),
        (re.search("[A-Z]", password), "Password must have uppercase characters"),
        (re.search("[a-z]", password), "Password must have lowercase characters"),
        (re.search("[0-9]", password), "Password must have numeric characters"),
        (re.search(r"[^A-Za-z0-9\s]", password), "Password must have symbol characters"),
    )
    for met, complaint in demands:
        if not met:
            raise Refusal("InvalidPasswordException", f"Password did not conform with policy: {complaint}")
