"""The embedded identity pool: AWS credentials for whoever shows an ID token of the user pool.

AWS: GetId, GetCredentialsForIdentity (Amazon Cognito identity pools API reference).
"""

import base64
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from proxy.demo.pool import UserPool
from proxy.demo.protocol import Answer, Params, Refusal, not_authorized, text
from proxy.demo.signer import TokenExpired, TokenRefused


def call(pool: UserPool, operation: str, params: Params) -> Answer:
    """Carry out `operation`; raises Refusal."""
    handler = _OPERATIONS.get(operation)
    if handler is None:
        raise Refusal("UnknownOperationException", f"Unknown operation {operation}")
    return handler(pool, params)


def _get_id(pool: UserPool, params: Params) -> Answer:
    identity_pool_id = text(params, "IdentityPoolId")
    if identity_pool_id != pool.config.identity_pool_id:
        raise Refusal("ResourceNotFoundException", f"IdentityPool '{identity_pool_id}' not found.")
    return {"IdentityId": _identity(pool, _claims(pool, params))}


def _get_credentials(pool: UserPool, params: Params) -> Answer:
    identity_id = text(params, "IdentityId")
    if identity_id != _identity(pool, _claims(pool, params)):
        raise not_authorized(f"Access to Identity '{identity_id}' is forbidden.")
    return {
        "IdentityId": identity_id,
        "Credentials": {
            "AccessKeyId": "ASIA" + base64.b32encode(pool.random(10)).decode(),
            "SecretKey": base64.b64encode(pool.random(30)).decode(),
            "SessionToken": base64.b64encode(pool.random(600)).decode(),
            "Expiration": int(pool.now()) + pool.config.credentials_lifetime,
        },
    }


def _claims(pool: UserPool, params: Params) -> dict[str, Any]:
    """Who calls, by the ID token under the user pool's name."""
    logins = params.get("Logins")
    if not isinstance(logins, Mapping) or not logins:
        raise not_authorized("Unauthenticated access is not supported for this identity pool.")
    if pool.config.provider not in logins:
        raise not_authorized("Token is not from a supported provider of this identity pool.")
    try:
        return pool.verify(text(logins, pool.config.provider))
    except TokenExpired:
        raise not_authorized("Invalid login token. Token expired.") from None
    except TokenRefused as refused:
        raise not_authorized(f"Invalid login token. {refused}") from None


def _identity(pool: UserPool, claims: Mapping[str, Any]) -> str:
    """A user's identity: the one that the token names, else one that stays the same."""
    region = pool.config.identity_pool_id.partition(":")[0]
    known = claims.get("custom:identityId")
    return str(known) if known else f"{region}:{uuid.uuid5(uuid.NAMESPACE_URL, claims['sub'])}"


_OPERATIONS: Mapping[str, Callable[[UserPool, Params], Answer]] = {
    "GetId": _get_id,
    "GetCredentialsForIdentity": _get_credentials,
}
