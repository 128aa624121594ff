"""By which names a caller may address this proxy: the defence against DNS rebinding."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

from proxy.errors import BadRequest, HostNotAllowed
from proxy.forward.policy import Policy
from proxy.http.address import is_loopback

_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._~-]+))(?::(?P<port>[0-9]{1,5}))?")
_LAST_PORT = 65535


class Authority(NamedTuple):
    """`host[:port]`: the host as `host_name` returns it, the port None where there is none."""

    host: str
    port: int | None


def check_host(hosts: Sequence[bytes], policy: Policy) -> None:
    """Let a request through if its Host (RFC 9110 section 7.2) is a loopback name or in `allowed_hosts`, or `any_host`.

    A web page on a name that was rebound to 127.0.0.1 sends that name here. Raises HostNotAllowed, or BadRequest where
    there is not exactly one Host (RFC 9112 section 3.2).
    """
    if len(hosts) != 1:
        raise BadRequest("a request must have exactly one Host header", hint="Send one Host header.")
    if not policy.any_host and not _is_allowed(hosts[0], policy.allowed_hosts):
        raise HostNotAllowed("the Host header names neither loopback nor a host of allowed_hosts")


@lru_cache(maxsize=256)
def _is_allowed(host: bytes, allowed: frozenset[str]) -> bool:
    name = host_name(host.decode("latin-1"))
    return name is not None and (is_loopback(name) or name in allowed)


def check_authority(authority: str, host: bytes) -> None:
    """Refuse an absolute-form target whose authority is another than Host says; raises BadRequest.

    RFC 9112 section 3.2.2 lets the target win. A caller must send the two alike (section 3.2): one that does not is
    broken or hopes that somebody on the way believes the other one.
    """
    named = parse_authority(authority)
    if named is None or named != parse_authority(host.decode("latin-1")):
        raise BadRequest(
            "the request target names another host than the Host header", hint="Send the same host in both."
        )


def parse_authority(authority: str) -> Authority | None:
    """`host[:port]` (RFC 3986 section 3.2) as its parts; None where it is malformed, also with user information."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    host = match["name"].lower().removesuffix(".") if match["v6"] is None else _v6(match["v6"])
    port = None if match["port"] is None else int(match["port"])
    return None if not host or (port is not None and port > _LAST_PORT) else Authority(host, port)


def host_name(authority: str) -> str | None:
    """Read the host of `host[:port]` in lower case, without a trailing dot or brackets; None where it is malformed.

    An IPv6 address comes in its shortest form, one that stands for an IPv4 address (RFC 4291 section 2.5.5.2) as that.
    """
    parsed = parse_authority(authority)
    return None if parsed is None else parsed.host


def _v6(text: str) -> str | None:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    # Python 3.13 counts mapped addresses as loopback and writes them in another way; earlier ones do not.
    return str(address.ipv4_mapped or address)
