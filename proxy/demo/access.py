"""Who is let in to the embedded API: one check for each surface, as the real service divides them."""

import hmac
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from proxy.demo.accounts import COMPANY_ID, TEAM_ID
from proxy.demo.signer import TokenExpired

Claims: TypeAlias = Mapping[str, Any]
Verify: TypeAlias = Callable[[str], dict[str, Any]]
"""An ID token's claims; raises ValueError where it is not to be believed, TokenExpired where it has ended."""

TOKEN_HEADER = "X-Amz-Cognito-Security-Token"
KEY_HEADER = "x-api-key"

_OWNER: Claims = {"custom:companyId": COMPANY_ID, "custom:teamId": TEAM_ID}
"""Whose data an API key or personal access token opens."""


class AccessRefused(Exception):
    """A request without the right credential. `message` names the header that is missing or wrong."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason


class Access:
    """The credentials that are accepted. All of it may be changed while the API serves.

    `revoked` holds the `jti` of ID tokens, and `refuse` judges claims, that are to be refused although they verify.
    """

    def __init__(self, verify: Verify, *, api_key: str, personal_access_token: str | None) -> None:
        self.verify = verify
        self.api_key = api_key
        self.personal_access_token = personal_access_token
        self.revoked: set[str] = set()
        self.refuse: Callable[[Claims], bool] = lambda _claims: False

    def check(self, path: str, headers: Mapping[str, str]) -> Claims:
        """Whose request this is; raises AccessRefused. Files on the CDNs are open to everybody."""
        if path == "/graphql":
            return self._graphql(headers)
        if path.startswith("/v1/analytics/"):
            return self._analytics(headers)
        if path.startswith("/v1/"):
            return self._rest(headers)
        return {}

    def _graphql(self, headers: Mapping[str, str]) -> Claims:
        if self._has_personal_token(headers):
            return _OWNER
        value = headers.get("authorization")
        if not value:
            raise AccessRefused(401, "You are not authorized to make this call: the header authorization is missing.")
        if " " in value:
            raise AccessRefused(
                401,
                "You are not authorized to make this call: authorization must hold the ID token and no scheme word.",
            )
        return self._claims(value, "authorization", expired=401)

    def _rest(self, headers: Mapping[str, str]) -> Claims:
        if self._has_personal_token(headers):
            return _OWNER
        value = headers.get(TOKEN_HEADER)
        if not value:
            raise AccessRefused(401, "Unauthorized", f"the header {TOKEN_HEADER} is missing")
        return self._claims(value, TOKEN_HEADER, expired=403)

    def _analytics(self, headers: Mapping[str, str]) -> Claims:
        key = headers.get(KEY_HEADER)
        if key is None:
            if TOKEN_HEADER in headers or self._has_personal_token(headers):
                return self._rest(headers)
            raise AccessRefused(401, "Unauthorized", f"the header {KEY_HEADER} is missing")
        if not _same(key, self.api_key):
            raise AccessRefused(403, "Forbidden", f"the key in the header {KEY_HEADER} is wrong")
        return _OWNER

    def _claims(self, token: str, header: str, *, expired: int) -> Claims:
        try:
            claims = self.verify(token)
        except TokenExpired:
            message = "The incoming token has expired"
            raise AccessRefused(expired, message, f"the token in the header {header} has ended") from None
        except ValueError as error:
            raise AccessRefused(401, "Unauthorized", f"the header {header} is wrong: {error}") from None
        if claims.get("jti") in self.revoked or self.refuse(claims):
            raise AccessRefused(401, "Unauthorized", f"the token in the header {header} has been revoked")
        return claims

    def _has_personal_token(self, headers: Mapping[str, str]) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or self.personal_access_token is None:
            return False
        if not _same(token, self.personal_access_token):
            raise AccessRefused(401, "Unauthorized", "the personal access token in the header authorization is wrong")
        return True


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
