"""The frozen values that the floors hand to each other. They describe themselves and do nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias
from urllib.parse import urlsplit

from pydantic import SecretStr

Header: TypeAlias = tuple[bytes, bytes]
"""One field line (RFC 9110 section 5), name and value exactly as on the wire."""
Headers: TypeAlias = Sequence[Header]

DEFAULT_PROFILE = "default"
EVERYTHING = "* /**"
"""The pattern of `allow` and `deny` that covers every request."""


class Instant(NamedTuple):
    """One reading of both clocks, in seconds.

    The monotonic clock does not jump but may stand still while a machine sleeps; the wall clock may jump but
    sleeps with nobody. Either alone misjudges an age.
    """

    monotonic: float
    wall: float


class Clock(Protocol):
    """Where time comes from. Whoever needs it takes a Clock, so that tests can pass one in."""

    def now(self) -> Instant: ...

    async def sleep(self, seconds: float) -> None: ...


class AuthFlow(StrEnum):
    SRP = "srp"
    PASSWORD = "password"


class Auth(StrEnum):
    """Which credential a route wants."""

    REST = "rest"
    GRAPHQL = "graphql"
    API_KEY = "api_key"
    ANALYTICS = "analytics"
    """The API key where there is one, else as `rest`."""
    BEARER = "bearer"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Pool:
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
    pool: Pool
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


@dataclass(frozen=True, slots=True)
class Device:
    """A device that a user pool was told to remember; `password` is its own, of which the pool has a verifier."""

    key: str
    group_key: str
    password: SecretStr


@dataclass(frozen=True, slots=True)
class Session:
    """What outlives a token: all that a renewal needs. A Token has it as well."""

    refresh_token: SecretStr | None
    username: str | None = None
    """The name that Cognito keeps, whatever alias was given."""
    device: Device | None = None
    saved_at: float | None = field(default=None, compare=False)
    """When a store was given it, in wall seconds."""


@dataclass(frozen=True, slots=True)
class Token:
    """What one sign-in or renewal returned. `lifetime` is the ID token's own `exp - iat`, in seconds."""

    id_token: SecretStr
    access_token: SecretStr
    refresh_token: SecretStr | None
    claims: Mapping[str, Any]
    arrived: Instant
    lifetime: float
    renew_after: float
    """Seconds after `arrived` from which on a renewal is due."""
    username: str | None = None
    device: Device | None = None

    @property
    def session(self) -> Session:
        return Session(self.refresh_token, self.username, self.device)


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """Temporary AWS credentials of an identity pool. `lifetime` in seconds from `arrived`."""

    identity_id: str
    access_key_id: str
    secret_access_key: SecretStr
    session_token: SecretStr
    expiration: datetime
    arrived: Instant
    lifetime: float


@dataclass(frozen=True, slots=True)
class Upstream:
    """An http(s) origin and the path below which a route's requests land."""

    scheme: str
    host: str
    port: int
    path: str = ""
    authority: str = field(init=False)
    """The value of `Host` (RFC 9110 section 7.2): the port only where it is not the scheme's own."""
    origin: str = field(init=False)

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        own_port = {"http": 80, "https": 443}[self.scheme]
        object.__setattr__(self, "authority", host if self.port == own_port else f"{host}:{self.port}")
        object.__setattr__(self, "origin", f"{self.scheme}://{self.authority}")

    @classmethod
    def parse(cls, url: str) -> "Upstream":
        """`https://host[:port][/path]` as an Upstream; raises ValueError, in words for a person."""
        if "@" in url.partition("?")[0]:
            raise ValueError("an upstream's address must not hold a user name or password")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"{url!r} must begin with https:// or http://")
        if not parts.hostname:
            raise ValueError(f"{url!r} names no host")
        if parts.query or parts.fragment or "?" in url or "#" in url:
            raise ValueError(f"{url!r} must not hold a query or fragment")
        if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
            raise ValueError(f"{url!r} must be plain ASCII without spaces")
        port = parts.port if parts.port is not None else (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    def __str__(self) -> str:
        return self.origin + self.path


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Requests whose path begins with `path`, on whole segments, go to `upstream` with `auth` added.

    `path` is "" for the route of everything. `header` overrides the name of the header that carries the credential.
    Compared by identity: every request looks something up by its route.
    """

    path: str
    upstream: Upstream
    auth: Auth
    header: str | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All in seconds. There is none on a whole transfer."""

    connect: float
    headers: float
    idle: float
    auth: float
    drain: float
    head: float = 10.0
    """For the head of a caller's request to arrive; no setting, for no honest caller needs longer."""


@dataclass(frozen=True, slots=True)
class RenewalPolicy:
    """When a token is renewed and how failures are spaced. Durations in seconds."""

    renew_at: float = 0.8
    """Share of its life after which a token is renewed."""
    jitter: float = 0.05
    """Share of its life by which that is drawn earlier, so that many proxies do not renew in step."""
    margin: float = 30.0
    """A renewal is due at least this long before the end."""
    leeway: float = 5.0
    """A token counts as ended this long before its end: it has a way to go."""
    patient_tries: int = 3
    """After so many failures in a row, those who wait for want of any token are told."""
    backoff_base: float = 1.0
    backoff_cap: float = 60.0
    forced_interval: float = 30.0
    """At most one renewal that an upstream's refusal forces within this time."""
    new: float = 5.0
    """Whoever asks for a new token is content with one that arrived within this time."""


@dataclass(frozen=True, slots=True)
class Bind:
    """A place to listen: a TCP host and port, or a Unix socket's path."""

    host: str = ""
    port: int = 0
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate with its chain, and its private key, in PEM; both may be in one file."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class OutboundProxy:
    """An HTTP proxy that is asked to CONNECT; `credentials` are `user:password`."""

    host: str
    port: int
    credentials: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class OutboundProxies:
    """The proxies for upstreams of each scheme, and who is reached without one."""

    http: OutboundProxy | None = None
    https: OutboundProxy | None = None
    bypass: str = ""
    """As NO_PROXY has it: host names, domains and addresses between commas, or `*`."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may call this proxy, and for what."""

    allowed_hosts: frozenset[str] = frozenset()
    """Besides loopback names; as `guard.host_name` returns them."""
    allowed_origins: frozenset[str] = frozenset()
    """`scheme://host[:port]`, as browsers write them (RFC 6454 section 6.2)."""
    client_token: SecretStr | None = None
    """What a caller must present."""
    any_host: bool = False
    """Callers may use whatever name they like."""
    read_only: bool = False
    allow: tuple[str, ...] = (EVERYTHING,)
    """Patterns as `guard.Pattern` reads them: what they do not cover is refused."""
    deny: tuple[str, ...] = ()
    """What these cover is refused, whatever `allow` says."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Everything that a running proxy needs to know, as the settings have it."""

    listen: tuple[Bind, ...]
    profiles: Mapping[str, Profile]
    """By name; the one of requests that name none is `DEFAULT_PROFILE`."""
    own_routes: tuple[Route, ...]
    """Tried before `built_in_routes`."""
    built_in_routes: tuple[Route, ...]
    timeouts: Timeouts
    replay_limit: int
    """In bytes."""
    buffer_limit: int = 64 << 20
    """How many bytes all callers together may have in memory."""
    policy: Policy = field(default_factory=Policy)
    port_file: Path | None = None
    """Where the port of the first TCP listener is written."""
    tls: CertificateFiles | None = None
    """For HTTPS on TCP; None for plain HTTP."""
    drain_delay: float = 0.0
    """Seconds for which the proxy still listens once it is told to end."""
    max_connections: int = 1000
    """How many callers' connections may be open at a time."""
    ca_file: Path | None = None
    """What to trust instead of the system's certificate authorities."""
    outbound: OutboundProxies = field(default_factory=OutboundProxies)
    renewal: RenewalPolicy = field(default_factory=RenewalPolicy)
    state_home: Path | None = None
    """$XDG_STATE_HOME or what stands in for it; None where there is no home directory."""
    token_store: str = "memory"
    """`auto`, `memory`, `keyring` or `file:` and an absolute path."""
    aws_credentials_token: SecretStr | None = None
    """What callers of `/-/aws-credentials` must send; without one there is no such endpoint."""
    admin_listen: tuple[Bind, ...] = ()
    """Where the proxy's own endpoints are, and nothing else; where there is none, they are at `listen`."""
    enable_stop: bool = False
    """Whether `/-/stop` ends the proxy."""
    inspector: bool = True
    """Whether `/-/` shows requests to whoever may see them."""

    @property
    def profile(self) -> Profile:
        """The one of requests that name none."""
        return self.profiles[DEFAULT_PROFILE]
