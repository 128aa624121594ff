"""Who may call this proxy, and for what."""

from dataclasses import dataclass

from pydantic import SecretStr

EVERYTHING = "* /**"
"""The pattern of `allow` and `deny` that covers every request."""


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
