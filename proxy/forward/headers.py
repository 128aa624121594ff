"""Field lines on their way through the proxy, in each direction, as pure functions.

RFC 9110 section 7.6: hop-by-hop fields, and those that `Connection` names, concern one connection only and stop here.
Everything else passes in its order and its bytes. The credential is added after the stripping: a caller who writes
`Connection: authorization` must not be able to strip it.
"""

import re
from collections.abc import Mapping, Set
from functools import lru_cache

from proxy.http.grammar.fields import Header, Headers, options_of, values_of
from proxy.identity.credentials import USUAL_FIELDS

VIA = (b"Via", b"1.1 ul-proxy")

_NOTHING: frozenset[bytes] = frozenset()
_UPGRADE = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
_VIA_LINE = b"%b: %b\r\n" % VIA
_UPGRADE_LINES = b"".join(b"%b: %b\r\n" % line for line in _UPGRADE)
_TRAILERS_WELCOME = ((b"Connection", b"TE"), (b"TE", b"trailers"))

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""RFC 9110 section 7.6.1, with the fields that older texts (RFC 2616 section 13.5.1) list. `Trailer` goes with the
trailers that it announces, which pass."""

_NEVER_PASSING = HOP_BY_HOP | {b"host"}
_PLAIN_OPTIONS = HOP_BY_HOP | {b"close"}
_STAYING_LINES = re.compile(rb"\n(?i:" + b"|".join(sorted(_PLAIN_OPTIONS)) + rb"|access-control-[^:]*):[^\r]*\r(?=\n)")
_PASSING = frozenset((b"content-length", b"host", b"location"))
"""Fields that the grammar picks out for a proxy and that go back nevertheless."""
_PASSING_BESIDE_CONNECTION = _PASSING | {b"connection"}
_KEEP_ALIVE_LINE = b"\r\nConnection: keep-alive\r\n"
"""It begins with the end of the line before it."""

PROXY_FIELDS = b"x-ul-proxy-"
"""How the names of fields begin that callers address to this proxy; none of them is for an upstream."""

_NO_TRAILERS = (
    USUAL_FIELDS
    | HOP_BY_HOP
    | frozenset(
        (
            b"content-encoding",
            b"content-length",
            b"content-range",
            b"content-type",
            b"cookie",
            b"host",
            b"location",
            b"set-cookie",
            b"trailer",
        )
    )
)


def connection_options(headers: Headers) -> frozenset[bytes]:
    """Read the lower-case options of all `Connection` fields (RFC 9110 section 7.6.1).

    Content-Length does not count: a peer who names it must not be able to take a message's framing away.
    """
    values = values_of(headers, b"connection")
    return _options(b",".join(values)) if values else _NOTHING


@lru_cache(maxsize=64)
def _options(connection: bytes) -> frozenset[bytes]:
    return options_of((connection.lower(),)) - {b"content-length"}


def to_upstream(headers: Headers, *, authority: str, replaces: Set[bytes], upgrade: bool = False) -> list[Header]:
    """Choose a caller's field lines that go upstream, with `authority` as Host.

    `replaces` are the names that the credential takes the place of: they are dropped in whatever spelling a lenient
    server would read as one.
    """
    options = connection_options(headers)
    stripped = _NEVER_PASSING | replaces
    result: list[Header] = [(b"Host", authority.encode())]
    for line in headers:
        name = line[0].lower()
        if name in stripped or name in options:
            continue
        if b"_" in name:
            name = name.replace(b"_", b"-")
            if name in stripped or name == b"content-length":
                continue
        if not name.startswith(PROXY_FIELDS):
            result.append(line)
    result.append(VIA)
    if upgrade:
        result += _UPGRADE
    elif b"te" in options and any(b"trailers" in value.lower() for value in values_of(headers, b"te")):
        result += _TRAILERS_WELCOME
    return result


def to_caller(section: bytes, proxy_fields: Mapping[bytes, bytes]) -> bytes:
    """Choose an upstream's field lines that go back, both on the wire; `proxy_fields` are as a `Head` has them.

    Which web pages may read a response is for this proxy to say: `Access-Control-*` stays here.
    """
    if proxy_fields.keys() <= _PASSING:
        return section + _VIA_LINE
    connection = proxy_fields.get(b"connection")
    if connection == b"keep-alive" and proxy_fields.keys() <= _PASSING_BESIDE_CONNECTION:
        # What most servers write, and as most write it.
        passing = section.replace(_KEEP_ALIVE_LINE, b"\r\n", 1)
        if len(passing) < len(section):
            return passing + _VIA_LINE
    passing = _STAYING_LINES.sub(b"", b"\n" + section)[1:]
    named = _NOTHING if connection is None else _options(connection)
    if not named <= _PLAIN_OPTIONS:
        lines = passing.splitlines(keepends=True)
        passing = b"".join([line for line in lines if line.partition(b":")[0].lower() not in named])
    return passing + _VIA_LINE


def switching(section: bytes, proxy_fields: Mapping[bytes, bytes]) -> bytes:
    """Make the field lines of a 101 response: those that `to_caller` passes, and the switch itself."""
    return to_caller(section, proxy_fields) + _UPGRADE_LINES


def trailers(section: Headers, replaces: Set[bytes] = _NOTHING) -> list[Header]:
    """Choose the trailer fields that may pass: none that says who somebody is or how a message is framed or routed.

    `replaces` is as in `to_upstream`. RFC 9110 section 6.5.1 forbids these to senders; a recipient that merged them
    would believe them.
    """
    if not section:
        return []
    return [
        line
        for line in section
        if (name := line[0].lower().replace(b"_", b"-")) not in _NO_TRAILERS
        and name not in replaces
        and not name.startswith(PROXY_FIELDS)
    ]
