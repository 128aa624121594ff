"""The embedded user pool: all that it knows, and what its operations have in common. Knows no HTTP.

The clock (wall seconds) and the source of randomness are arguments.
"""

import hmac
from collections.abc import Callable, Iterable
from typing import Any

from proxy.demo.accounts import Accounts, User
from proxy.demo.challenges import Challenges
from proxy.demo.codes import Codes
from proxy.demo.devices import Devices
from proxy.demo.grants import Grants, SignIn
from proxy.demo.protocol import Answer, PoolConfig, not_authorized
from proxy.demo.signer import Signer, TokenRefused
from proxy.demo.tokens import access_claims, id_claims, new_uuid

_SALT_BYTES = 16


class UserPool:
    """A user pool with one app client. `config` may be replaced while it serves, and its `accounts` changed."""

    def __init__(
        self,
        config: PoolConfig,
        users: Iterable[User],
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        signer: Signer,
    ) -> None:
        self.config = config
        self.accounts = Accounts(users)
        self.signer = signer
        self.grants = Grants(random)
        self.challenges = Challenges(random)
        self.devices = Devices(random)
        self.codes = Codes(random)
        self.now = clock
        self.random = random
        self.secret = random(32)
        """What is drawn once a pool, and never told."""

    def verify(self, token: str, *, use: str = "id") -> dict[str, Any]:
        """The claims of an ID or access token of this pool and client, unended; raises TokenRefused."""
        claims = self.signer.verify(token, self.now())
        if claims.get("token_use") != use:
            raise TokenRefused(f"token_use is not {use!r}")
        if claims.get("iss") != self.config.iss:
            raise TokenRefused("the token's issuer is another user pool")
        if claims.get("aud" if use == "id" else "client_id") != self.config.client_id:
            raise TokenRefused("the token is for another app client")
        return claims

    def bearer(self, access_token: str) -> User:
        """Whom an access token names; refuses one that is not to be believed or was revoked."""
        try:
            claims = self.verify(access_token, use="access")
        except TokenRefused:
            raise not_authorized("Invalid Access Token") from None
        user = self.accounts.find(claims["sub"])
        if user is None or self.grants.is_revoked(claims["origin_jti"]):
            raise not_authorized("Access Token has been revoked")
        return user

    def tokens(self, sign_in: SignIn) -> Answer:
        """New ID and access tokens, as an AuthenticationResult without a refresh token."""
        issued = int(self.now())
        return {
            "AccessToken": self.signer.sign(access_claims(sign_in, self.config, issued, self.random)),
            "ExpiresIn": self.config.access_lifetime,
            "IdToken": self.signer.sign(id_claims(sign_in, self.config, issued, self.random)),
            "TokenType": "Bearer",
        }

    def salt(self, name: str) -> int:
        """A user's salt. It is drawn once a pool and the same on every call, for users who do not exist too."""
        return int.from_bytes(hmac.digest(self.secret, name.encode(), "sha256")[:_SALT_BYTES], "big")

    def new_uuid(self) -> str:
        return new_uuid(self.random)
