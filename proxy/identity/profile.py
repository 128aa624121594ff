"""Logins, and the user pools that they are of."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr

DEFAULT_PROFILE = "default"


class AuthFlow(StrEnum):
    SRP = "srp"
    PASSWORD = "password"


@dataclass(frozen=True, slots=True)
class CognitoPool:
    """A Cognito user pool and the app client to sign in with."""

    region: str
    user_pool_id: str
    client_id: str
    auth_flow: AuthFlow = AuthFlow.SRP
    endpoint_url: str | None = None
    client_secret: SecretStr | None = None
    identity_pool_id: str | None = None
    """The identity pool that trades the user pool's ID tokens for AWS credentials."""
    identity_endpoint_url: str | None = None

    @property
    def login_provider(self) -> str:
        """What identity pools call this user pool."""
        return self.issuer.removeprefix("https://")

    @property
    def issuer(self) -> str:
        """The `iss` claim of the pool's tokens."""
        return f"https://cognito-idp.{self.region}.amazonaws.com/{self.user_pool_id}"

    @property
    def issuers(self) -> tuple[str, ...]:
        """Every `iss` that is believed: emulators name themselves or the service they stand in for."""
        if self.endpoint_url is None:
            return (self.issuer,)
        return (self.issuer, f"{self.endpoint_url.rstrip('/')}/{self.user_pool_id}")

    @property
    def jwks_url(self) -> str:
        return f"{self.issuers[-1]}/.well-known/jwks.json"


@dataclass(frozen=True, slots=True)
class Profile:
    """One login and what belongs to it."""

    name: str
    pool: CognitoPool
    username: str | None = None
    password: SecretStr | None = None
    api_key: SecretStr | None = None
    personal_access_token: SecretStr | None = None
    totp_secret: SecretStr | None = None
    """What an authenticator app was given, in base32."""
    token_store: str | None = None
    """As in ServeOptions, which also has it for profiles without one of their own."""

    @property
    def login_lacks(self) -> tuple[str, ...]:
        """The settings without which nobody can sign in."""
        needed = {"username": self.username, "password": self.password}
        return tuple(name for name, value in needed.items() if value is None)

    @property
    def signs_in(self) -> bool:
        """Whether Cognito is asked for tokens: a personal access token takes their place."""
        return not self.login_lacks and self.personal_access_token is None

    @property
    def credentials(self) -> tuple[str, ...]:
        """What there is to add to requests."""
        given = {
            "login": not self.login_lacks,
            "personal_access_token": self.personal_access_token,
            "api_key": self.api_key,
        }
        return tuple(name for name, value in given.items() if value)
