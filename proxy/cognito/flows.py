"""Sign-in and renewal, as sequences of Cognito's operations."""

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from proxy import claims, lifetime, srp
from proxy.cognito import answers, failures
from proxy.cognito.keys import KeySets
from proxy.errors import CredentialMissing, LoginRequired, RefreshRejected, SignInFailed, variables
from proxy.model import AuthFlow, Clock, OutboundProxies, Pool, Profile, RenewalPolicy, Token

if TYPE_CHECKING:
    from proxy.cognito.sdk import Sdk

log = logging.getLogger(__name__)


class Cognito:
    """The `Authority` of `tokens.py`. Its methods raise a CredentialError."""

    def __init__(
        self,
        *,
        clock: Clock,
        random: Callable[[int], bytes],
        draw: Callable[[], float],
        policy: RenewalPolicy,
        timeout: float,
        outbound: OutboundProxies,
    ) -> None:
        """`random(n)` returns n unpredictable bytes, `draw()` a uniform number in [0, 1); `timeout` in seconds."""
        self._outbound = outbound
        self._clock = clock
        self._random = random
        self._draw = draw
        self._policy = policy
        self._timeout = timeout
        self._sdk: Sdk | None = None
        # A share of what callers wait for: without keys the sign-in still has to be in time.
        self._keys = KeySets(clock=clock, timeout=timeout / 3, outbound=outbound)
        self._without_get_tokens: set[Pool] = set()

    async def sign_in(self, profile: Profile) -> Token:
        """A new session from the profile's user name and password."""
        if profile.username is None or profile.password is None:
            lacking = profile.login_lacks
            raise CredentialMissing(
                f"this route needs an Unleash Live login, which lacks {' and '.join(lacking)}",
                hint=f"Set {variables(lacking)} (or UL_PROXY_PERSONAL_ACCESS_TOKEN), then restart the proxy.",
            )
        flow = self._by_srp if profile.pool.auth_flow is AuthFlow.SRP else self._by_password
        answer = await flow(profile.pool, profile.username, profile.password)
        return await self._token(profile.pool, answer, previous=None)

    async def renew(self, profile: Profile, token: Token) -> Token:
        """New tokens from the refresh token of `token`; RefreshRejected where only a sign-in helps."""
        if token.refresh_token is None:
            raise RefreshRejected("Cognito issued no refresh token")
        pool, refresh_token = profile.pool, token.refresh_token.get_secret_value()
        try:
            answer = await self._renewed(pool, refresh_token)
        except LoginRequired as error:
            # Whatever is wrong with this way of renewing, a sign-in may still work, and will tell if not.
            raise RefreshRejected(error.detail) from None
        return await self._token(pool, answer, previous=token)

    async def close(self) -> None:
        if self._sdk is not None:
            await self._sdk.close()

    async def _by_password(self, pool: Pool, username: str, password: SecretStr) -> dict[str, Any]:
        parameters = {"USERNAME": username, "PASSWORD": password.get_secret_value()}
        return await self._expect_result(
            pool, "InitiateAuth", ClientId=pool.client_id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=parameters
        )

    async def _by_srp(self, pool: Pool, username: str, password: SecretStr) -> dict[str, Any]:
        exchange = srp.Exchange(srp.private_exponent(self._random(srp.PRIVATE_BYTES)))
        challenge = await self._expect_result(
            pool,
            "InitiateAuth",
            ClientId=pool.client_id,
            AuthFlow="USER_SRP_AUTH",
            AuthParameters={"USERNAME": username, "SRP_A": exchange.srp_a},
        )
        if answers.challenge_name(challenge) != "PASSWORD_VERIFIER":
            return challenge
        given = answers.srp_challenge(challenge)
        pool_name = pool.user_pool_id.partition("_")[2]
        try:
            key = exchange.key(pool_name, given.user_id, password, given.srp_b, given.salt)
            block = srp.secret_block(given.secret_block)
        except srp.SrpError as error:
            raise answers.unusable(error) from None
        stamp = srp.timestamp(answers.server_time(challenge) or datetime.fromtimestamp(self._clock.now().wall, UTC))
        responses = {
            "USERNAME": given.username,
            "PASSWORD_CLAIM_SECRET_BLOCK": given.secret_block,
            "PASSWORD_CLAIM_SIGNATURE": srp.claim(key, pool_name, given.user_id, block, stamp),
            "TIMESTAMP": stamp,
        }
        session = {"Session": given.session} if given.session else {}
        return await self._expect_result(
            pool,
            "RespondToAuthChallenge",
            ClientId=pool.client_id,
            ChallengeName="PASSWORD_VERIFIER",
            ChallengeResponses=responses,
            **session,
        )

    async def _renewed(self, pool: Pool, refresh_token: str) -> dict[str, Any]:
        if pool not in self._without_get_tokens:
            try:
                return await self._call(
                    pool, "GetTokensFromRefreshToken", ClientId=pool.client_id, RefreshToken=refresh_token
                )
            except failures.Refused as refused:
                emulator = pool.endpoint_url is not None
                if not failures.unknown_operation(refused.status, refused.code, emulator=emulator):
                    raise refused.meaning from None
        parameters = {"REFRESH_TOKEN": refresh_token}
        answer = await self._expect_result(
            pool, "InitiateAuth", ClientId=pool.client_id, AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters=parameters
        )
        if pool not in self._without_get_tokens:
            log.info("this endpoint has no GetTokensFromRefreshToken: renewing with REFRESH_TOKEN_AUTH from now on")
            self._without_get_tokens.add(pool)
        return answer

    async def _expect_result(self, pool: Pool, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            return await self._call(pool, operation, **parameters)
        except failures.Refused as refused:
            raise refused.meaning from None

    async def _call(self, pool: Pool, operation: str, **parameters: Any) -> dict[str, Any]:
        if self._sdk is None:
            # Not on the event loop, which serves already.
            module = await asyncio.to_thread(importlib.import_module, "proxy.cognito.sdk")
            self._sdk = self._sdk or module.Sdk(timeout=self._timeout, outbound=self._outbound)
        return await self._sdk.call(pool, operation, parameters)

    async def _token(self, pool: Pool, answer: Mapping[str, Any], *, previous: Token | None) -> Token:
        if challenge := answers.challenge_name(answer):
            raise failures.from_challenge(challenge)
        arrived = self._clock.now()
        found = answers.tokens(answer)
        try:
            id_claims = await self._keys.verify(pool, found.id_token, found.access_token)
            life = claims.lifetime(id_claims)
        except claims.ClaimsError as error:
            raise SignInFailed(
                f"Cognito's answer is not to be trusted: {error}",
                hint="Check cognito.user_pool_id, cognito.client_id and cognito.endpoint_url.",
            ) from None
        kept = previous.refresh_token if previous is not None else None
        return Token(
            id_token=SecretStr(found.id_token),
            access_token=SecretStr(found.access_token),
            refresh_token=SecretStr(found.refresh_token) if found.refresh_token else kept,
            claims=id_claims,
            arrived=arrived,
            lifetime=life,
            renew_after=lifetime.renew_after(life, self._draw(), self._policy),
        )
