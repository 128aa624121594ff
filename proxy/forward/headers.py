"""What crosses the proxy in each direction, as pure functions over field lines.

RFC 9110 section 7.6: hop-by-hop fields, and those that `Connection` names, concern one connection only and stop here.
Everything else passes in its order and its bytes. The credential is added after the stripping: a caller who writes
`Connection: authorization` must not be able to strip it.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from proxy.errors import CredentialMissing
from proxy.errors.names import FILE_SUFFIX, variable
from proxy.forward.route import Auth, Route
from proxy.http.grammar.fields import Header, Headers
from proxy.identity.profile import Profile

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

_PLAIN_OPTIONS = HOP_BY_HOP | {b"close"}
_STAYING_LINES = re.compile(rb"\n(?i:" + b"|".join(sorted(_PLAIN_OPTIONS)) + rb"|access-control-[^:]*):[^\r]*\r(?=\n)")
_PASSING = frozenset((b"content-length", b"host", b"location"))
"""Fields that concern a proxy and go back nevertheless."""
_PASSING_BESIDE_CONNECTION = _PASSING | {b"connection"}
_KEEP_ALIVE_LINE = b"\r\nConnection: keep-alive\r\n"
"""With the end of the line before it."""

CREDENTIALS = frozenset((b"authorization", b"x-amz-cognito-security-token", b"x-api-key"))
OWN_PREFIX = b"x-ul-proxy-"
"""Fields that callers address to this proxy; none of them is for an upstream."""

_NO_TRAILERS = (
    CREDENTIALS
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

_HEADER_OF = {
    Auth.REST: "X-Amz-Cognito-Security-Token",
    Auth.GRAPHQL: "authorization",
    Auth.API_KEY: "x-api-key",
    Auth.BEARER: "Authorization",
}


def effective_auth(route: Route, profile: Profile) -> Auth:
    """The credential that a route wants of this profile: Auth.NONE, API_KEY, BEARER, REST or GRAPHQL.

    A personal access token takes the place of Cognito tokens wherever the profile has one.
    """
    auth = route.auth
    if auth is Auth.ANALYTICS:
        auth = Auth.API_KEY if profile.api_key is not None else Auth.REST
    if auth in (Auth.REST, Auth.GRAPHQL) and profile.personal_access_token is not None:
        return Auth.BEARER
    return auth


def needs_token(auth: Auth) -> bool:
    return auth is Auth.REST or auth is Auth.GRAPHQL


def credential(route: Route, auth: Auth, secret: str) -> Header:
    """The field line that carries `secret` upstream."""
    # A header that the route names is meant for the kind it was written for: a Cognito token or key, not a PAT.
    own_header = route.header if auth is not Auth.BEARER or route.auth is Auth.BEARER else None
    value = f"Bearer {secret}" if auth is Auth.BEARER else secret
    return (own_header or _HEADER_OF[auth]).encode(), value.encode()


def static_secret(auth: Auth, profile: Profile) -> str:
    """The API key or personal access token of a profile; raises CredentialMissing."""
    secret, name = (
        (profile.api_key, "api_key")
        if auth is Auth.API_KEY
        else (profile.personal_access_token, "personal_access_token")
    )
    if secret is None:
        held = variable(name, profile.name)
        raise CredentialMissing(
            f"this route needs {name}, which is not set", hint=f"Set {held} or {held}{FILE_SUFFIX}."
        )
    return secret.get_secret_value()


def connection_options(headers: Headers) -> frozenset[bytes]:
    """The lower-case options of all `Connection` fields (RFC 9110 section 7.6.1).

    Content-Length is none: who names it must not be able to take a message's framing away.
    """
    values = [value for name, value in headers if name.lower() == b"connection"]
    return _options(b",".join(values)) if values else _NOTHING


@lru_cache(maxsize=64)
def _options(connection: bytes) -> frozenset[bytes]:
    return frozenset(option.strip(b" \t").lower() for option in connection.split(b",")) - {b"content-length"}


def to_upstream(headers: Headers, *, authority: str, added: Header | None, upgrade: bool = False) -> list[Header]:
    """A caller's field lines as they go upstream, with `authority` as Host and `added` as the credential.

    Where a credential is added, the caller's own are dropped, in whatever spelling a lenient server would read as one.
    """
    options = connection_options(headers)
    stripped = _stripped(None if added is None else added[0])
    result: list[Header] = [(b"Host", authority.encode())]
    for line in headers:
        name = line[0].lower()
        if name in stripped or name in options:
            continue
        if b"_" in name:
            name = name.replace(b"_", b"-")
            if name in stripped or name == b"content-length":
                continue
        if not name.startswith(OWN_PREFIX):
            result.append(line)
    result.append(VIA)
    if upgrade:
        result += _UPGRADE
    elif b"te" in options and any(b"trailers" in value.lower() for name, value in headers if name.lower() == b"te"):
        result += _TRAILERS_WELCOME
    if added is not None:
        result.append(added)
    return result


@lru_cache(maxsize=64)
def _stripped(added: bytes | None) -> frozenset[bytes]:
    """What never goes upstream on a route that adds the header `added`, in lower case and with hyphens."""
    always = HOP_BY_HOP | {b"host"}
    return always if added is None else always | CREDENTIALS | {added.lower().replace(b"_", b"-")}


def to_caller(section: bytes, proxy_fields: Mapping[bytes, bytes]) -> bytes:
    """An upstream's field lines as they go back, both on the wire; `proxy_fields` are those that concern a proxy.

    Which web pages may read an answer is for this proxy to say: `Access-Control-*` stays here.
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
    """The field lines of a 101 answer: those that `to_caller` passes, and the switch itself."""
    return to_caller(section, proxy_fields) + _UPGRADE_LINES


def trailers(section: Headers, added: bytes | None = None) -> list[Header]:
    """The trailer fields that may pass: none that says who somebody is or how a message is framed or routed.

    `added` is the name of the credential that the request itself carries. RFC 9110 section 6.5.1 forbids these to
    senders; a recipient that merged them would believe them.
    """
    if not section:
        return []
    return [
        line
        for line in section
        if (name := line[0].lower().replace(b"_", b"-")) not in _NO_TRAILERS
        and name not in _stripped(added)
        and not name.startswith(OWN_PREFIX)
    ]
