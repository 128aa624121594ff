"""What the settings say of connections."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr


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
