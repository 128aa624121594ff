"""What the ID and access tokens of one sign-in say (Amazon Cognito Developer Guide, "Understanding user pool JWTs")."""

import uuid
from collections.abc import Callable
from typing import Any

from proxy.demo.grants import SignIn
from proxy.demo.protocol import PoolConfig


def id_claims(sign_in: SignIn, config: PoolConfig, issued: int, random: Callable[[int], bytes]) -> dict[str, Any]:
    """The claims of an ID token that is issued at `issued`."""
    user = sign_in.user
    return {
        **_common(sign_in, config, issued, random),
        "aud": config.client_id,
        "token_use": "id",
        "exp": issued + config.id_lifetime,
        "cognito:username": user.username,
        "email": user.email,
        "email_verified": user.email_verified,
        **user.attributes,
    }


def access_claims(sign_in: SignIn, config: PoolConfig, issued: int, random: Callable[[int], bytes]) -> dict[str, Any]:
    """The claims of an access token that is issued at `issued`."""
    return {
        **_common(sign_in, config, issued, random),
        "client_id": config.client_id,
        "token_use": "access",
        "exp": issued + config.access_lifetime,
        "scope": "aws.cognito.signin.user.admin",
        "username": sign_in.user.username,
        **({"device_key": sign_in.device.key} if sign_in.device is not None else {}),
    }


def new_uuid(random: Callable[[int], bytes]) -> str:
    """A random UUID from the given source."""
    return str(uuid.UUID(bytes=random(16), version=4))


def _common(sign_in: SignIn, config: PoolConfig, issued: int, random: Callable[[int], bytes]) -> dict[str, Any]:
    return {
        "sub": sign_in.user.sub,
        "iss": config.iss,
        "origin_jti": sign_in.origin_jti,
        "event_id": new_uuid(random),
        "auth_time": sign_in.auth_time,
        "iat": issued,
        "jti": new_uuid(random),
    }
