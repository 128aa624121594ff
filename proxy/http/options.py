"""Hold what the settings say of connections."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits waiting, in seconds. There is no limit on a whole transfer."""

    connect: float
    headers: float
    idle: float
    auth: float
    drain: float
    head: float = 10.0
    """For the head of a caller's request to arrive; no setting, for no honest caller needs longer."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Names the files of a certificate with its chain and of its private key, in PEM; both may be in one file."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class OutboundProxy:
    """Names an HTTP proxy that is asked to CONNECT; `credentials` are `user:password`."""

    host: str
    port: int
    credentials: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class OutboundProxies:
    """Names the proxies for upstreams of each scheme, and the hosts that are reached without one."""

    http: OutboundProxy | None = None
    https: OutboundProxy | None = None
    bypass: str = ""
    """As NO_PROXY has it: host names, domains and addresses between commas, or `*`."""
