"""The settings of a running proxy, as frozen values, whose types say what a reload takes up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import SecretStr

from proxy.forward.policy import Policy
from proxy.forward.route import Route
from proxy.http.address import Bind
from proxy.http.options import CertificateFiles, OutboundProxies, Timeouts
from proxy.identity.profile import DEFAULT_PROFILE, Profile
from proxy.identity.tokens.policy import RenewalPolicy
from proxy.model import Level


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """What stays as it was when the proxy started."""

    listen: tuple[Bind, ...]
    admin_listen: tuple[Bind, ...] = ()
    """Where the proxy's own endpoints are, and nothing else; where there is none, they are at `listen`."""
    port_file: Path | None = None
    """Where the port of the first TCP listener is written."""
    timeouts: Timeouts
    max_connections: int = 1000
    """How many callers' connections may be open at a time."""
    buffer_limit: int = 64 << 20
    """How many bytes all callers together may have in memory."""
    drain_delay: float = 0.0
    """Seconds for which the proxy still listens once it is told to end."""
    ca_file: Path | None = None
    """What to trust instead of the system's certificate authorities."""
    outbound: OutboundProxies = field(default_factory=OutboundProxies)
    renewal: RenewalPolicy = field(default_factory=RenewalPolicy)
    inspector: bool = True
    """Whether `/-/` shows requests to whoever may see them."""
    state_home: Path | None = None
    """$XDG_STATE_HOME or what stands in for it; None where there is no home directory."""
    token_store: str = "memory"
    """`auto`, `memory`, `keyring` or `file:` and an absolute path."""


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """What a reload takes up while the proxy runs."""

    profiles: Mapping[str, Profile]
    """By name; the one of requests that name none is `DEFAULT_PROFILE`."""
    own_routes: tuple[Route, ...]
    """Tried before `built_in_routes`."""
    built_in_routes: tuple[Route, ...]
    policy: Policy = field(default_factory=Policy)
    replay_limit: int
    """In bytes."""
    tls: CertificateFiles | None = None
    """For HTTPS on TCP; None for plain HTTP, and a change between the two needs a restart all the same."""
    aws_credentials_token: SecretStr | None = None
    """What callers of `/-/aws-credentials` must send; without one there is no such endpoint."""
    enable_stop: bool = False
    """Whether `/-/stop` ends the proxy."""

    @property
    def profile(self) -> Profile:
        """The one of requests that name none."""
        return self.profiles[DEFAULT_PROFILE]


@dataclass(frozen=True, kw_only=True)
class ServeOptions(StartOptions, LiveOptions):
    """Everything that a running proxy needs to know, as the settings have it."""

    @property
    def start(self) -> StartOptions:
        return StartOptions(**{known.name: getattr(self, known.name) for known in fields(StartOptions)})

    @property
    def live(self) -> LiveOptions:
        return LiveOptions(**{known.name: getattr(self, known.name) for known in fields(LiveOptions)})


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """What is logged; like StartOptions, it stays as it was when the proxy started."""

    access_log: bool
    log_format: Literal["auto", "text", "json"]
    log_level: Level


_OptionsT = TypeVar("_OptionsT", StartOptions, LogOptions)


def changes(before: _OptionsT, after: _OptionsT) -> list[str]:
    """List the names of what differs."""
    return [known.name for known in fields(before) if getattr(before, known.name) != getattr(after, known.name)]
