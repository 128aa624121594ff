"""One sign-in under way: what it has come to know, and its calls in those terms."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from proxy.errors import LoginRequired, SignInFailed
from proxy.identity.cognito import payloads, srp
from proxy.identity.cognito.asking import CodeRequest, Medium, Retry
from proxy.identity.cognito.calls import Calls
from proxy.identity.cognito.endpoints import user_pool
from proxy.identity.cognito.failures import Refused
from proxy.identity.cognito.results import Challenge, Delivery
from proxy.identity.cognito.unattended import SettingsFirst
from proxy.identity.issued import Device
from proxy.identity.profile import CognitoPool
from proxy.model import Clock

_TRIES = 5
"""How often the same thing is asked for. Cognito locks users out who are wrong more often."""
_CODE_DIGITS = 6
_PAUSES = (1.0, 3.0)
"""Seconds before a call that found Cognito in trouble is made again."""


class StartAgain(Exception):
    """The sign-in has to begin anew, with what is known by now."""


class Conversation:
    """The state of a sign-in, which outlives being begun anew."""

    def __init__(
        self,
        pool: CognitoPool,
        username: str,
        password: SecretStr,
        *,
        calls: Calls,
        answerer: SettingsFirst,
        device: Device | None,
        clock: Clock,
        random: Callable[[int], bytes],
    ) -> None:
        """`username` as a person gave it; `device` is what an earlier sign-in registered."""
        self.pool = pool
        self.given = username
        self.name = username
        """What answers call the user: the real name, as soon as Cognito has sent it."""
        self.password = password
        self.answerer = answerer
        self.device = device
        self.exchange: srp.SrpExchange | None = None
        self.second_factor = False
        """Whether one was shown."""
        self._calls = calls
        self._clock = clock
        self._random = random
        self._asked: Counter[str] = Counter()
        self._retries: dict[str, Retry] = {}

    async def call(
        self, operation: str, parameters: dict[str, Any], *, patiently: bool | None = None
    ) -> dict[str, Any]:
        """The answer of any operation; raises Refused and SignInFailed.

        Brief trouble is sat out `patiently`, by default where a person would have to begin anew for it: a sign-in
        without one is tried again as a whole, by whoever wants it.
        """
        patiently = self.answerer.attended if patiently is None else patiently
        for pause in _PAUSES if patiently else ():
            try:
                return await self._calls.call(user_pool(self.pool), operation, parameters)
            except (Refused, SignInFailed) as failure:
                if not _is_brief(failure):
                    raise
            await self._clock.sleep(pause)
        return await self._calls.call(user_pool(self.pool), operation, parameters)

    async def initiate(self, flow: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """InitiateAuth for the user."""
        parameters = {"USERNAME": self.given, **parameters}
        return await self.call(
            "InitiateAuth", payloads.initiate_auth(self.pool, flow, parameters, self.given, self.device)
        )

    async def respond(
        self, posed: Challenge, responses: Mapping[str, str], *, session: str | None = None
    ) -> dict[str, Any]:
        """RespondToAuthChallenge, under the challenge's own session unless another one follows from it."""
        parameters = payloads.respond(
            self.pool,
            posed.name,
            responses,
            username=self.name,
            session=session or posed.session,
            device=self.device,
        )
        return await self.call("RespondToAuthChallenge", parameters)

    async def for_account(self, operation: str, **parameters: str) -> dict[str, Any]:
        """An operation that needs no sign-in, such as ForgotPassword."""
        return await self.call(operation, payloads.for_account(self.pool, self.given, parameters))

    def new_exchange(self) -> srp.SrpExchange:
        """An SRP exchange with a private exponent of its own."""
        return srp.SrpExchange(srp.private_exponent(self._random(srp.PRIVATE_BYTES)))

    def server_time(self, posed: Challenge) -> datetime:
        """What time Cognito has, as far as is known."""
        return posed.server_time or datetime.fromtimestamp(self._clock.now().wall, UTC)

    def once_more(self, what: str, *, tries: int = _TRIES) -> int:
        """Count a question, from 1; raises LoginRequired where it has been asked often enough."""
        self._asked[what] += 1
        if self._asked[what] > tries:
            raise LoginRequired(f"too many wrong tries at {what}", hint="Try again later: `ul-proxy login`.")
        return self._asked[what]

    async def with_code(
        self,
        challenge: str,
        medium: Medium,
        send: Callable[[str], Awaitable[dict[str, Any]]],
        *,
        destination: str | None = None,
        posed: Challenge | None = None,
        anew: Callable[[], Awaitable[Delivery]] | None = None,
    ) -> dict[str, Any]:
        """What `send` returns for a code that Cognito accepts; asks again where it accepts one not.

        `anew` has a new code delivered where one has expired; without it the sign-in begins anew for that.
        """
        ahead = posed.server_time.timestamp() - self._clock.now().wall if posed and posed.server_time else 0.0
        while True:
            attempt = self.once_more(challenge)
            request = CodeRequest(challenge, medium, destination, self._retries.get(challenge), attempt, ahead)
            code = "".join((await self.answerer.code(request)).split())
            try:
                if not code or (medium is Medium.AUTHENTICATOR and not _looks_right(code)):
                    self._retries[challenge] = Retry.WRONG
                    continue
                return await send(code)
            except Refused as refused:
                if refused.session_lost:
                    self._retries[challenge] = Retry.LOST
                    raise StartAgain from refused
                fault = refused.code_fault
                if fault is None:
                    raise
                self._retries[challenge] = fault
                if fault is Retry.EXPIRED and medium is not Medium.AUTHENTICATOR:
                    if anew is None:
                        raise StartAgain from refused
                    destination = (await anew()).destination


def _is_brief(failure: Refused | SignInFailed) -> bool:
    """Whether the very same call may be answered soon."""
    if isinstance(failure, SignInFailed):
        return True
    return failure.meaning.transient and failure.meaning.retry_after is None and not failure.session_lost


def _looks_right(code: str) -> bool:
    return code.isascii() and code.isdigit() and len(code) == _CODE_DIGITS
