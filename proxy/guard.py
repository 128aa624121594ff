"""Which requests are let in at all. Pure verdicts: a refusal is an exception of `errors.py`."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from proxy.errors import BadRequest, HostNotAllowed

_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._~-]+))(?::\d{1,5})?")


def check_host(hosts: Sequence[bytes], allowed: frozenset[str]) -> None:
    """Let a request through whose Host (RFC 9110 section 7.2) is a loopback name or in `allowed`.

    A web page whose name was rebound to 127.0.0.1 sends its own name here. Raises HostNotAllowed, or BadRequest where
    there is not exactly one Host (RFC 9112 section 3.2).
    """
    if len(hosts) != 1:
        raise BadRequest("a request must have exactly one Host header", hint="Send one Host header.")
    if not _is_allowed(hosts[0], allowed):
        raise HostNotAllowed("the Host header names neither loopback nor a host of allowed_hosts")


@lru_cache(maxsize=256)
def _is_allowed(host: bytes, allowed: frozenset[str]) -> bool:
    name = host_name(host.decode("latin-1"))
    return name is not None and (is_loopback(name) or name in allowed)


def host_name(authority: str) -> str | None:
    """The host of `host[:port]` in lower case, without a trailing dot or brackets; None where it is malformed."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    if match["v6"] is not None:
        try:
            return str(IPv6Address(match["v6"]))
        except AddressValueError:
            return None
    return match["name"].lower().removesuffix(".") or None


def is_loopback(name: str) -> bool:
    """Whether a host name, as `host_name` returns it, is this machine's loopback (RFC 6761, all of 127/8, ::1)."""
    if name == "localhost":
        return True
    try:
        return IPv6Address(name).is_loopback if ":" in name else IPv4Address(name).is_loopback
    except AddressValueError:
        return False


def check_method(method: str) -> None:
    """TRACE would show the caller the credential (RFC 9110 section 9.3.8); CONNECT asks for another kind of proxy."""
    if method in ("TRACE", "CONNECT"):
        raise BadRequest(f"{method} is not forwarded", hint="Use another method.")
