"""What crosses the proxy in each direction, as pure functions over field lines.

RFC 9110 section 7.6: hop-by-hop fields, and those that `Connection` names, concern one connection only and stop here.
Everything else passes in its order and its bytes. The credential is added after the stripping: a caller who writes
`Connection: authorization` must not be able to strip it.
"""

from functools import lru_cache
from typing import NamedTuple

from proxy.errors import BadRequest, CredentialMissing
from proxy.model import Auth, Header, Headers, Profile, Route

VIA = (b"Via", b"1.1 ul-proxy")

_NOTHING: frozenset[bytes] = frozenset()
_UPGRADE = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
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


@lru_cache(maxsize=64)
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
        raise CredentialMissing(
            f"this route needs {name}, which is not set",
            hint=f"Set UL_PROXY_{name.upper()} or UL_PROXY_{name.upper()}_FILE.",
        )
    return secret.get_secret_value()


def connection_options(headers: Headers) -> frozenset[bytes]:
    """The lower-case options of all `Connection` fields (RFC 9110 section 7.6.1)."""
    if b"connection" not in [name.lower() for name, _ in headers]:
        return _NOTHING
    return _options(b",".join([value for name, value in headers if name.lower() == b"connection"]))


@lru_cache(maxsize=64)
def _options(connection: bytes) -> frozenset[bytes]:
    return frozenset(option.strip(b" \t").lower() for option in connection.split(b","))


def wants_websocket(headers: Headers) -> bool:
    """Whether a request asks for the one protocol that this proxy tunnels (RFC 9110 section 7.8, RFC 6455)."""
    if b"upgrade" not in [name.lower() for name, _ in headers]:
        return False
    upgrades = [value for name, value in headers if name.lower() == b"upgrade"]
    return upgrades[0].lower() == b"websocket" and len(upgrades) == 1 and b"upgrade" in connection_options(headers)


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
            if name in stripped and name not in HOP_BY_HOP:
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


class Crossing(NamedTuple):
    """What is known of a request by its field lines alone."""

    upgrade: bool
    """It asks for a WebSocket."""
    fields: bytes
    """The field lines as they go upstream, but for the credential."""


@lru_cache(maxsize=256)
def crossing(headers: tuple[Header, ...], authority: str, added: bytes | None) -> Crossing:
    """What becomes of a caller's field lines on the way to `authority` with a credential named `added`.

    Remembered, because callers send the same lines again and again. Raises BadRequest for an upgrade with content.
    """
    upgrade = wants_websocket(headers)
    if upgrade and any(_announces_content(line) for line in headers):
        raise BadRequest("a request for a WebSocket must have no content", hint="Nobody could tell where it begins.")
    lines = to_upstream(headers, authority=authority, added=None if added is None else (added, b""), upgrade=upgrade)
    return Crossing(upgrade, field_lines(lines if added is None else lines[:-1]))


def _announces_content(line: Header) -> bool:
    name = line[0].lower()
    return name == b"transfer-encoding" or (name == b"content-length" and line[1].strip() != b"0")


def field_lines(headers: Headers) -> bytes:
    """Field lines as they stand on the wire (RFC 9112 section 5)."""
    return b"".join([b"%b: %b\r\n" % line for line in headers])


@lru_cache(maxsize=64)
def _stripped(added: bytes | None) -> frozenset[bytes]:
    """What never goes upstream on a route that adds the header `added`, in lower case and with hyphens."""
    always = HOP_BY_HOP | {b"host"}
    return always if added is None else always | CREDENTIALS | {added.lower().replace(b"_", b"-")}


def to_caller(headers: Headers) -> list[Header]:
    """An upstream's field lines as they go back."""
    names = [name.lower() for name, _ in headers]
    if HOP_BY_HOP.isdisjoint(names):
        return [*headers, VIA]
    options = connection_options(headers)
    result = [line for name, line in zip(names, headers, strict=True) if name not in HOP_BY_HOP and name not in options]
    result.append(VIA)
    return result


def switching(headers: Headers) -> list[Header]:
    """The field lines of a 101 answer: those that `to_caller` passes, and the switch itself."""
    return [*to_caller(headers), *_UPGRADE]


def trailers(section: Headers) -> list[Header]:
    """The trailer fields that may pass: none that says who somebody is or how a message is framed or routed.

    RFC 9110 section 6.5.1 forbids these to senders; a recipient that merged them would believe them.
    """
    if not section:
        return []
    return [line for line in section if line[0].lower().replace(b"_", b"-") not in _NO_TRAILERS]
