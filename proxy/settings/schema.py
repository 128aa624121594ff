"""The settings, one declaration each: name, form, default, group and meaning.

Flags, their help, variables, `ul-proxy config` and the table of docs/settings.md come from here.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from proxy.errors.names import PREFIX
from proxy.identity.profile import AuthFlow
from proxy.identity.stores.specs import FORMS
from proxy.settings.forms import (
    Address,
    Bytes,
    ClientId,
    ClientSecret,
    Count,
    Delay,
    FileName,
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
    checked_header,
    checked_path,
    matching,
)
from proxy.settings.kinds import checked_kind


class Group(StrEnum):
    """The headings under which help and documentation show the settings, in that order."""

    LISTENING = "where it listens, and who may call"
    LOGIN = "who is signed in"
    FORWARDING = "where requests go"
    LOGGING = "what is logged"


def setting(group: Group, meaning: str | None = None, default: Any = ..., **rules: Any) -> Any:
    """Declare a setting, or a section, whose settings are in its group and have a meaning each."""
    return Field(default, description=meaning, json_schema_extra={"group": group}, **rules)


class Section(BaseModel):
    """Settings that share the first part of their names."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class CognitoSettings(Section):
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


class ProfileCognitoSettings(Section):
    """What a profile does not say of its user pool is as in CognitoSettings."""

    region: Region | None = None
    user_pool_id: UserPoolId | None = None
    client_id: ClientId | None = None
    client_secret: SecretStr | None = None
    auth_flow: AuthFlow | None = None
    identity_pool_id: IdentityPoolId | None = None
    endpoint_url: HttpUrl | None = None
    identity_endpoint_url: HttpUrl | None = None


class UpstreamSettings(Section):
    rest: HttpUrl = Field(description="the REST API")
    graphql: HttpUrl = Field(description="the Media Drive GraphQL endpoint")
    flights_cdn: HttpUrl = Field(description="flight logs")
    library_cdn: HttpUrl = Field(description="media files")
    ca_file: FileName | None = Field(None, description="certificates, in PEM, to trust instead of the system's")


class TimeoutSettings(Section):
    connect: Seconds = Field(description="to open a connection to an upstream")
    headers: Seconds = Field(description="for an upstream to begin its answer")
    idle: Seconds = Field(description="without a byte moving in either direction")
    auth: Seconds = Field(description="how long a request waits for a sign-in")
    drain: Seconds = Field(description="how long requests may go on once the proxy has stopped listening")


class ProfileSettings(Section):
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
    auth: Annotated[str, AfterValidator(checked_kind)]
    header: (
        Annotated[str, matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "no header's name"), AfterValidator(checked_header)]
        | None
    ) = None


class PlainSettings(BaseSettings):
    """Every setting but those of profiles, whose names nobody knows before. Those without a default here have theirs
    in the shipped `defaults.toml`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    listen: Annotated[list[Address], *Listed] = setting(
        Group.LISTENING, "`HOST:PORT`, `[::1]:8080` or `unix:/path`; port 0 picks one; may be a list", min_length=1
    )
    admin_listen: Annotated[list[Address], *Listed] = setting(
        Group.LISTENING, "where `/-/…` is instead; beyond loopback `live`, `ready` and `metrics` alone, for everybody"
    )
    port_file: FileName | None = setting(
        Group.LISTENING, "a file to write the port of the first TCP listener into, for as long as it listens", None
    )
    tls_cert: FileName | None = setting(
        Group.LISTENING, "certificate and chain, in PEM, for HTTPS on TCP; read again when it changes", None
    )
    tls_key: FileName | None = setting(Group.LISTENING, "its key, if not in the same file", None)
    allowed_hosts: Annotated[list[Host], *Listed] = setting(
        Group.LISTENING, "names besides loopback that callers may use for this proxy"
    )
    allowed_origins: Annotated[list[Origin], *Listed] = setting(
        Group.LISTENING, "`scheme://host[:port]` of web pages that may use the proxy"
    )
    client_token: ClientSecret | None = setting(Group.LISTENING, "what callers must present", None)
    aws_credentials_token: ClientSecret | None = setting(
        Group.LISTENING,
        "what callers of `/-/aws-credentials` must send as `Authorization`; without it there is none",
        None,
    )
    allow_anonymous_clients: bool = setting(
        Group.LISTENING, "listen beyond loopback without `client_token`, although anybody could use the login"
    )
    max_connections: Count = setting(Group.LISTENING, "how many callers' connections may be open at a time")
    enable_stop: bool = setting(Group.LISTENING, "let callers end the proxy: `POST /-/stop`, `ul-proxy stop`")
    inspector: bool = setting(Group.LISTENING, "show requests at `/-/`; beyond loopback only with `client_token`")
    read_only: bool = setting(Group.LISTENING, "forward GET, HEAD, OPTIONS and GraphQL queries alone")
    allow: Annotated[list[RequestPattern], *Listed] = setting(
        Group.LISTENING, "what is forwarded at all, such as `GET /v1/**`", min_length=1
    )
    deny: Annotated[list[RequestPattern], *Listed] = setting(
        Group.LISTENING, "what is not, such as `DELETE /v1/job/*`; wins over `allow`"
    )
    username: str | None = setting(Group.LOGIN, "the Unleash Live login", None)
    password: SecretStr | None = setting(Group.LOGIN, "its password", None)
    totp_secret: TotpSecret | None = setting(
        Group.LOGIN, "what its authenticator app was given, in base32: one-time codes are then made unattended", None
    )
    api_key: HeaderSecret | None = setting(Group.LOGIN, "the analytics API key", None)
    personal_access_token: HeaderSecret | None = setting(
        Group.LOGIN, "`ul_pat_…`; used instead of Cognito wherever a Cognito token would be", None
    )
    cognito: CognitoSettings = setting(Group.LOGIN)
    token_store: TokenStore = setting(
        Group.LOGIN,
        f"where sessions are kept: `auto` (what `ul-proxy login` kept), {', '.join(f'`{form}`' for form in FORMS[1:])}",
    )
    upstreams: UpstreamSettings = setting(Group.FORWARDING)
    routes: list[RouteSettings] = setting(Group.FORWARDING, "more routes, tried before the built-in ones", [])
    timeouts: TimeoutSettings = setting(Group.FORWARDING)
    drain_delay: Delay = setting(
        Group.FORWARDING, "how long the proxy still listens after SIGTERM, while `/-/ready` answers 503 already"
    )
    replay_limit: Bytes = setting(Group.FORWARDING, "how much of a request body is kept so that it can be sent again")
    buffer_limit: Bytes = setting(
        Group.FORWARDING,
        "how much all callers together may have in memory: bodies that are kept, content for slow readers",
    )
    log_format: Literal["auto", "text", "json"] = setting(Group.LOGGING, "`auto`: text on a terminal, else json")
    log_level: Literal["debug", "info", "warning", "error"] = setting(Group.LOGGING, "the least that is logged")
    access_log: bool = setting(
        Group.LOGGING, "a log line for every request; without it, for those that the proxy failed"
    )


class Settings(PlainSettings):
    """Every setting."""

    profiles: dict[str, ProfileSettings] = setting(Group.LOGIN, "further logins, by name, under `[profiles.NAME]`", {})

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
