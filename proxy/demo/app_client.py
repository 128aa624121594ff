"""The app client: who may call, and the proof that they know its secret.

AWS: "Computing secret hash values" (Amazon Cognito Developer Guide).
"""

import base64
import hmac
from collections.abc import Iterable

from proxy.demo.accounts import User
from proxy.demo.protocol import Params, PoolConfig, Refusal, not_authorized, text


def check_client(config: PoolConfig, params: Params) -> None:
    """Refuse a call of a client that the pool does not have."""
    client = text(params, "ClientId")
    if client != config.client_id:
        raise Refusal("ResourceNotFoundException", f"User pool client {client} does not exist.")


def check_secret(config: PoolConfig, params: Params, refusal: str = "NotAuthorizedException") -> None:
    """Refuse a call whose ClientSecret is wrong or missing, or that has one where the client has none."""
    given = params.get("ClientSecret")
    if config.client_secret is None:
        if given:
            raise Refusal(refusal, f"Client {config.client_id} has no secret but a secret was received")
    elif not isinstance(given, str) or not given:
        raise Refusal(refusal, f"Client {config.client_id} is configured with secret but secret was not received")
    elif not hmac.compare_digest(given.encode(), config.client_secret.encode()):
        raise Refusal(refusal, f"Client secret does not match for the client: {config.client_id}")


def check_hash(config: PoolConfig, given: object, *names: str) -> None:
    """Refuse a SECRET_HASH that is not that of one of the user `names`."""
    client = config.client_id
    if config.client_secret is None:
        if given:
            raise not_authorized(f"Client {client} has no secret but SECRET_HASH was received")
        return
    if not isinstance(given, str) or not given:
        raise not_authorized(f"Client {client} is configured with secret but SECRET_HASH was not received")
    if not _matches(config.client_secret, client, given, names):
        raise not_authorized(f"SecretHash does not match for the client: {client}")


def names_of(user: User) -> tuple[str, str]:
    """The names whose hash renewals may carry."""
    return user.username, user.sub


def _matches(secret: str, client: str, given: str, names: Iterable[str]) -> bool:
    hashes = (hmac.digest(secret.encode(), (name + client).encode(), "sha256") for name in names)
    return any(hmac.compare_digest(base64.b64encode(made), given.encode()) for made in hashes)
