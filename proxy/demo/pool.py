"""The embedded user pool: Cognito's operations as functions from parameters to an answer. Knows no HTTP.

The clock (wall seconds) and the source of randomness are arguments.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import SecretStr

from proxy.demo.accounts import Accounts, User, check_standing
from proxy.demo.challenges import Challenges, Pending
from proxy.demo.grants import Grants, SignIn
from proxy.demo.protocol import Answer, Params, PoolConfig, Refusal, invalid_parameter, not_authorized, table, text
from proxy.demo.signer import Signer, TokenRefused
from proxy.demo.srp_server import ServerExchange, check_timestamp, parse_public, verifier
from proxy.demo.tokens import access_claims, id_claims, new_uuid
from proxy.srp import PRIVATE_BYTES

_SALT_BYTES = 16
_SECRET_BLOCK_BYTES = 96


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
        self._clock = clock
        self._random = random
        self._secret = random(32)
        self._challenges = Challenges(random)

    def call(self, operation: str, params: Params) -> Answer:
        """Carry out `operation`; raises Refusal."""
        handler = _OPERATIONS.get(operation)
        if handler is None:
            raise Refusal("UnknownOperationException", f"Unknown operation {operation}")
        return handler(self, params)

    def verify(self, token: str, *, use: str = "id") -> dict[str, Any]:
        """The claims of an ID or access token of this pool and client, unended; raises TokenRefused."""
        claims = self.signer.verify(token, self._clock())
        if claims.get("token_use") != use:
            raise TokenRefused(f"token_use is not {use!r}")
        if claims.get("iss") != self.config.iss:
            raise TokenRefused("the token's issuer is another user pool")
        if claims.get("aud" if use == "id" else "client_id") != self.config.client_id:
            raise TokenRefused("the token is for another app client")
        return claims

    # Operations

    def initiate_auth(self, params: Params) -> Answer:
        """InitiateAuth: begin a sign-in, or renew with a refresh token."""
        self._check_client(params)
        flow = text(params, "AuthFlow")
        handler = _FLOWS.get(flow)
        if handler is None:
            raise invalid_parameter(f"Unknown AuthFlow {flow}")
        name = "REFRESH_TOKEN_AUTH" if flow == "REFRESH_TOKEN" else flow
        if name not in self.config.flows or (name == "REFRESH_TOKEN_AUTH" and self.config.rotation):
            raise invalid_parameter(f"{name} flow not enabled for this client")
        return handler(self, table(params, "AuthParameters"))

    def respond_to_auth_challenge(self, params: Params) -> Answer:
        """RespondToAuthChallenge: go on with a sign-in."""
        self._check_client(params)
        name = text(params, "ChallengeName")
        handler = _CHALLENGES.get(name)
        if handler is None:
            raise invalid_parameter(f"Challenge {name} cannot be answered")
        return handler(self, params, table(params, "ChallengeResponses"))

    def get_tokens_from_refresh_token(self, params: Params) -> Answer:
        """GetTokensFromRefreshToken: renew, with or without rotation."""
        self._check_client(params)
        return self._renewed(text(params, "RefreshToken"))

    def revoke_token(self, params: Params) -> Answer:
        """RevokeToken: end the sign-in that a refresh token belongs to."""
        self._check_client(params)
        token = text(params, "Token")
        if token.count(".") == 2:  # noqa: PLR2004 - a signed token has three parts, an encrypted one five
            raise Refusal("UnsupportedTokenTypeException", "Unsupported token type")
        self.grants.revoke(token)
        return {}

    def global_sign_out(self, params: Params) -> Answer:
        """GlobalSignOut: end every sign-in of the user whom an access token names."""
        try:
            claims = self.verify(text(params, "AccessToken"), use="access")
        except TokenRefused:
            raise not_authorized("Invalid Access Token") from None
        if self.grants.is_revoked(claims["origin_jti"]):
            raise not_authorized("Access Token has been revoked")
        user = self.accounts.find(claims["sub"])
        if user is not None:
            self.grants.revoke_all(user)
        return {}

    # Flows of InitiateAuth

    def _begin_srp(self, auth: Params) -> Answer:
        name, srp_a = text(auth, "USERNAME"), parse_public(text(auth, "SRP_A"))
        user = self.accounts.find(name)
        # Somebody unknown gets a challenge too, with a salt that stays the same, and fails when answering it.
        known_as = name if user is None else user.username
        password = self._secret.hex() if user is None else user.password
        salt = self._salt(known_as)
        v = verifier(self.config.name, known_as, SecretStr(password), salt)
        exchange = ServerExchange.begin(v, int.from_bytes(self._random(PRIVATE_BYTES), "big"), srp_a)
        secret_block = base64.b64encode(self._random(_SECRET_BLOCK_BYTES)).decode()
        pending = self._challenge("PASSWORD_VERIFIER", known_as, user, key=secret_block, exchange=exchange)
        return {
            "ChallengeName": pending.challenge,
            "ChallengeParameters": {
                # Without leading zeros, as the service writes numbers: clients hash them as they came.
                "SALT": f"{salt:x}",
                "SECRET_BLOCK": secret_block,
                "SRP_B": f"{exchange.srp_b:x}",
                "USERNAME": known_as,
                "USER_ID_FOR_SRP": known_as,
            },
            "Session": pending.session,
        }

    def _check_password(self, auth: Params) -> Answer:
        user = self.accounts.find(text(auth, "USERNAME"))
        given = text(auth, "PASSWORD").encode()
        proven = user is not None and hmac.compare_digest(user.password.encode(), given)
        return self._proven(self.accounts.judge(user, proven, self._clock()))

    def _refresh(self, auth: Params) -> Answer:
        return self._renewed(text(auth, "REFRESH_TOKEN"))

    # Answers to challenges

    def _verify_password(self, params: Params, responses: Params) -> Answer:
        secret_block = text(responses, "PASSWORD_CLAIM_SECRET_BLOCK")
        stamp = text(responses, "TIMESTAMP")
        check_timestamp(stamp)
        pending = self._challenges.take(secret_block, params, responses, self._clock())
        signature = text(responses, "PASSWORD_CLAIM_SIGNATURE")
        proven = pending.exchange is not None and pending.exchange.proves(
            signature, pool=self.config.name, user=pending.known_as, secret_block=secret_block, stamp=stamp
        )
        return self._proven(self.accounts.judge(pending.user, proven, self._clock()))

    # Parts

    def _proven(self, user: User) -> Answer:
        """What follows the right password: a challenge, or tokens."""
        if user.challenge is None:
            return self._signed_in(user)
        pending = self._challenge(user.challenge, user.username, user)
        return {
            "ChallengeName": user.challenge,
            "ChallengeParameters": user.parameters_of_challenge(),
            "Session": pending.session,
        }

    def _signed_in(self, user: User) -> Answer:
        now = self._clock()
        sign_in = SignIn(user, new_uuid(self._random), int(now), now + self.config.refresh_lifetime)
        result = {**self._tokens(sign_in), "RefreshToken": self.grants.issue(sign_in)}
        return {"AuthenticationResult": result, "ChallengeParameters": {}}

    def _renewed(self, token: str) -> Answer:
        now = self._clock()
        sign_in = self.grants.redeem(token, now, self.config.rotation_grace)
        check_standing(sign_in.user)
        result = self._tokens(sign_in)
        if self.config.rotation:
            result["RefreshToken"] = self.grants.replace(token, now)
        return {"AuthenticationResult": result, "ChallengeParameters": {}}

    def _tokens(self, sign_in: SignIn) -> Answer:
        issued = int(self._clock())
        return {
            "AccessToken": self.signer.sign(access_claims(sign_in, self.config, issued, self._random)),
            "ExpiresIn": self.config.access_lifetime,
            "IdToken": self.signer.sign(id_claims(sign_in, self.config, issued, self._random)),
            "TokenType": "Bearer",
        }

    def _challenge(
        self,
        name: str,
        known_as: str,
        user: User | None,
        *,
        key: str | None = None,
        exchange: ServerExchange | None = None,
    ) -> Pending:
        now = self._clock()
        ends = now + self.config.session_lifetime
        return self._challenges.put(name, known_as, user, now=now, ends=ends, key=key, exchange=exchange)

    def _check_client(self, params: Params) -> None:
        client = text(params, "ClientId")
        if client != self.config.client_id:
            raise Refusal("ResourceNotFoundException", f"User pool client {client} does not exist.")

    def _salt(self, name: str) -> int:
        """A user's salt. It is drawn once a pool and the same on every call, for users who do not exist too."""
        drawn = hmac.digest(self._secret, name.encode(), hashlib.sha256)
        return int.from_bytes(drawn[:_SALT_BYTES], "big")


_OPERATIONS: dict[str, Callable[[UserPool, Params], Answer]] = {
    "InitiateAuth": UserPool.initiate_auth,
    "RespondToAuthChallenge": UserPool.respond_to_auth_challenge,
    "GetTokensFromRefreshToken": UserPool.get_tokens_from_refresh_token,
    "RevokeToken": UserPool.revoke_token,
    "GlobalSignOut": UserPool.global_sign_out,
}

_FLOWS: dict[str, Callable[[UserPool, Params], Answer]] = {
    "USER_SRP_AUTH": UserPool._begin_srp,
    "USER_PASSWORD_AUTH": UserPool._check_password,
    "REFRESH_TOKEN_AUTH": UserPool._refresh,
    "REFRESH_TOKEN": UserPool._refresh,
}

_CHALLENGES: dict[str, Callable[[UserPool, Params, Params], Answer]] = {
    "PASSWORD_VERIFIER": UserPool._verify_password,
}
"""Who judges the answer to which challenge: parameters and ChallengeResponses in, tokens or the next challenge out."""
