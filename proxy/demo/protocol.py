"""The words of Cognito's JSON protocol that all parts of the embedded pool share: settings, refusals, parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Params: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, Any]

DAY = 86400


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """A user pool and its app client; the published Unleash Live ones by default. Durations in whole seconds."""

    region: str = "ap-southeast-2"
    user_pool_id: str = "ap-southeast-2_UnpJmDeN5"
    client_id: str = "7jhe1lfkb5pvhbkicc3d14m0ej"
    client_secret: str | None = field(default=None, repr=False)
    issuer: str | None = None
    """The `iss` claim; None for the one of the AWS service itself."""
    flows: frozenset[str] = frozenset(("USER_SRP_AUTH", "USER_PASSWORD_AUTH", "REFRESH_TOKEN_AUTH"))
    """The flows of InitiateAuth that are switched on; rotation switches REFRESH_TOKEN_AUTH off."""
    id_lifetime: int = 3600
    access_lifetime: int = 3600
    refresh_lifetime: int = 30 * DAY
    session_lifetime: int = 180
    """How long a challenge may be answered."""
    code_tries: int = 3
    """How many wrong codes end a session."""
    code_lifetime: int = 3600
    """How long the codes that confirm an account or reset a password are good."""
    password_length: int = 8
    """The least for new passwords, which also need letters of both cases, a digit and a symbol."""
    required_attributes: tuple[str, ...] = ()
    """What NEW_PASSWORD_REQUIRED asks for where a user lacks it."""
    mfa_required: bool = False
    """Whether users without a second factor have to set one up."""
    remembers_devices: bool = False
    devices_on_prompt: bool = False
    """Whether a device is remembered only after the user has agreed; it is known all the same."""
    device_spares_mfa: bool = True
    """Whether a remembered device takes the place of a second factor."""
    rotation: bool = False
    """Whether each renewal replaces the refresh token."""
    rotation_grace: int = 0
    """How long a replaced refresh token goes on working: 0 to 60 seconds."""
    identity_pool_id: str = "ap-southeast-2:359c9d8b-02e4-457f-b185-4f3ff3f639d7"
    credentials_lifetime: int = 3600
    """How long the identity pool's AWS credentials are good."""

    @property
    def name(self) -> str:
        """The part of the pool id behind the underscore, which SRP calls the pool's name."""
        return self.user_pool_id.partition("_")[2]

    @property
    def provider(self) -> str:
        """What identity pools call the user pool."""
        return f"cognito-idp.{self.region}.amazonaws.com/{self.user_pool_id}"

    @property
    def iss(self) -> str:
        return self.issuer or f"https://{self.provider}"


class Refusal(Exception):
    """An error answer: `type` goes into `__type`, `message` beside it, `status` is the HTTP status."""

    def __init__(self, type_: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.type = type_
        self.message = message
        self.status = status


def not_authorized(message: str) -> Refusal:
    return Refusal("NotAuthorizedException", message)


def invalid_parameter(message: str) -> Refusal:
    return Refusal("InvalidParameterException", message)


def code_mismatch() -> Refusal:
    return Refusal("CodeMismatchException", "Invalid verification code provided, please try again.")


def text(params: Params, name: str) -> str:
    """The parameter `name`; refuses a call where it is missing or no string."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise invalid_parameter(f"Missing required parameter {name}")
    return value


def table(params: Params, name: str) -> Params:
    """The map under `name`; refuses a call where it is missing or no map."""
    value = params.get(name)
    if not isinstance(value, Mapping):
        raise invalid_parameter(f"Missing required parameter {name}")
    return value
