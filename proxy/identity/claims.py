"""What a Cognito token says, and whether to believe it. The only importer of python-jose.

AWS: "Verifying JSON web tokens" (Amazon Cognito Developer Guide). The times in a token are not compared with the local
clock: a token that has just arrived is new whatever that clock says, and `lifetime.py` counts from there.
"""

from collections.abc import Mapping
from typing import Any

from jose import jws, jwt
from jose.exceptions import JOSEError

from proxy.identity.profile import CognitoPool

ALGORITHM = "RS256"
_END_OF_TIME = 1e12
"""Far beyond any token's time, in seconds since 1970."""


class ClaimsError(ValueError):
    """A token that must not be used; the text says why and holds nothing of the token."""


class UnknownKey(ClaimsError):
    """The key set has no such key: it may have been rotated since it was fetched."""


def verify(token: str, jwks: Mapping[str, Any] | None, *, pool: CognitoPool, token_use: str) -> dict[str, Any]:
    """The claims of `token` ("id" or "access" by `token_use`), checked against `pool` and its key set.

    With `jwks` None the signature is left unchecked: the caller could not fetch the keys and says so.
    Raises UnknownKey where the key set lacks the token's key, ClaimsError for everything else that is wrong.
    """
    try:
        header = jws.get_unverified_header(token)
        claims = jwt.get_unverified_claims(token) if jwks is None else _signed_claims(token, header, jwks)
    except UnknownKey:
        raise
    except (JOSEError, ValueError) as error:
        raise ClaimsError(f"the {token_use} token's signature or form is wrong ({type(error).__name__})") from None
    if header.get("alg") != ALGORITHM:
        raise ClaimsError(f"the {token_use} token is not signed with {ALGORITHM}")
    _check(claims, pool, token_use)
    return claims


def _signed_claims(token: str, header: Mapping[str, Any], jwks: Mapping[str, Any]) -> dict[str, Any]:
    keys = [key for key in jwks.get("keys", ()) if isinstance(key, Mapping) and key.get("kid") == header.get("kid")]
    if not keys:
        raise UnknownKey("the token is signed with a key that the pool does not publish")
    unchecked = ("aud", "iat", "exp", "nbf", "iss", "sub", "jti", "at_hash")
    options = {f"verify_{name}": False for name in unchecked}
    return jwt.decode(token, keys[0], algorithms=[ALGORITHM], options=options)


def _check(claims: Mapping[str, Any], pool: CognitoPool, token_use: str) -> None:
    if claims.get("token_use") != token_use:
        raise ClaimsError(f"token_use is not {token_use!r}")
    # An ID token names its audience, an access token the client that it was issued to.
    audience = claims.get("aud") if token_use == "id" else claims.get("client_id")
    if audience != pool.client_id:
        raise ClaimsError(f"the {token_use} token is for another app client")
    if claims.get("iss") not in pool.issuers:
        raise ClaimsError(f"the {token_use} token's issuer is not this user pool")
    lifetime(claims)


def lifetime(claims: Mapping[str, Any]) -> float:
    """`exp - iat` in seconds; raises ClaimsError where that is no positive number."""
    issued, expires = _time(claims.get("iat")), _time(claims.get("exp"))
    if expires <= issued:
        raise ClaimsError("exp does not come after iat")
    return expires - issued


def _time(value: object) -> float:
    # A truth value is an int to Python, infinity a float, and some ints fit into no float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _END_OF_TIME:
        raise ClaimsError("exp or iat is no time")
    return float(value)
