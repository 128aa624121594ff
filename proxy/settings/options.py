"""What a running proxy is told, as one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from proxy.forward.policy import Policy
from proxy.forward.route import Route
from proxy.http.address import Bind
from proxy.http.options import CertificateFiles, OutboundProxies, Timeouts
from proxy.identity.profile import DEFAULT_PROFILE, Profile
from proxy.identity.renewal_policy import RenewalPolicy


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
