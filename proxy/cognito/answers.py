"""What Cognito's answers hold, taken out with care: whoever answers may not be Cognito."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from proxy import srp
from proxy.errors import SignInFailed


class SrpChallenge(NamedTuple):
    """The parameters of PASSWORD_VERIFIER."""

    user_id: str
    """USER_ID_FOR_SRP: the real user name, whatever alias was given."""
    username: str
    srp_b: str
    salt: str
    secret_block: str
    session: str | None


class Tokens(NamedTuple):
    """An AuthenticationResult."""

    id_token: str
    access_token: str
    refresh_token: str | None


def challenge_name(answer: Mapping[str, Any]) -> str | None:
    """The challenge that an answer poses, None where it poses none."""
    name = answer.get("ChallengeName")
    return str(name) if name else None


def srp_challenge(answer: Mapping[str, Any]) -> SrpChallenge:
    """Raises SignInFailed where a parameter is missing."""
    given = _mapping(answer, "ChallengeParameters")
    user_id = _text(given, "USER_ID_FOR_SRP")
    return SrpChallenge(
        user_id=user_id,
        username=_text(given, "USERNAME") if "USERNAME" in given else user_id,
        srp_b=_text(given, "SRP_B"),
        salt=_text(given, "SALT"),
        secret_block=_text(given, "SECRET_BLOCK"),
        session=_text(answer, "Session") if answer.get("Session") else None,
    )


def tokens(answer: Mapping[str, Any]) -> Tokens:
    """Raises SignInFailed where a token is missing."""
    result = _mapping(answer, "AuthenticationResult")
    return Tokens(
        id_token=_text(result, "IdToken"),
        access_token=_text(result, "AccessToken"),
        refresh_token=_text(result, "RefreshToken") if result.get("RefreshToken") else None,
    )


def server_time(answer: Mapping[str, Any]) -> datetime | None:
    """The `Date` of an answer: a time that is signed is then right even where the local clock is wrong."""
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None


def unusable(error: srp.SrpError) -> SignInFailed:
    return SignInFailed(f"Cognito's part of the SRP exchange is unusable: {error}")


def _mapping(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = answer.get(name)
    if not isinstance(value, Mapping):
        raise SignInFailed(f"Cognito's answer lacks {name}")
    return value


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise SignInFailed(f"Cognito's answer lacks {name}")
    return value
