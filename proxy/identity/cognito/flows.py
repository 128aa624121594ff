"""Sign-in, renewal, revocation and AWS credentials, as sequences of Cognito's operations."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from proxy.errors import CredentialError, LoginRequired, RefreshRejected, SignInFailed, TokensUnverified
from proxy.errors.names import addressed
from proxy.http.options import OutboundProxies
from proxy.identity import claims
from proxy.identity.cognito import devices, dialogue, failures, identity, payloads, results
from proxy.identity.cognito.asking import Answerer
from proxy.identity.cognito.calls import Calls
from proxy.identity.cognito.conversation import Conversation
from proxy.identity.cognito.endpoints import user_pool
from proxy.identity.cognito.failures import Refused
from proxy.identity.cognito.keys import KeySets, KeysUnavailable
from proxy.identity.cognito.unattended import OneTimeCodes, SettingsFirst
from proxy.identity.issued import AwsCredentials, Device, Session, Token
from proxy.identity.profile import CognitoPool, Profile
from proxy.identity.tokens import lifetime
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.model import Clock

log = logging.getLogger(__name__)


class Cognito:
    """The `TokenIssuer` of a TokenManager. Its methods raise a CredentialError."""

    def __init__(
        self,
        *,
        clock: Clock,
        random: Callable[[int], bytes],
        draw: Callable[[], float],
        policy: RenewalPolicy,
        timeout: float,
        outbound: OutboundProxies,
        ca_file: Path | None = None,
    ) -> None:
        """`random(n)` returns n unpredictable bytes, `draw()` a uniform number in [0, 1); `timeout` in seconds.

        `ca_file` holds the certificates to trust instead of the usual ones; raises OSError where it does not.
        """
        self._clock = clock
        self._random = random
        self._draw = draw
        self._policy = policy
        self._calls = Calls(timeout=timeout, outbound=outbound, ca_file=ca_file)
        # A share of what callers wait for: without keys the sign-in still has to be in time.
        self._keys = KeySets(clock=clock, timeout=timeout / 3, outbound=outbound, ca_file=ca_file)
        self._codes = OneTimeCodes(clock)
        self._without_get_tokens: set[CognitoPool] = set()

    async def sign_in(self, profile: Profile, person: Answerer | None = None, *, device: Device | None = None) -> Token:
        """A new session from the profile's login.

        `person` is asked for what the settings do not say; without one, whatever they do not say is an error.
        `device` is the one of an earlier session, which may spare a second factor.
        """
        with _addressing(profile):
            answerer = SettingsFirst(profile, person, self._codes)
            username = await answerer.username()
            conversation = Conversation(
                profile.pool,
                username,
                await answerer.password(username, again=False),
                calls=self._calls,
                answerer=answerer,
                device=device,
                clock=self._clock,
                random=self._random,
            )
            answer = await dialogue.sign_in(conversation)
            token = await self._token(profile.pool, answer, Session(None, conversation.name, conversation.device))
            new = results.new_device(answer)
            if new is None:
                return token
            try:
                device = await devices.confirm(conversation, new, token.access_token, self._random)
            except BaseException:
                # Whoever left now will never have this session: it is not to outlive them.
                if token.refresh_token is not None:
                    with suppress(CredentialError):
                        await self.revoke(profile, token.refresh_token)
                raise
            return replace(token, device=device)

    async def renew(self, profile: Profile, session: Session | Token) -> Token:
        """New tokens from a refresh token; RefreshRejected where only a sign-in helps.

        The refresh token of the result replaces that of `session`, and may be the same.
        """
        if isinstance(session, Token):
            session = session.session
        if session.refresh_token is None:
            raise RefreshRejected("Cognito issued no refresh token")
        with _addressing(profile):
            try:
                answer = await self._renewed(profile.pool, session, session.refresh_token)
            except LoginRequired as error:
                # Whatever is wrong with this way of renewing, a sign-in may still work, and will tell if not.
                raise RefreshRejected(error.detail) from None
            return await self._token(profile.pool, answer, session)

    async def revoke(self, profile: Profile, refresh_token: SecretStr) -> None:
        """End the session that `refresh_token` belongs to. One that is unknown or has ended is no error."""
        parameters = payloads.revoke_token(profile.pool, refresh_token)
        with _addressing(profile):
            await self._expect_result(profile.pool, "RevokeToken", parameters)

    async def aws_credentials(self, profile: Profile, id_token: SecretStr) -> AwsCredentials:
        """Temporary AWS credentials of the profile's identity pool, for the user whom `id_token` names."""
        return await identity.credentials(self._calls, profile.pool, id_token, self._clock)

    async def close(self) -> None:
        await self._calls.close()

    async def _renewed(self, pool: CognitoPool, session: Session, refresh_token: SecretStr) -> dict[str, Any]:
        if pool not in self._without_get_tokens:
            parameters = payloads.tokens_from_refresh_token(pool, session, refresh_token)
            try:
                return await self._call_twice(pool, "GetTokensFromRefreshToken", parameters)
            except Refused as refused:
                emulator = pool.endpoint_url is not None
                if not failures.unknown_operation(refused.status, refused.code, emulator=emulator):
                    raise refused.meaning from None
        answer = await self._expect_result(
            pool, "InitiateAuth", payloads.refresh_token_auth(pool, session, refresh_token)
        )
        if pool not in self._without_get_tokens:
            log.info("this endpoint has no GetTokensFromRefreshToken: renewing with REFRESH_TOKEN_AUTH from now on")
            self._without_get_tokens.add(pool)
        return answer

    async def _call_twice(self, pool: CognitoPool, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """A call that is made again at once where its answer is lost.

        It may have been carried out: a refresh token that rotates is used up then, and works for a moment only.
        """
        try:
            return await self._calls.call(user_pool(pool), operation, parameters)
        except SignInFailed as lost:
            log.info("asking again: %s", lost.detail)
            return await self._calls.call(user_pool(pool), operation, parameters)

    async def _expect_result(self, pool: CognitoPool, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._calls.call(user_pool(pool), operation, parameters)
        except Refused as refused:
            raise refused.meaning from None

    async def _token(self, pool: CognitoPool, answer: Mapping[str, Any], session: Session) -> Token:
        """The tokens of an answer; what it does not hold is as it was in `session`."""
        if posed := results.challenge(answer):
            raise failures.from_challenge(posed.name)
        arrived = self._clock.now()
        found = results.tokens(answer)
        try:
            id_claims = await self._keys.verify(pool, found.id_token, found.access_token)
            life = claims.lifetime(id_claims)
        except KeysUnavailable as error:
            raise TokensUnverified(
                f"Cognito's answer cannot be verified: {error}",
                refresh_token=SecretStr(found.refresh_token) if found.refresh_token else None,
            ) from None
        except claims.ClaimsError as error:
            raise SignInFailed(
                f"Cognito's answer is not to be trusted: {error}",
                hint="Check cognito.user_pool_id, cognito.client_id and cognito.endpoint_url.",
            ) from None
        username = id_claims.get("cognito:username")
        return Token(
            id_token=SecretStr(found.id_token),
            access_token=SecretStr(found.access_token),
            refresh_token=SecretStr(found.refresh_token) if found.refresh_token else session.refresh_token,
            claims=id_claims,
            arrived=arrived,
            lifetime=life,
            renew_after=lifetime.renew_after(life, self._draw(), self._policy),
            username=username if isinstance(username, str) else session.username,
            device=session.device,
        )


@contextmanager
def _addressing(profile: Profile) -> Iterator[None]:
    """Let errors from inside say what mends them for `profile`."""
    try:
        yield
    except CredentialError as error:
        error.hint = addressed(error.hint, profile.name)
        raise
