"""What a sign-in may ask of a person, and the interface of whoever asks them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pydantic import SecretStr

PASSWORD_RESET = "PASSWORD_RESET"
"""The user's password must be reset: no challenge of Cognito's, but asked for in the same way."""
CONFIRM_SIGN_UP = "CONFIRM_SIGN_UP"
"""The account has not been confirmed yet: likewise."""


class Medium(StrEnum):
    """How a code reaches a person."""

    AUTHENTICATOR = "authenticator"
    SMS = "sms"
    EMAIL = "email"


class Retry(StrEnum):
    """Why a code is asked for again."""

    WRONG = "wrong"
    EXPIRED = "expired"
    """It came too late, or had been used before. Where codes are delivered a new one is on its way."""
    LOST = "lost"
    """Cognito forgot the sign-in, which was begun anew: where codes are delivered a new one is on its way."""


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """A code is needed."""

    challenge: str
    """Cognito's name for the challenge, PASSWORD_RESET or CONFIRM_SIGN_UP."""
    medium: Medium
    destination: str | None = None
    """Where the code went, masked by Cognito; None for authenticators."""
    retry: Retry | None = None
    attempt: int = 1
    clock_ahead: float = 0.0
    """How many seconds Cognito's clock is ahead of the local wall clock."""


class Answerer(Protocol):
    """Asks a person. Whatever its methods raise ends the sign-in and reaches whoever began it."""

    async def username(self) -> str:
        """The user name, where the settings have none."""
        ...

    async def password(self, username: str, *, again: bool) -> SecretStr:
        """The password, where the settings have none or, `again`, Cognito refused the last one."""
        ...

    async def code(self, request: CodeRequest) -> str:
        """A one-time code."""
        ...

    async def new_password(self, challenge: str, complaint: str | None) -> SecretStr:
        """A password of the person's choice; `complaint` is what was wrong with the last one, in words."""
        ...

    async def attribute(self, name: str, *, again: bool) -> str:
        """The value of an attribute that the user pool requires, such as `given_name`."""
        ...

    async def choose(self, challenge: str, options: Sequence[str]) -> str:
        """One of `options`, Cognito's names of challenges."""
        ...

    async def show_totp_secret(self, secret: SecretStr, otpauth_uri: SecretStr) -> None:
        """Show what the person's authenticator app needs; the code that it shows then is asked for next."""
        ...

    async def remember_device(self) -> bool:
        """Whether the user pool is to remember this machine, and to ask it for no second factor any more."""
        ...
