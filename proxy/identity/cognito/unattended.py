"""What the settings can answer by themselves, so that `serve` needs nobody at hand."""

from collections.abc import Sequence

from cachetools import LRUCache
from pydantic import SecretStr

from proxy.errors import CredentialMissing, LoginRequired
from proxy.errors.names import login_command, variables
from proxy.identity.cognito import failures, totp
from proxy.identity.cognito.asking import Answerer, CodeRequest, Medium
from proxy.identity.profile import Profile
from proxy.model import Clock

_SOFTWARE_TOKEN = "SOFTWARE_TOKEN_MFA"
_COMPUTED_TRIES = 2
_FAR_AHEAD = 10
"""Time steps. Nobody used up so many in advance: the clock was set back."""


class OneTimeCodes:
    """Codes of TOTP secrets, none of them twice: Cognito takes no code again, whoever shows it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._used: LRUCache[SecretStr, int] = LRUCache(1024)

    async def next(self, secret: SecretStr, ahead: float) -> str:
        """A code that nobody was given before, for a Cognito whose clock is `ahead` by so many seconds.

        Waits for the next time step where this one is used up. Raises TotpError where `secret` is none.
        """
        key = totp.parse_secret(secret)
        while True:
            step = self._take_step(secret, ahead)
            while (rest := totp.begins(step) - self._now(ahead)) > 0:
                await self._clock.sleep(rest)
            # A machine that slept meanwhile may have slept through the step.
            if totp.step_at(self._now(ahead)) == step:
                return totp.code(key, step)

    def _take_step(self, secret: SecretStr, ahead: float) -> int:
        """The next time step that nobody has, from this one on."""
        step, unused = totp.step_at(self._now(ahead)), self._used.get(secret, -1) + 1
        if step < unused <= step + _FAR_AHEAD:
            step = unused
        self._used[secret] = step
        return step

    def _now(self, ahead: float) -> float:
        return self._clock.now().wall + ahead


class SettingsFirst:
    """An Answerer that knows a profile's settings and hands on what they do not say: to a person, or in an error.

    Without a person its methods raise LoginRequired, which names the challenge that is in the way.
    """

    def __init__(self, profile: Profile, person: Answerer | None, codes: OneTimeCodes) -> None:
        self._profile = profile
        self._person = person
        self._codes = codes

    @property
    def attended(self) -> bool:
        """Whether there is a person."""
        return self._person is not None

    async def username(self) -> str:
        """Raises CredentialMissing where there is nobody to ask."""
        if self._profile.username is not None:
            return self._profile.username
        return await self._person_or_missing().username()

    async def password(self, username: str, *, again: bool) -> SecretStr:
        """Raises CredentialMissing where there is nobody to ask."""
        if self._profile.password is not None and not again:
            return self._profile.password
        return await self._person_or_missing().password(username, again=again)

    async def code(self, request: CodeRequest) -> str:
        secret = self._profile.totp_secret
        if secret is not None and request.challenge == _SOFTWARE_TOKEN and request.medium is Medium.AUTHENTICATOR:
            if request.attempt <= _COMPUTED_TRIES:
                return await self._computed(secret, request.clock_ahead)
            if not self.attended:
                raise LoginRequired(
                    "Cognito refuses the codes that totp_secret makes",
                    hint="Check UL_PROXY_TOTP_SECRET and the machine's clock, or run `ul-proxy login`.",
                )
        return await self.person(request.challenge).code(request)

    async def new_password(self, challenge: str, complaint: str | None) -> SecretStr:
        return await self.person(challenge).new_password(challenge, complaint)

    async def attribute(self, name: str, *, again: bool) -> str:
        return await self.person("NEW_PASSWORD_REQUIRED").attribute(name, again=again)

    async def choose(self, challenge: str, options: Sequence[str]) -> str:
        if self._profile.totp_secret is not None and _SOFTWARE_TOKEN in options:
            return _SOFTWARE_TOKEN
        return await self.person(challenge).choose(challenge, options)

    async def show_totp_secret(self, secret: SecretStr, otpauth_uri: SecretStr) -> None:
        await self.person("MFA_SETUP").show_totp_secret(secret, otpauth_uri)

    async def remember_device(self) -> bool:
        return self._person is not None and await self._person.remember_device()

    def person(self, challenge: str) -> Answerer:
        """Whoever can be asked about `challenge`; raises LoginRequired where there is nobody."""
        if self._person is None:
            raise failures.from_challenge(challenge)
        return self._person

    async def _computed(self, secret: SecretStr, ahead: float) -> str:
        try:
            return await self._codes.next(secret, ahead)
        except totp.TotpError as error:
            raise LoginRequired(f"totp_secret cannot be used: {error}", hint="Correct UL_PROXY_TOTP_SECRET.") from None

    def _person_or_missing(self) -> Answerer:
        if self._person is None:
            lacking = self._profile.login_lacks
            raise CredentialMissing(
                f"this route needs an Unleash Live login, which lacks {' and '.join(lacking)}",
                hint=f"Run {login_command()}, or set {variables(lacking)}, or UL_PROXY_PERSONAL_ACCESS_TOKEN.",
            )
        return self._person
