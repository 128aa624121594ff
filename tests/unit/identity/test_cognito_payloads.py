"""The parameters of Cognito's operations, and what is read from its answers."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import SecretStr

from proxy.errors import SignInFailed
from proxy.identity.cognito import payloads, results
from proxy.identity.cognito.endpoints import Endpoint, identity_pool, user_pool
from proxy.identity.cognito.results import Challenge
from proxy.identity.issued import Device, Session
from proxy.identity.profile import CognitoPool

SECRET = SecretStr("1a2b3c4d5e6f7g8h9i0jklmnopqrstuv")
PLAIN = CognitoPool("eu-west-1", "eu-west-1_abc", "client")
SECRETIVE = CognitoPool("eu-west-1", "eu-west-1_abc", "client", client_secret=SECRET)
DEVICE = Device("eu-west-1_0", "-group", SecretStr("its own"))
TOKEN = SecretStr("refresh")


@pytest.mark.parametrize(
    ("username", "client", "secret", "expected"),
    [
        (
            "ada",
            "7jhe1lfkb5pvhbkicc3d14m0ej",
            "1a2b3c4d5e6f7g8h9i0jklmnopqrstuv",
            "lT1Bjwlj9m/eehbGSrRKS6fzpAWHAf24WiuiodCayJQ=",
        ),
        ("7e57d004-2b97-4e7a-8f2d-5c1b9a0e3d46", "client", "s", "4+W9RXAUWx4LNMnL1LcZvBh/hqpUnsxvRM8WaeiMZTQ="),
        ("jürgen.žižek@example.com", "client", "pässword", "iqBaY/FgLek/v4Oojc/6zFH7ql6FnJAr30iNqC58gbk="),
    ],
)
def test_secret_hash(username: str, client: str, secret: str, expected: str) -> None:
    """The hash is what pycognito 2024.5 makes of the same name, client and secret."""
    assert payloads.secret_hash(SecretStr(secret), username, client) == expected


ADA = payloads.secret_hash(SECRET, "ada", "client")


@pytest.mark.parametrize(
    ("pool", "device", "more"),
    [
        (PLAIN, None, {}),
        (PLAIN, DEVICE, {"DEVICE_KEY": "eu-west-1_0"}),
        (SECRETIVE, None, {"SECRET_HASH": ADA}),
        (SECRETIVE, DEVICE, {"SECRET_HASH": ADA, "DEVICE_KEY": "eu-west-1_0"}),
    ],
    ids=["plain", "device", "secret", "both"],
)
def test_sign_in(pool: CognitoPool, device: Device | None, more: dict[str, str]) -> None:
    """The beginning and every answer name the device and prove the secret, where there are such."""
    begun = payloads.initiate_auth(pool, "USER_PASSWORD_AUTH", {"USERNAME": "ada", "PASSWORD": "p"}, "ada", device)
    assert begun["AuthParameters"] == {"USERNAME": "ada", "PASSWORD": "p", **more}
    answer = payloads.respond(pool, "SMS_MFA", {"SMS_MFA_CODE": "1"}, username="ada", session="s", device=device)
    assert answer == {
        "ClientId": "client",
        "ChallengeName": "SMS_MFA",
        "ChallengeResponses": {"USERNAME": "ada", "SMS_MFA_CODE": "1", **more},
        "Session": "s",
    }
    assert "Session" not in payloads.respond(pool, "X", {}, username="ada", session=None, device=None)


def test_renewals() -> None:
    """The newer renewal carries the secret, the older one its hash; both the device's key."""
    session = Session(TOKEN, "ada", DEVICE)
    assert payloads.tokens_from_refresh_token(PLAIN, Session(TOKEN), TOKEN) == {
        "ClientId": "client",
        "RefreshToken": "refresh",
    }
    assert payloads.tokens_from_refresh_token(SECRETIVE, session, TOKEN) == {
        "ClientId": "client",
        "RefreshToken": "refresh",
        "DeviceKey": "eu-west-1_0",
        "ClientSecret": SECRET.get_secret_value(),
    }
    assert payloads.refresh_token_auth(SECRETIVE, session, TOKEN)["AuthParameters"] == {
        "REFRESH_TOKEN": "refresh",
        "SECRET_HASH": ADA,
        "DEVICE_KEY": "eu-west-1_0",
    }
    assert payloads.refresh_token_auth(PLAIN, Session(TOKEN), TOKEN)["AuthParameters"] == {"REFRESH_TOKEN": "refresh"}


def test_others() -> None:
    """RevokeToken carries the secret, operations on an account its hash, ConfirmDevice nothing of the password."""
    assert payloads.revoke_token(PLAIN, TOKEN) == {"ClientId": "client", "Token": "refresh"}
    assert payloads.revoke_token(SECRETIVE, TOKEN)["ClientSecret"] == SECRET.get_secret_value()
    account = payloads.for_account(SECRETIVE, "ada", {"ConfirmationCode": "1"})
    assert account == {"ClientId": "client", "Username": "ada", "ConfirmationCode": "1", "SecretHash": ADA}
    confirm = payloads.confirm_device(SecretStr("access"), DEVICE, bytes(range(16)))
    assert (confirm["AccessToken"], confirm["DeviceKey"]) == ("access", "eu-west-1_0")
    assert base64.b64decode(confirm["DeviceSecretVerifierConfig"]["Salt"]) == bytes(range(1, 16))
    assert "its own" not in str(confirm)
    assert payloads.remember_device(SecretStr("access"), DEVICE) == {
        "AccessToken": "access",
        "DeviceKey": "eu-west-1_0",
        "DeviceRememberedStatus": "remembered",
    }


@pytest.mark.parametrize(
    ("endpoint", "service", "url", "address"),
    [
        (user_pool(PLAIN), "cognito-idp", None, "https://cognito-idp.eu-west-1.amazonaws.com"),
        (
            identity_pool(PLAIN, "ap-southeast-2:1"),
            "cognito-identity",
            None,
            "https://cognito-identity.ap-southeast-2.amazonaws.com",
        ),
        (
            identity_pool(CognitoPool("eu-west-1", "p", "c", endpoint_url="http://e"), "eu-west-1:1"),
            "cognito-identity",
            "http://e",
            "http://e",
        ),
        (
            identity_pool(CognitoPool("r", "p", "c", endpoint_url="http://e", identity_endpoint_url="http://i"), "r:1"),
            "cognito-identity",
            "http://i",
            "http://i",
        ),
    ],
)
def test_endpoints(endpoint: Endpoint, service: str, url: str | None, address: str) -> None:
    """A service is in its pool's region, or wherever an emulator is, which has both."""
    assert (endpoint.service, endpoint.url, endpoint.address) == (service, url, address)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('["SMS_MFA", "SOFTWARE_TOKEN_MFA"]', ("SMS_MFA", "SOFTWARE_TOKEN_MFA")),
        ("[]", ()),
        ("", ()),
        (None, ()),
        (7, ()),
        ("nonsense", ()),
        ('{"a": 1}', ()),
        ('["a", 1, null]', ("a",)),
        ("[" * 100_000, ()),
    ],
    ids=lambda value: str(value)[:20],
)
def test_lists_in_text(text: Any, names: tuple[str, ...]) -> None:
    """A list that stands in a parameter as JSON is read, and nonsense is an empty one."""
    assert Challenge("X", {"MFAS_CAN_CHOOSE": text}, None, None).names("MFAS_CAN_CHOOSE") == names


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Credentials": 7},
        {"Credentials": {"AccessKeyId": "a", "SecretKey": "b", "SessionToken": "c"}},
        {"Credentials": {"AccessKeyId": "a", "SecretKey": "b", "SessionToken": "c", "Expiration": "soon"}},
        {"Credentials": {"AccessKeyId": "a", "SecretKey": 7, "SessionToken": "c", "Expiration": datetime.now(UTC)}},
    ],
)
def test_credentials_that_are_none(answer: dict[str, Any]) -> None:
    """Credentials that lack something are no credentials."""
    with pytest.raises(SignInFailed):
        results.credentials(answer)


def test_credentials_end_in_utc() -> None:
    """Whatever zone the SDK gives a time in, it is kept in UTC."""
    given = {"AccessKeyId": "a", "SecretKey": "b", "SessionToken": "c"}
    ends = datetime(2027, 1, 1, 10, tzinfo=timezone(timedelta(hours=10)))
    assert results.credentials({"Credentials": {**given, "Expiration": ends}}).expiration == datetime(
        2027, 1, 1, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("answer", "medium", "destination"),
    [
        ({"CodeDeliveryDetails": {"DeliveryMedium": "SMS", "Destination": "+***1"}}, "SMS", "+***1"),
        ({"CodeDeliveryDetails": {"DeliveryMedium": "EMAIL"}}, "EMAIL", None),
        ({"CodeDeliveryDetails": None}, "", None),
        ({}, "", None),
    ],
)
def test_delivery(answer: dict[str, Any], medium: str, destination: str | None) -> None:
    """A pool need not tell where it sent a code."""
    assert results.delivery(answer) == (medium, destination)
