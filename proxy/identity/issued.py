"""What Cognito issues: tokens, the sessions that outlive them, and AWS credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from proxy.model import Instant


@dataclass(frozen=True, slots=True)
class Device:
    """A device that a user pool is to remember; `password` is its own, of which the pool has a verifier."""

    key: str
    group_key: str
    password: SecretStr


@dataclass(frozen=True, slots=True)
class Session:
    """What outlives a token: all that a renewal needs. A Token has it as well."""

    refresh_token: SecretStr | None
    username: str | None = None
    """The name that Cognito keeps, whatever alias was given."""
    device: Device | None = None
    saved_at: float | None = field(default=None, compare=False)
    """When a store was given it, in wall seconds."""


@dataclass(frozen=True, slots=True)
class Token:
    """What one sign-in or renewal returned. `lifetime` is the ID token's own `exp - iat`, in seconds."""

    id_token: SecretStr
    access_token: SecretStr
    refresh_token: SecretStr | None
    claims: Mapping[str, Any]
    arrived: Instant
    lifetime: float
    renew_after: float
    """Seconds after `arrived` from which on a renewal is due."""
    username: str | None = None
    device: Device | None = None

    @property
    def session(self) -> Session:
        return Session(self.refresh_token, self.username, self.device)


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Temporary AWS credentials of an identity pool. `lifetime` in seconds from `arrived`."""

    identity_id: str
    access_key_id: str
    secret_access_key: SecretStr
    session_token: SecretStr
    expiration: datetime
    arrived: Instant
    lifetime: float
    renew_after: float = 0.0
    """Seconds after `arrived` from which on a renewal is due; `AwsKeys` sets it."""


Issued = Token | AwsCredentials
"""What is good for its `lifetime` after it `arrived`, and is to be renewed ahead of its end."""
