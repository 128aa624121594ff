"""Name the places of upstreams and listeners."""

from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Upstream:
    """Names an http(s) origin and the path below which requests land."""

    scheme: str
    host: str
    port: int
    path: str = ""
    authority: str = field(init=False)
    """The value of `Host` (RFC 9110 section 7.2): the port only where it is not the scheme's own."""
    origin: str = field(init=False)

    def __post_init__(self) -> None:
        host = bracketed(self.host)
        object.__setattr__(self, "authority", host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}")
        object.__setattr__(self, "origin", f"{self.scheme}://{self.authority}")

    @classmethod
    def parse(cls, url: str) -> "Upstream":
        """Parse `https://host[:port][/path]`; raises ValueError, in words for a person."""
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
        port = parts.port if parts.port is not None else _PORTS[parts.scheme]
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    def __str__(self) -> str:
        return self.origin + self.path


@dataclass(frozen=True, slots=True)
class Bind:
    """Names a place to listen at: a TCP host and port, or a Unix socket's path."""

    host: str = ""
    port: int = 0
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"{bracketed(self.host)}:{self.port}"


def is_loopback(name: str) -> bool:
    """Return whether a host name in lower case is this machine's loopback (RFC 6761, all of 127/8, ::1)."""
    if name == "localhost":
        return True
    try:
        return IPv6Address(name).is_loopback if ":" in name else IPv4Address(name).is_loopback
    except AddressValueError:
        return False


def stays_here(bind: Bind) -> bool:
    """Return whether a listener there can be reached from this machine alone."""
    return bind.path is not None or is_loopback(bind.host.lower())


def bracketed(host: str) -> str:
    """Write a host as it stands before a port (RFC 3986 section 3.2.2): an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
