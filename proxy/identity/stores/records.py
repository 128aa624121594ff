"""What a store keeps, as text and back, and whose it is. Pure."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, NamedTuple

from pydantic import Field, SecretStr, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from proxy.identity.issued import Session
from proxy.identity.profile import CognitoPool, Profile

VERSION = 1


class DamagedError(ValueError):
    """This is nothing that a store has written."""


class NewerVersionError(ValueError):
    """A later version of this program has written this."""


class Key(NamedTuple):
    """What a session is kept under. The endpoint is part of it: a refresh token goes nowhere else."""

    profile: str
    user_pool_id: str
    client_id: str
    endpoint_url: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """A session and whose it is."""

    profile: str
    user_pool_id: str
    client_id: str
    endpoint_url: str | None
    login: str | None
    """The name that was given at the sign-in, where it is known: an alias perhaps."""
    session: Session

    @property
    def key(self) -> Key:
        return Key(self.profile, self.user_pool_id, self.client_id, self.endpoint_url)

    def serves(self, profile: Profile) -> bool:
        """Whether `profile` may use the session."""
        if self.key != key_of(profile):
            return False
        names = {name.casefold() for name in (self.login, self.session.username) if name is not None}
        return profile.username is None or not names or profile.username.casefold() in names


class _Versioned(TypedDict):
    version: Annotated[int, Field(ge=1)]


class _Document(_Versioned):
    sessions: list[Record]


_VERSIONED = TypeAdapter(_Versioned)
_DOCUMENT = TypeAdapter(_Document)


def key_of(profile: Profile) -> Key:
    pool: CognitoPool = profile.pool
    return Key(profile.name, pool.user_pool_id, pool.client_id, pool.endpoint_url)


def record_of(profile: Profile, session: Session, before: Record | None, now: float) -> Record:
    """The record of a session that is saved at `now`, in wall seconds, in place of `before`."""
    login = profile.username
    if login is None and before is not None and before.session.username == session.username:
        login = before.login
    return Record(*key_of(profile), login, replace(session, saved_at=now))


def encode(records: Sequence[Record]) -> bytes:
    """The text of `records`, with their secrets."""
    document = {"version": VERSION, "sessions": [asdict(record) for record in records]}
    return json.dumps(document, default=_revealed, indent=1).encode()


def decode(text: bytes) -> list[Record]:
    """What `encode` was given; raises DamagedError or NewerVersionError, neither of which quotes the text."""
    try:
        if _VERSIONED.validate_json(text)["version"] > VERSION:
            raise NewerVersionError
        return _DOCUMENT.validate_json(text)["sessions"]
    except ValidationError:
        raise DamagedError from None


def _revealed(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    raise TypeError(type(value).__name__)
