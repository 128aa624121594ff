"""What Cognito's answers hold, taken out with care: whoever answers may not be Cognito."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from proxy.errors import SignInFailed
from proxy.identity.cognito import srp

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that Cognito poses."""

    name: str
    parameters: Mapping[str, Any]
    session: str | None
    server_time: datetime | None

    def text(self, name: str) -> str | None:
        """A parameter, None where it is missing or empty."""
        value = self.parameters.get(name)
        return value if isinstance(value, str) and value else None

    def names(self, name: str) -> tuple[str, ...]:
        """A parameter that is a JSON list of names, itself as text; empty where it is missing or something else."""
        try:
            names = json.loads(self.text(name) or "[]")
        except (ValueError, RecursionError):
            return ()
        return tuple(n for n in names if isinstance(n, str)) if isinstance(names, list) else ()


class SrpChallenge(NamedTuple):
    """The server's part of an SRP exchange."""

    srp_b: str
    salt: str
    secret_block: str


class Tokens(NamedTuple):
    """An AuthenticationResult."""

    id_token: str
    access_token: str
    refresh_token: str | None


class NewDevice(NamedTuple):
    """NewDeviceMetadata."""

    key: str
    group_key: str


class Delivery(NamedTuple):
    """CodeDeliveryDetails: where a code went."""

    medium: str
    destination: str | None


class IssuedCredentials(NamedTuple):
    """The Credentials of GetCredentialsForIdentity."""

    access_key_id: str
    secret_key: str
    session_token: str
    expiration: datetime


def challenge(answer: Answer) -> Challenge | None:
    """The challenge that an answer poses, None where it poses none."""
    name = answer.get("ChallengeName")
    if not name:
        return None
    parameters = answer.get("ChallengeParameters")
    return Challenge(
        name=str(name),
        parameters=parameters if isinstance(parameters, Mapping) else {},
        session=session(answer),
        server_time=server_time(answer),
    )


def session(answer: Answer) -> str | None:
    """The session under which Cognito remembers the sign-in; raises SignInFailed where it is no text."""
    return text(answer, "Session") if answer.get("Session") else None


def srp_challenge(posed: Challenge) -> SrpChallenge:
    """Raises SignInFailed where a parameter is missing."""
    return SrpChallenge(*(text(posed.parameters, name) for name in ("SRP_B", "SALT", "SECRET_BLOCK")))


def tokens(answer: Answer) -> Tokens:
    """Raises SignInFailed where a token is missing."""
    result = _mapping(answer, "AuthenticationResult")
    return Tokens(
        id_token=text(result, "IdToken"),
        access_token=text(result, "AccessToken"),
        refresh_token=text(result, "RefreshToken") if result.get("RefreshToken") else None,
    )


def new_device(answer: Answer) -> NewDevice | None:
    """The keys of the device that a user pool wants to remember, None where it wants to remember none."""
    result = _mapping(answer, "AuthenticationResult")
    if not result.get("NewDeviceMetadata"):
        return None
    given = _mapping(result, "NewDeviceMetadata")
    return NewDevice(text(given, "DeviceKey"), text(given, "DeviceGroupKey"))


def delivery(answer: Answer) -> Delivery:
    """Where a code was sent. A user pool need not tell."""
    details = answer.get("CodeDeliveryDetails")
    if not isinstance(details, Mapping):
        return Delivery("", None)
    destination = details.get("Destination")
    return Delivery(str(details.get("DeliveryMedium") or ""), str(destination) if destination else None)


def identity_id(answer: Answer) -> str:
    """Raises SignInFailed where it is missing."""
    return text(answer, "IdentityId")


def credentials(answer: Answer) -> IssuedCredentials:
    """Raises SignInFailed where something is missing."""
    given = _mapping(answer, "Credentials")
    expiration = given.get("Expiration")
    if not isinstance(expiration, datetime):
        raise SignInFailed("Cognito's answer lacks Expiration")
    return IssuedCredentials(
        access_key_id=text(given, "AccessKeyId"),
        secret_key=text(given, "SecretKey"),
        session_token=text(given, "SessionToken"),
        expiration=expiration.astimezone(UTC),
    )


def server_time(answer: Answer) -> datetime | None:
    """The `Date` of an answer: a time that is signed is then right even where the local clock is wrong."""
    stamp = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(stamp) if stamp else None
    except ValueError:
        return None


def unusable(error: srp.SrpError) -> SignInFailed:
    return SignInFailed(f"Cognito's part of the SRP exchange is unusable: {error}")


def text(given: Mapping[str, Any], name: str) -> str:
    """What `given` holds under `name`; raises SignInFailed where that is no text."""
    value = given.get(name)
    if not isinstance(value, str):
        raise SignInFailed(f"Cognito's answer lacks {name}")
    return value


def _mapping(answer: Answer, name: str) -> Mapping[str, Any]:
    value = answer.get(name)
    if not isinstance(value, Mapping):
        raise SignInFailed(f"Cognito's answer lacks {name}")
    return value
