"""The settings, one declaration each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from proxy.forward.route import Auth
from proxy.identity.profile import AuthFlow
from proxy.settings.forms import (
    Bytes,
    ClientId,
    ClientSecret,
    Count,
    Delay,
    Form,
    HeaderSecret,
    Host,
    HttpUrl,
    IdentityPoolId,
    Listed,
    Origin,
    Region,
    RequestPattern,
    Seconds,
    TokenStore,
    TotpSecret,
    UserPoolId,
    checked_bind,
    checked_header,
    checked_path,
    matching,
)

PREFIX = "UL_PROXY_"
FILE_SUFFIX = "_FILE"


class _Section(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class CognitoSettings(_Section):
    region: Region = Field(description="AWS region of the user pool")
    user_pool_id: UserPoolId = Field(description="user pool to sign in to")
    client_id: ClientId = Field(description="app client of the user pool")
    client_secret: SecretStr | None = Field(None, description="its secret, where it has one")
    auth_flow: AuthFlow = Field(description="`srp`: the password never leaves the machine; or `password`")
    identity_pool_id: IdentityPoolId = Field(description="identity pool that has AWS credentials for the pool's users")
    endpoint_url: HttpUrl | None = Field(None, description="another address of Cognito, for emulators")
    identity_endpoint_url: HttpUrl | None = Field(
        None, description="another address of the identity pool's service, if not `cognito.endpoint_url`"
    )


class ProfileCognitoSettings(_Section):
    """What a profile does not say of its user pool is as in CognitoSettings."""

    region: Region | None = None
    user_pool_id: UserPoolId | None = None
    client_id: ClientId | None = None
    client_secret: SecretStr | None = None
    auth_flow: AuthFlow | None = None
    identity_pool_id: IdentityPoolId | None = None
    endpoint_url: HttpUrl | None = None
    identity_endpoint_url: HttpUrl | None = None


class UpstreamSettings(_Section):
    rest: HttpUrl = Field(description="the REST API")
    graphql: HttpUrl = Field(description="the Media Drive GraphQL endpoint")
    flights_cdn: HttpUrl = Field(description="flight logs")
    library_cdn: HttpUrl = Field(description="media files")
    ca_file: Annotated[Path, Form("FILE")] | None = Field(
        None, description="certificates, in PEM, to trust instead of the system's"
    )


class TimeoutSettings(_Section):
    connect: Seconds = Field(description="to open a connection to an upstream")
    headers: Seconds = Field(description="for an upstream to begin its answer")
    idle: Seconds = Field(description="without a byte moving in either direction")
    auth: Seconds = Field(description="how long a request waits for a sign-in")
    drain: Seconds = Field(description="how long requests may go on once the proxy has stopped listening")


class ProfileSettings(_Section):
    """One more login. What it does not name it does not have, but for its user pool."""

    username: str | None = None
    password: SecretStr | None = None
    totp_secret: TotpSecret | None = None
    api_key: HeaderSecret | None = None
    personal_access_token: HeaderSecret | None = None
    token_store: TokenStore | None = None
    cognito: ProfileCognitoSettings = ProfileCognitoSettings()


class RouteSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    path: Annotated[str, AfterValidator(checked_path)]
    upstream: HttpUrl
    auth: Auth
    header: (
        Annotated[str, matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "no header's name"), AfterValidator(checked_header)]
        | None
    ) = None


class PlainSettings(BaseSettings):
    """Every setting but those of profiles, whose names nobody knows before. Those without a default here have theirs
    in the shipped `defaults.toml`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    listen: Annotated[list[Annotated[str, AfterValidator(checked_bind), Form("ADDRESS")]], *Listed] = Field(
        description="`HOST:PORT`, `[::1]:8080` or `unix:/path`; port 0 picks one; may be a list", min_length=1
    )
    admin_listen: Annotated[list[Annotated[str, AfterValidator(checked_bind), Form("ADDRESS")]], *Listed] = Field(
        description="where `/-/…` is instead; beyond loopback `live`, `ready` and `metrics` alone, for everybody"
    )
    port_file: Annotated[Path, Form("FILE")] | None = Field(
        None, description="a file to write the port of the first TCP listener into, for as long as it listens"
    )
    tls_cert: Annotated[Path, Form("FILE")] | None = Field(
        None, description="certificate and chain, in PEM, for HTTPS on TCP; read again when it changes"
    )
    tls_key: Annotated[Path, Form("FILE")] | None = Field(None, description="its key, if not in the same file")
    username: str | None = Field(None, description="the Unleash Live login")
    password: SecretStr | None = Field(None, description="its password")
    totp_secret: TotpSecret | None = Field(
        None, description="what its authenticator app was given, in base32: one-time codes are then made unattended"
    )
    api_key: HeaderSecret | None = Field(None, description="the analytics API key")
    personal_access_token: HeaderSecret | None = Field(
        None, description="`ul_pat_…`; used instead of Cognito wherever a Cognito token would be"
    )
    cognito: CognitoSettings
    upstreams: UpstreamSettings
    routes: list[RouteSettings] = Field([], description="more routes, tried before the built-in ones")
    token_store: TokenStore = Field(
        description="where sessions are kept: `auto` (what `ul-proxy login` kept), `memory`, `file:PATH` or `keyring`"
    )
    allowed_hosts: Annotated[list[Host], *Listed] = Field(
        description="names besides loopback that callers may use for this proxy"
    )
    allowed_origins: Annotated[list[Origin], *Listed] = Field(
        description="`scheme://host[:port]` of web pages that may use the proxy"
    )
    client_token: ClientSecret | None = Field(None, description="what callers must present")
    aws_credentials_token: ClientSecret | None = Field(
        None, description="what callers of `/-/aws-credentials` must send as `Authorization`; without it there is none"
    )
    allow_anonymous_clients: bool = Field(
        description="listen beyond loopback without `client_token`, although anybody could use the login"
    )
    enable_stop: bool = Field(description="let callers end the proxy: `POST /-/stop`, `ul-proxy stop`")
    inspector: bool = Field(description="show requests at `/-/`; beyond loopback only with `client_token`")
    read_only: bool = Field(description="forward GET, HEAD, OPTIONS and GraphQL queries alone")
    allow: Annotated[list[RequestPattern], *Listed] = Field(
        description="what is forwarded at all, such as `GET /v1/**`", min_length=1
    )
    deny: Annotated[list[RequestPattern], *Listed] = Field(
        description="what is not, such as `DELETE /v1/job/*`; wins over `allow`"
    )
    timeouts: TimeoutSettings
    drain_delay: Delay = Field(
        description="how long the proxy still listens after SIGTERM, while `/-/ready` answers 503 already"
    )
    replay_limit: Bytes = Field(description="how much of a request body is kept so that it can be sent again")
    buffer_limit: Bytes = Field(
        description="how much all callers together may have in memory: bodies that are kept, content for slow readers"
    )
    max_connections: Count = Field(description="how many callers' connections may be open at a time")
    log_format: Literal["auto", "text", "json"] = Field(description="`auto`: text on a terminal, else json")
    log_level: Literal["debug", "info", "warning", "error"] = Field(description="the least that is logged")
    access_log: bool = Field(description="a log line for every request; without it, for those that the proxy failed")


class Settings(PlainSettings):
    """Every setting."""

    profiles: dict[str, ProfileSettings] = Field({}, description="further logins, by name; see Profiles")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What `sources.py` has merged, and nothing besides."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting that holds a value, not a section."""

    path: tuple[str, ...]
    info: FieldInfo

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return PREFIX + "__".join(self.path).upper().replace("-", "_")

    @property
    def flag(self) -> str:
        return "--" + "-".join(self.path).replace("_", "-")

    @property
    def secret(self) -> bool:
        return SecretStr in _types(self.info.annotation)

    @property
    def is_path(self) -> bool:
        """Whether the value is the name of a file."""
        return Path in _types(self.info.annotation)

    @property
    def is_store(self) -> bool:
        """Whether the value says where sessions are kept."""
        return self.path[-1] == "token_store"

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values that it may have, where there are few."""
        annotation = self.info.annotation
        if get_origin(annotation) is Literal:
            return get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, StrEnum):
            return tuple(annotation)
        return ()

    @property
    def metavar(self) -> str:
        """What a help text calls its value."""
        if self.choices:
            return "{" + ",".join(self.choices) + "}"
        known = (*self.info.metadata, *_types(self.info.annotation))
        return next((form.metavar for form in known if isinstance(form, Form)), self.path[-1].upper())

    @property
    def boolean(self) -> bool:
        return self.info.annotation is bool

    @property
    def listed(self) -> bool:
        return self.info.annotation is not None and "list" in str(self.info.annotation)


def leaves(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Every setting, in the order of declaration."""
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, _Section):
            yield from leaves(annotation, (*path, name))
        else:
            yield Leaf((*path, name), info)


def sections(known: Iterable[Leaf]) -> set[tuple[str, ...]]:
    """The paths of the sections that settings are in."""
    return {leaf.path[:length] for leaf in known for length in range(1, len(leaf.path))} | {("profiles",)}


def _types_in(annotation: Any) -> frozenset[Any]:
    return frozenset((annotation,)).union(*map(_types_in, get_args(annotation)))


_types: Callable[[Any], frozenset[Any]] = cache(_types_in)
"""The types in an annotation. There are few, and a thousand profiles ask for each of them."""
