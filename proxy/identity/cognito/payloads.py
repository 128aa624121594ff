"""The parameters of Cognito's operations, as functions of what is known. All pure.

AWS: "Computing secret hash values" (Amazon Cognito Developer Guide), InitiateAuth, RespondToAuthChallenge,
GetTokensFromRefreshToken (Amazon Cognito user pools API reference).
"""

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from proxy.identity.cognito import srp
from proxy.identity.cognito.results import SrpChallenge
from proxy.identity.issued import Device, Session
from proxy.identity.profile import CognitoPool

Parameters = dict[str, Any]


def secret_hash(client_secret: SecretStr, username: str, client_id: str) -> str:
    """SECRET_HASH: the proof, in base64, that a caller knows the app client's secret."""
    key = client_secret.get_secret_value().encode()
    return base64.b64encode(hmac.digest(key, (username + client_id).encode(), "sha256")).decode()


def initiate_auth(
    pool: CognitoPool, flow: str, parameters: Mapping[str, str], username: str, device: Device | None
) -> Parameters:
    """InitiateAuth. `username` is what a person typed, or for a renewal what Cognito keeps."""
    return {
        "ClientId": pool.client_id,
        "AuthFlow": flow,
        "AuthParameters": {**parameters, **_hash(pool, "SECRET_HASH", username), **_device(device)},
    }


def respond(
    pool: CognitoPool,
    challenge: str,
    responses: Mapping[str, str],
    *,
    username: str,
    session: str | None,
    device: Device | None,
) -> Parameters:
    """RespondToAuthChallenge. `username` is the one that Cognito keeps."""
    return {
        "ClientId": pool.client_id,
        "ChallengeName": challenge,
        "ChallengeResponses": {
            "USERNAME": username,
            **responses,
            **_hash(pool, "SECRET_HASH", username),
            **_device(device),
        },
        **({"Session": session} if session else {}),
    }


def proof(
    exchange: srp.SrpExchange, given: SrpChallenge, password: SecretStr, *, pool: str, user: str, now: datetime
) -> dict[str, str]:
    """The responses to PASSWORD_VERIFIER, or for a device to DEVICE_PASSWORD_VERIFIER; raises SrpError."""
    key = exchange.key(pool, user, password, given.srp_b, given.salt)
    stamp = srp.timestamp(now)
    return {
        "PASSWORD_CLAIM_SECRET_BLOCK": given.secret_block,
        "PASSWORD_CLAIM_SIGNATURE": srp.claim(key, pool, user, srp.secret_block(given.secret_block), stamp),
        "TIMESTAMP": stamp,
    }


def for_account(pool: CognitoPool, username: str, parameters: Mapping[str, str]) -> Parameters:
    """ForgotPassword, ConfirmForgotPassword, ConfirmSignUp and ResendConfirmationCode."""
    return {"ClientId": pool.client_id, "Username": username, **parameters, **_hash(pool, "SecretHash", username)}


def tokens_from_refresh_token(pool: CognitoPool, session: Session, refresh_token: SecretStr) -> Parameters:
    """GetTokensFromRefreshToken."""
    return {
        "ClientId": pool.client_id,
        "RefreshToken": refresh_token.get_secret_value(),
        **({"DeviceKey": session.device.key} if session.device else {}),
        **_secret(pool),
    }


def refresh_token_auth(pool: CognitoPool, session: Session, refresh_token: SecretStr) -> Parameters:
    """InitiateAuth with REFRESH_TOKEN_AUTH, for endpoints that know no other renewal."""
    parameters = {"REFRESH_TOKEN": refresh_token.get_secret_value()}
    return initiate_auth(pool, "REFRESH_TOKEN_AUTH", parameters, session.username or "", session.device)


def revoke_token(pool: CognitoPool, refresh_token: SecretStr) -> Parameters:
    """RevokeToken."""
    return {"ClientId": pool.client_id, "Token": refresh_token.get_secret_value(), **_secret(pool)}


def confirm_device(access_token: SecretStr, device: Device, random: bytes) -> Parameters:
    """ConfirmDevice; `random` are `srp.DEVICE_SALT_BYTES`."""
    verifier = srp.device_verifier(device.group_key, device.key, device.password, random)
    return {
        "AccessToken": access_token.get_secret_value(),
        "DeviceKey": device.key,
        "DeviceName": "ul-proxy",
        "DeviceSecretVerifierConfig": {"PasswordVerifier": verifier.password_verifier, "Salt": verifier.salt},
    }


def remember_device(access_token: SecretStr, device: Device) -> Parameters:
    """UpdateDeviceStatus, for a device that the user wants remembered."""
    return {
        "AccessToken": access_token.get_secret_value(),
        "DeviceKey": device.key,
        "DeviceRememberedStatus": "remembered",
    }


def _hash(pool: CognitoPool, name: str, username: str) -> dict[str, str]:
    if pool.client_secret is None:
        return {}
    return {name: secret_hash(pool.client_secret, username, pool.client_id)}


def _secret(pool: CognitoPool) -> dict[str, str]:
    return {"ClientSecret": pool.client_secret.get_secret_value()} if pool.client_secret is not None else {}


def _device(device: Device | None) -> dict[str, str]:
    return {"DEVICE_KEY": device.key} if device is not None else {}
